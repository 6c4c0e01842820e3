package revlog

import (
	"math/bits"
	"slices"

	"keelson/internal/base"
)

// deadSet marks the records of one segment that nobody needs, by their index
// in the position table: one bit a record. Guarded by Log.mu.
type deadSet struct {
	words []uint64
	count int64
	bytes int64 // size of the marked records
}

// mark marks record i of the given size; marking twice counts once.
func (d *deadSet) mark(i int, size int64) {
	if w := i / 64; w >= len(d.words) {
		d.words = append(d.words, make([]uint64, w+1-len(d.words))...)
	}
	if d.has(i) {
		return
	}
	d.words[i/64] |= 1 << (i % 64)
	d.count++
	d.bytes += size
}

func (d *deadSet) has(i int) bool {
	return i/64 < len(d.words) && d.words[i/64]&(1<<(i%64)) != 0
}

func (d *deadSet) clone() *deadSet {
	return &deadSet{words: slices.Clone(d.words), count: d.count, bytes: d.bytes}
}

// since yields the records marked in d and not in the earlier state old.
func (d *deadSet) since(old *deadSet, yield func(i int)) {
	for w, word := range d.words {
		if w < len(old.words) {
			word &^= old.words[w]
		}
		for ; word != 0; word &= word - 1 {
			yield(w*64 + bits.TrailingZeros64(word))
		}
	}
}

// MarkDead says that the index retains the record of rev no longer. Views may
// go on reading it; Reclaim frees its bytes. A revision the log does not hold
// is ignored, so marking again after a restart is safe. Applier only.
func (l *Log) MarkDead(rev base.Revision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if src := l.app.source(); len(src.tab.pos) > 0 && !rev.Less(src.tab.first()) {
		markIn(&src, l.mu.activeDead, rev)
		return
	}
	set := l.mu.set
	if g := set.lowerBound(rev); g < len(set.sealed) {
		markIn(&set.sealed[g].source, set.sealed[g].dead, rev)
	}
}

func markIn(src *source, d *deadSet, rev base.Revision) {
	if i, ok := src.tab.find(rev); ok {
		from, to := src.extent(i)
		d.mark(i, to-from)
	}
}
