package revlog

import (
	"math"
	"math/bits"

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
	r.Sub = max(r.Sub, 0)
	if r.Sub > math.MaxUint32 && r.Main < math.MaxInt64 {
		r = base.Revision{Main: r.Main + 1}
	}
	switch {
	case len(t.pos) == 0 || r.Main < t.base:
		return 0
	case r.Main-t.base > math.MaxUint32 || r.Sub > math.MaxUint32:
		return len(t.pos)
	}
	return t.search(uint64(r.Main-t.base)<<32 | uint64(r.Sub))
}

// order is the revision of record i as a number.
func (t *table) order(i int) uint64 { return uint64(t.pos[i].delta)<<32 | uint64(t.pos[i].sub) }

// nearRecords is the first stride of search.
const nearRecords = 8

// search is the index of the first record at or above x. Revisions are spread
// evenly enough that an interpolation comes near, where halving touches a cache
// line a step. From there strides that double find a bracket and halving the
// place: at worst twice the steps of halving alone. A second interpolation was
// measured and costs more than it saves.
func (t *table) search(x uint64) int {
	lo, hi := 0, len(t.pos)-1
	below, above := t.order(lo), t.order(hi)
	switch {
	case x <= below:
		return lo
	case x > above:
		return hi + 1
	case hi-lo > nearRecords:
		// (x-below) * (hi-lo) / (above-below), which is at most hi-lo
		high, low := bits.Mul64(x-below, uint64(hi-lo))
		share, _ := bits.Div64(high, low, above-below)
		lo, hi = t.bracket(x, lo, hi, min(max(lo+int(share), lo+1), hi-1))
	}
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) / 2); t.order(mid) < x {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// bracket narrows lo and hi around x from the guess on, which is between them.
// The record at lo is below x and the one at hi is not, before and after.
func (t *table) bracket(x uint64, lo, hi, guess int) (int, int) {
	switch at := t.order(guess); {
	case at == x:
		return guess - 1, guess
	case at < x:
		lo = guess
		for stride := nearRecords; hi-lo > stride; stride *= 2 {
			if t.order(lo+stride) >= x {
				return lo, lo + stride
			}
			lo += stride
		}
	default:
		hi = guess
		for stride := nearRecords; hi-lo > stride; stride *= 2 {
			if t.order(hi-stride) < x {
				return hi - stride, hi
			}
			hi -= stride
		}
	}
	return lo, hi
}

// find is the index of the record of r.
func (t *table) find(r base.Revision) (int, bool) {
	i := t.lowerBound(r)
	return i, i < len(t.pos) && t.rev(i) == r
}
