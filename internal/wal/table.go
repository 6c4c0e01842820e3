package wal

import (
	"slices"
	"sort"

	"keelson/internal/base"
)

// place is where an entry lies in its segment. It holds no pointer, so the
// garbage collector never looks inside the table however long the log is.
type place struct {
	off8 uint32 // offset of the frame in units of 8 bytes: up to 32 GiB
	prev chain  // checksum before the entry, to verify it without its neighbours
}

func newPlace(off int64, prev chain) place { return place{off8: uint32(off / 8), prev: prev} }

func (p place) offset() int64 { return int64(p.off8) * 8 }

// run is the stretch of current entries that lies in one segment: entry
// first+i is at places[i].
type run struct {
	seg    *segment
	first  base.Index
	places []place
}

func (r *run) end() base.Index { return r.first + base.Index(len(r.places)) }

// termRun says that entries from first on, up to the next run, have term.
type termRun struct {
	first base.Index
	term  base.Term
}

// table knows where each current entry is and which term it has. Entries that
// were overridden are not in it.
//
//	base | run | run      | run   |
//	     ^first()              ^last()
//
// Invariant: runs follow each other without a gap, from before+1 on; the
// first term run begins at before when its term is known, else at before+1.
type table struct {
	before base.Index // the entry in front of the first one
	runs   []run
	terms  []termRun
}

// reset empties the table; the next entry is after index. A zero term is an
// unknown one, except at index 0.
func (t *table) reset(index base.Index, term base.Term) {
	t.before = index
	t.runs = nil
	t.terms = t.terms[:0]
	if term != 0 || index == 0 {
		t.terms = append(t.terms, termRun{index, term})
	}
}

func (t *table) first() base.Index { return t.before + 1 }

func (t *table) last() base.Index {
	if len(t.runs) == 0 {
		return t.before
	}
	return t.runs[len(t.runs)-1].end() - 1
}

// term returns the term of an entry in the table or of the one before it.
func (t *table) term(i base.Index) (base.Term, bool) {
	if i < t.before || i > t.last() {
		return 0, false
	}
	n := sort.Search(len(t.terms), func(k int) bool { return t.terms[k].first > i })
	if n == 0 {
		return 0, false
	}
	return t.terms[n-1].term, true
}

// add appends entry i, overriding it and what follows if it is there already.
// The caller has checked that i continues the log: i <= last()+1.
func (t *table) add(seg *segment, i base.Index, term base.Term, p place) {
	switch {
	case i <= t.before: // everything known is overridden, and more
		t.reset(i-1, 0)
	case i <= t.last():
		t.truncate(i)
	}
	if n := len(t.runs); n == 0 || t.runs[n-1].seg != seg {
		t.runs = append(t.runs, run{seg: seg, first: i})
	}
	r := &t.runs[len(t.runs)-1]
	r.places = append(r.places, p)
	if n := len(t.terms); n == 0 || t.terms[n-1].term != term {
		t.terms = append(t.terms, termRun{i, term})
	}
}

// truncate drops entry i and all after it; i is in the table.
func (t *table) truncate(i base.Index) {
	n := len(t.runs)
	for n > 0 && t.runs[n-1].first >= i {
		n--
	}
	t.runs = slices.Delete(t.runs, n, len(t.runs))
	if n > 0 {
		r := &t.runs[n-1]
		r.places = r.places[:i-r.first]
	}
	k := len(t.terms)
	for k > 0 && t.terms[k-1].first >= i {
		k--
	}
	t.terms = t.terms[:k]
}

// snapshot applies a snapshot record. When the log has that very entry it goes
// on as it is; otherwise the snapshot came from a leader and replaces all of
// the log, as raft's own restore does. It reports whether it did.
func (t *table) snapshot(index base.Index, term base.Term) (replaced bool) {
	if index < t.before {
		return false
	}
	known, ok := t.term(index)
	switch {
	case ok && known == term:
		return false
	case !ok && index == t.before: // only now its term is known
		t.terms = slices.Insert(t.terms, 0, termRun{index, term})
		return false
	}
	t.reset(index, term)
	return true
}

// release drops the entries of segments before seq.
func (t *table) release(seq uint64) {
	n := 0
	for n < len(t.runs) && t.runs[n].seg.seq < seq {
		n++
	}
	if n == 0 {
		return
	}
	before := t.runs[n-1].end() - 1
	term, _ := t.term(before)
	k := sort.Search(len(t.terms), func(k int) bool { return t.terms[k].first > before })
	t.terms = slices.Insert(slices.Clone(t.terms[k:]), 0, termRun{before, term})
	t.runs = slices.Clone(t.runs[n:])
	t.before = before
}

// find returns the run that holds entry i, which is in the table.
func (t *table) find(i base.Index) int {
	return sort.Search(len(t.runs), func(k int) bool { return t.runs[k].end() > i })
}
