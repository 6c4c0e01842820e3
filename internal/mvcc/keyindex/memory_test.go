package keyindex

import (
	"runtime"
	"slices"
	"testing"

	"keelson/internal/base"
)

// heapBytes is the heap in use after a full collection.
func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemoryPerKey holds the promise of the package: at most 100 bytes per
// 40-byte key, whatever order the keys came in.
func TestMemoryPerKey(t *testing.T) {
	n := 200_000 // a million gives the same figures
	if testing.Short() || raceEnabled {
		n = 20_000
	}
	random := randomKeys(n)
	ascending := sortKeys(slices.Clone(random))
	descending := slices.Clone(ascending)
	slices.Reverse(descending)
	for _, c := range []struct {
		name  string
		limit float64
		build func() *Tree
	}{
		{"random order", 100, func() *Tree { return fill(random, 100) }},
		{"random order, one batch", 100, func() *Tree { return fill(random, n) }},
		{"ascending", 100, func() *Tree { return fill(ascending, 100) }},
		{"ascending, one batch", 100, func() *Tree { return fill(ascending, n) }},
		{"descending", 100, func() *Tree { return fill(descending, 100) }},
		{"loaded", 95, func() *Tree { return load(ascending) }},
		{"paths", 75, func() *Tree { return fill(pathKeys(n), 100) }},
	} {
		before := heapBytes()
		tree := c.build()
		per := float64(heapBytes()-before) / float64(n)
		if tree.Len() != int64(n) {
			t.Errorf("%s: %d keys, want %d", c.name, tree.Len(), n)
		}
		t.Logf("%-24s %.1f bytes per key", c.name, per)
		if per > c.limit {
			t.Errorf("%s: %.1f bytes per key, limit %.0f", c.name, per, c.limit)
		}
	}
	runtime.KeepAlive(random)
	runtime.KeepAlive(ascending)
}

func load(sorted [][]byte) *Tree {
	l := NewLoader()
	for i, k := range sorted {
		l.Add(k, nil, putEntry(int64(i+2)))
	}
	return l.Tree()
}

// TestReadsAllocateNothing holds it for the reads that a range request makes.
func TestReadsAllocateNothing(t *testing.T) {
	keys := pathKeys(10_000)
	tree := fill(keys, 100)
	for i, k := range keys {
		tree.Put(k, putEntry(int64(20_000+i)))
	}
	root := tree.Freeze()
	lo, hi := keys[100], keys[9000]
	count := 0
	for name, read := range map[string]func(){
		"Get":     func() { root.Get(keys[777]) },
		"At":      func() { root.At(keys[777], 5000) },
		"Count":   func() { root.Count(lo, hi) },
		"CountAt": func() { root.CountAt(lo, hi, 5000) },
		"Scan": func() {
			root.Scan(lo, hi, func([]byte, Entry) bool { count++; return true })
		},
		"ScanAt": func() {
			root.ScanAt(lo, hi, 5000, func([]byte, base.Revision) bool { count++; return true })
		},
		"ScanAll": func() {
			root.ScanAll(lo, hi, func([]byte, []Old, Entry) bool { count++; return true })
		},
	} {
		// The race detector makes sync.Pool forget on purpose; that is not
		// ours to count, so scans may then allocate their scratch again.
		if got := testing.AllocsPerRun(100, read); got > 0 && !(raceEnabled && got <= 3) {
			t.Errorf("%s makes %.0f allocations", name, got)
		}
	}
}

// TestPutCopiesOneLeaf bounds what a Put of an existing key allocates when
// every node is frozen: the slots of a leaf, and small things.
func TestPutCopiesOneLeaf(t *testing.T) {
	keys := pathKeys(50_000)
	tree := fill(keys, 100)
	const puts = 5000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range puts {
		tree.Put(keys[i*7919%len(keys)], putEntry(int64(100_000+i)))
		tree.Freeze()
	}
	runtime.ReadMemStats(&after)
	// 64 slots are 2 KiB; each of two inner nodes above has up to 64 kids, 1 KiB.
	if got := (after.TotalAlloc - before.TotalAlloc) / puts; got > 5<<10 {
		t.Errorf("a Put allocates %d bytes, limit %d", got, 5<<10)
	}
}
