package revlog

import (
	"math"
	"sort"

	"keelson/internal/base"
)

// position is where a record of a segment begins. Twelve bytes without
// pointers: the garbage collector never looks into a table.
type position struct {
	delta  uint32 // main revision, counted from the table's base
	sub    uint32
	offset uint32 // from the start of the file
}

// table maps the revisions of one segment to positions. A table value is
// immutable; the active segment's grows by append, which leaves values taken
// earlier as they are.
type table struct {
	base int64 // main revision of the first record
	pos  []position
}

// fits tells whether a record of that main revision can be in the table.
func (t *table) fits(main int64) bool {
	return len(t.pos) == 0 || main-t.base <= math.MaxUint32
}

// add appends the next record. Its revision is above all others.
func (t *table) add(r base.Revision, offset int64) {
	if len(t.pos) == 0 {
		t.base = r.Main
	}
	t.pos = append(t.pos, position{delta: uint32(r.Main - t.base), sub: uint32(r.Sub), offset: uint32(offset)})
}

func (t *table) rev(i int) base.Revision {
	p := t.pos[i]
	return base.Revision{Main: t.base + int64(p.delta), Sub: int64(p.sub)}
}

func (t *table) first() base.Revision {
	if len(t.pos) == 0 {
		return base.Revision{}
	}
	return t.rev(0)
}

func (t *table) last() base.Revision {
	if len(t.pos) == 0 {
		return base.Revision{}
	}
	return t.rev(len(t.pos) - 1)
}

// lowerBound is the index of the first record at or above r.
func (t *table) lowerBound(r base.Revision) int {
	// Where every transaction makes one change and nothing was reclaimed, the
	// distance in revisions is the index. That is the common case of a store
	// with single puts, and one cache line instead of twenty.
	if i := r.Main - t.base; i >= 0 && i < int64(len(t.pos)) && t.rev(int(i)) == r {
		return int(i)
	}
	return sort.Search(len(t.pos), func(i int) bool { return !t.rev(i).Less(r) })
}

// find is the index of the record of r.
func (t *table) find(r base.Revision) (int, bool) {
	i := t.lowerBound(r)
	return i, i < len(t.pos) && t.rev(i) == r
}
