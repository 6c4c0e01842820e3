package revlog

import (
	"math/bits"
	"slices"

	"keelson/internal/base"
)

// marks is a set of records of one segment, by their index in the position
// table: one bit a record. The words of a value that was handed out never
// change.
type marks struct {
	words []uint64
	count int64
	bytes int64 // size of the marked records
}

func (m *marks) has(i int) bool {
	return i/64 < len(m.words) && m.words[i/64]&(1<<(i%64)) != 0
}

// since yields the records marked in m and not in the earlier state old.
func (m *marks) since(old *marks, yield func(i int)) {
	for w, word := range m.words {
		if w < len(old.words) {
			word &^= old.words[w]
		}
		for ; word != 0; word &= word - 1 {
			yield(w*64 + bits.TrailingZeros64(word))
		}
	}
}

// deadSet is the records of one segment that nobody needs. Guarded by Log.mu.
type deadSet struct {
	marks
	// shared says that a snapshot has the words: the next mark copies them.
	// So Capture costs nothing for a segment, and a segment in which nothing
	// dies is never copied.
	shared bool
}

// mark marks record i of the given size; marking twice counts once.
func (d *deadSet) mark(i int, size int64) {
	if d.has(i) {
		return
	}
	if d.shared {
		d.words, d.shared = slices.Clone(d.words), false
	}
	if w := i / 64; w >= len(d.words) {
		d.words = append(d.words, make([]uint64, w+1-len(d.words))...)
	}
	d.words[i/64] |= 1 << (i % 64)
	d.count++
	d.bytes += size
}

// snapshot returns the marks as they are now.
func (d *deadSet) snapshot() marks {
	d.shared = true
	return d.marks
}

// restoreDead makes the set of a segment from what a manifest says.
func restoreDead(src *source, dead Dead) *deadSet {
	records := len(src.tab.pos)
	d := &deadSet{}
	if dead.count == 0 {
		return d
	}
	d.words = make([]uint64, (records+63)/64)
	for from, to := range dead.runs(records) {
		setBits(d.words, from, to)
		first, _ := src.extent(from)
		_, end := src.extent(to - 1)
		d.bytes += end - first
	}
	d.count = dead.count
	return d
}

// setBits sets the bits in [from, to).
func setBits(words []uint64, from, to int) {
	for i := from; i < to; {
		n := min(64-i%64, to-i)
		words[i/64] |= (1<<n - 1) << (i % 64)
		i += n
	}
}

// MarkDead says that the index retains the record of rev no longer. Views may
// go on reading it; Reclaim frees its bytes. The next Capture remembers it. A
// revision the log does not hold is ignored. Applier only.
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

// deadLocked returns the marks of the segments of v, the active one last. The
// applier calls it in the same breath as Publish: nothing is marked in
// between, so it is no matter if Reclaim replaced a segment of v meanwhile,
// whose marks it has then carried over.
func (l *Log) deadLocked(v *View) []marks {
	all := make([]marks, 0, len(v.set.sealed)+1)
	for _, g := range v.set.sealed {
		all = append(all, g.dead.snapshot())
	}
	return append(all, l.mu.activeDead.snapshot())
}
