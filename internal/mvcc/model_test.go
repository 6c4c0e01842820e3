package mvcc

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"slices"
	"sort"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/wire"
)

// model is the key space as api.md section 2 describes it, by brute force: it
// keeps every change for ever and walks all of them for every answer.
type model struct {
	changes []change // in revision order
	rev     int64
	compact int64
	hashes  []KVHash // of compactions, ascending
}

// change is a put, or a delete (version 0).
type change struct {
	rev             base.Revision
	key, value      string
	create, version int64
	lease           base.LeaseID
}

func (c *change) deleted() bool { return c.version == 0 }

func (c *change) payload() []byte {
	if c.deleted() {
		return wire.AppendKeyValue(nil, []byte(c.key), 0, 0, 0, nil, 0)
	}
	return wire.AppendKeyValue(nil, []byte(c.key), c.create, c.rev.Main, c.version, []byte(c.value), c.lease)
}

func newModel() *model { return &model{rev: 1, compact: NeverCompacted} }

// newest returns the last change of a key at or below rev.
func (m *model) newest(key string, rev int64) *change {
	for i := len(m.changes) - 1; i >= 0; i-- {
		if c := &m.changes[i]; c.key == key && c.rev.Main <= rev {
			return c
		}
	}
	return nil
}

// state returns the live keys at rev, in key order.
func (m *model) state(rev int64) []change {
	byKey := map[string]change{}
	for _, c := range m.changes {
		if c.rev.Main <= rev {
			byKey[c.key] = c
		}
	}
	var live []change
	for _, c := range byKey {
		if !c.deleted() {
			live = append(live, c)
		}
	}
	slices.SortFunc(live, func(a, b change) int { return cmp.Compare(a.key, b.key) })
	return live
}

func (m *model) inRange(kr base.KeyRange, rev int64) []change {
	return slices.DeleteFunc(m.state(rev), func(c change) bool { return !kr.Contains([]byte(c.key)) })
}

func (m *model) put(rev base.Revision, key, value string, lease base.LeaseID) {
	c := change{rev: rev, key: key, value: value, create: rev.Main, version: 1, lease: lease}
	if prev := m.newest(key, rev.Main); prev != nil && !prev.deleted() {
		c.create, c.version = prev.create, prev.version+1
	}
	m.changes = append(m.changes, c)
}

// rangeOver answers a Range with current as the current revision, step by step
// as api.md 2.3 lists them.
func (m *model) rangeOver(o RangeOptions, current int64) (RangeResult, error) {
	rev := o.Revision
	switch {
	case rev > current:
		return RangeResult{}, errs.ErrFutureRev
	case rev <= 0:
		rev = current
	case rev < m.compact:
		return RangeResult{}, errs.ErrCompacted
	}
	all := m.inRange(o.KeyRange, rev)
	res := RangeResult{Count: int64(len(all)), Revision: current}
	if o.CountOnly {
		return res, nil
	}
	filtered := o.MaxMod != 0 || o.MinMod != 0 || o.MaxCreate != 0 || o.MinCreate != 0
	byDefault := o.SortOrder == SortNone || o.SortTarget == TargetKey && o.SortOrder == SortAscend
	if o.Limit > 0 && !filtered && byDefault && int64(len(all)) > o.Limit+1 {
		all = all[:o.Limit+1]
	}
	all = slices.DeleteFunc(all, func(c change) bool {
		return o.MaxMod != 0 && c.rev.Main > o.MaxMod || o.MinMod != 0 && c.rev.Main < o.MinMod ||
			o.MaxCreate != 0 && c.create > o.MaxCreate || o.MinCreate != 0 && c.create < o.MinCreate
	})
	if order := modelOrder(all, o.SortTarget); order != nil && !(o.SortTarget == TargetKey && byDefault) {
		if o.SortOrder == SortDescend {
			order = sort.Reverse(order)
		}
		sort.Sort(order)
	}
	if o.Limit > 0 && int64(len(all)) > o.Limit {
		all, res.More = all[:o.Limit], true
	}
	for _, c := range all {
		if o.KeysOnly {
			c.value = ""
			if o.SortTarget != TargetValue {
				c.lease = 0
			}
		}
		res.KVs = append(res.KVs, c.payload())
	}
	return res, nil
}

type modelSort struct {
	kvs  []change
	less func(a, b *change) bool
}

func (s modelSort) Len() int           { return len(s.kvs) }
func (s modelSort) Swap(i, j int)      { s.kvs[i], s.kvs[j] = s.kvs[j], s.kvs[i] }
func (s modelSort) Less(i, j int) bool { return s.less(&s.kvs[i], &s.kvs[j]) }

func modelOrder(kvs []change, target int32) sort.Interface {
	return modelSort{kvs, map[int32]func(a, b *change) bool{
		TargetKey:     func(a, b *change) bool { return a.key < b.key },
		TargetVersion: func(a, b *change) bool { return a.version < b.version },
		TargetCreate:  func(a, b *change) bool { return a.create < b.create },
		TargetMod:     func(a, b *change) bool { return a.rev.Main < b.rev.Main },
		TargetValue:   func(a, b *change) bool { return a.value < b.value },
	}[target]}
}

// kept tells whether a compaction at rev keeps a change.
func (m *model) kept(c *change, rev int64) bool {
	if c.rev.Main > rev {
		return true
	}
	newest := m.newest(c.key, rev)
	return newest.rev == c.rev && (!c.deleted() || c.rev.Main == rev)
}

// hash follows api.md 7.7 on what a finished compaction at compact leaves, with
// the keep set of etcd's HashKV, or of its compaction.
func (m *model) hash(rev, compact int64, ofCompaction bool) KVHash {
	keep := map[base.Revision]bool{}
	for _, c := range m.state(rev) {
		keep[c.rev] = true
	}
	if ofCompaction {
		for i := range m.changes {
			if c := &m.changes[i]; c.deleted() && c.rev.Main == rev && m.kept(c, rev) {
				keep[c.rev] = true
			}
		}
	}
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	h.Write([]byte("key"))
	for i := range m.changes {
		c := &m.changes[i]
		switch {
		case c.rev.Main > rev, !m.kept(c, compact):
		case c.rev.Main <= compact && len(keep) > 0 && !keep[c.rev]:
		case c.rev.Main == compact && c.deleted():
		default:
			h.Write(base.AppendRevision(nil, c.rev, c.deleted()))
			h.Write(c.payload())
		}
	}
	return KVHash{Hash: h.Sum32(), CompactRev: compact, Revision: rev}
}

func (m *model) hashKV(rev int64) (KVHash, error) {
	for _, h := range m.hashes {
		if h.Revision == rev && rev != 0 {
			return h, nil
		}
	}
	switch {
	case rev > m.rev:
		return KVHash{}, errs.ErrFutureRev
	case rev > 0 && rev < m.compact:
		return KVHash{}, errs.ErrCompacted
	case rev == 0:
		rev = m.rev
	}
	return m.hash(rev, m.compact, false), nil
}

// events returns what a watch from revision from sees, with what prev_kv shows.
func (m *model) events(from, to int64) (evs []string) {
	for i := range m.changes {
		c := &m.changes[i]
		if c.rev.Main < from || c.rev.Main > to || !m.kept(c, m.compact) {
			continue
		}
		var prev []byte
		creation := !c.deleted() && c.create == c.rev.Main
		if !creation && c.rev.Main-1 >= m.compact {
			if p := m.newest(c.key, c.rev.Main-1); p != nil && !p.deleted() {
				prev = p.payload()
			}
		}
		evs = append(evs, fmt.Sprintf("%v %v %q %q prev %q", c.rev, c.deleted(), c.key, c.payload(), prev))
	}
	return evs
}
