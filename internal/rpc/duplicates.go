package rpc

import (
	"cmp"
	"slices"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/wire"
)

// A transaction takes one revision, in which a key can change once. So no
// branch may put a key twice, or put a key that it also deletes, whether the
// second change is on the same level or inside a nested transaction. The two
// branches of one transaction exclude each other and may touch the same keys;
// deletes may overlap. Two holes are etcd's and kept, because clients may rely
// on what it accepts:
//
//   - A delete whose range end is the byte 0x00 ("from key on") conflicts with
//     nothing: as an interval it looks empty.
//   - Nested transactions are looked at in order. A put in one conflicts with
//     the deletes of those before it, not of those after it.

// checkDuplicates checks one branch of a transaction.
func checkDuplicates(ops []wire.RequestOp) error {
	if isSmallAndFlat(ops) {
		return checkPairs(ops)
	}
	_, err := changesOf(ops)
	return err
}

// smallOps is the length up to which comparing each pair of operations beats
// building sets: measured, 16 puts cost less than one map.
const smallOps = 16

func isSmallAndFlat(ops []wire.RequestOp) bool {
	if len(ops) > smallOps {
		return false
	}
	return !slices.ContainsFunc(ops, func(op wire.RequestOp) bool { return op.Txn != nil })
}

// checkPairs is the check for a short list without nested transactions. It
// allocates nothing.
func checkPairs(ops []wire.RequestOp) error {
	for i := range ops {
		put := ops[i].Put
		if put == nil {
			continue
		}
		for j := range ops {
			switch other := &ops[j]; {
			case other.Put != nil && j > i && string(other.Put.Key) == string(put.Key):
				return errs.ErrDuplicateKey
			case other.DeleteRange != nil && spanOf(other.DeleteRange.Range()).contains(put.Key):
				return errs.ErrDuplicateKey
			}
		}
	}
	return nil
}

// changes is what a list of operations writes.
type changes struct {
	puts    map[string]struct{}
	deletes spanSet
}

// changesOf collects the changes of ops and of what is nested in them, and
// refuses them when two conflict. The order of the steps decides what counts
// as a conflict: this level's deletes, the nested transactions one by one,
// this level's puts.
func changesOf(ops []wire.RequestOp) (changes, error) {
	all := changes{puts: map[string]struct{}{}}
	var own []span
	for i := range ops {
		if d := ops[i].DeleteRange; d != nil {
			own = append(own, spanOf(d.Range()))
		}
	}
	all.deletes.add(own)

	for i := range ops {
		if ops[i].Txn == nil {
			continue
		}
		if err := all.addNested(ops[i].Txn); err != nil {
			return changes{}, err
		}
	}

	for i := range ops {
		if p := ops[i].Put; p != nil {
			if all.touches(string(p.Key)) {
				return changes{}, errs.ErrDuplicateKey
			}
			all.puts[string(p.Key)] = struct{}{}
		}
	}
	return all, nil
}

// addNested adds the changes of a nested transaction.
func (c *changes) addNested(txn *wire.TxnRequest) error {
	then, err := changesOf(txn.Success)
	if err != nil {
		return err
	}
	orElse, err := changesOf(txn.Failure)
	if err != nil {
		return err
	}
	// Both branches are held against what was there before either.
	for _, branch := range [...]changes{then, orElse} {
		for key := range branch.puts {
			if c.touches(key) {
				return errs.ErrDuplicateKey
			}
		}
	}
	for _, branch := range [...]changes{then, orElse} {
		for key := range branch.puts {
			c.puts[key] = struct{}{}
		}
		for _, run := range branch.deletes.runs {
			c.deletes.add(run)
		}
	}
	return nil
}

func (c *changes) touches(key string) bool {
	_, isPut := c.puts[key]
	return isPut || c.deletes.contains(key)
}

// span is the keys from lo up to, not including, hi.
type span struct {
	lo, hi string
	// reach is the largest hi of this span and those before it in its run.
	reach string
}

// spanOf is the keys a delete covers, as etcd compares them: "from key on" has
// an end below every key and covers nothing.
func spanOf(r base.KeyRange) span {
	if r.IsSingle() {
		return span{lo: string(r.Key), hi: string(r.Key) + "\x00"}
	}
	return span{lo: string(r.Key), hi: string(r.End)}
}

func (s span) contains(key []byte) bool { return s.lo <= string(key) && string(key) < s.hi }

// spanSet answers whether a key is in any of many spans. Spans lie in runs
// sorted by lo; a run that is not much shorter than the one before it is merged
// into that, so there are O(log n) runs and a hostile request of a hundred
// thousand nested deletes costs milliseconds.
type spanSet struct {
	runs [][]span
}

// add takes spans in any order. It does not change the slice.
func (s *spanSet) add(spans []span) {
	if len(spans) == 0 {
		return
	}
	run := slices.Clone(spans)
	for n := len(s.runs); n > 0 && len(s.runs[n-1]) <= 2*len(run); n-- {
		run = append(run, s.runs[n-1]...)
		s.runs = s.runs[:n-1]
	}
	slices.SortFunc(run, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	reach := ""
	for i := range run {
		reach = max(reach, run[i].hi)
		run[i].reach = reach
	}
	s.runs = append(s.runs, run)
}

func (s *spanSet) contains(key string) bool {
	for _, run := range s.runs {
		// The spans before n start at or below key; one of them covers it
		// exactly when the farthest reaches beyond it.
		n, _ := slices.BinarySearchFunc(run, key, func(sp span, key string) int {
			if sp.lo <= key {
				return -1
			}
			return 1
		})
		if n > 0 && run[n-1].reach > key {
			return true
		}
	}
	return false
}
