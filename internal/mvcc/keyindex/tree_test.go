package keyindex

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"keelson/internal/base"
)

// TestCountAfterEveryChange compares the counts of a random range after each
// single operation.
func TestCountAfterEveryChange(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	tree := New()
	live := make([]bool, 2000)
	key := func(i int) []byte { return fmt.Appendf(nil, "key/%05d", i) }
	for step := range 20_000 {
		i := r.IntN(len(live))
		e := putEntry(int64(step + 2))
		if r.IntN(3) == 0 {
			e = Entry{Mod: e.Mod, Tombstone: true}
		}
		tree.Put(key(i), e)
		live[i] = !e.Tombstone
		if r.IntN(4) == 0 {
			tree.Compact(key(r.IntN(len(live))), int64(step+3), func(base.Revision) {})
		}
		if r.IntN(100) == 0 {
			tree.Freeze()
		}
		lo, hi := r.IntN(len(live)), r.IntN(len(live))
		var want int64
		for j := lo; j < hi; j++ {
			if live[j] {
				want++
			}
		}
		if got := tree.Peek().Count(key(lo), key(hi)); got != want {
			t.Fatalf("step %d: Count(%d, %d) = %d, want %d", step, lo, hi, got, want)
		}
	}
	if err := tree.check(); err != nil {
		t.Fatal(err)
	}
}

// TestGrowAndEmpty fills a tree of several levels in several orders and empties
// it in others; small nodes must merge on the way down.
func TestGrowAndEmpty(t *testing.T) {
	n := 30_000
	if testing.Short() || raceEnabled {
		n = 9_000 // the race detector is slow, and not looking for this
	}
	up, down := make([]int, n), make([]int, n)
	for i := range n {
		up[i], down[i] = i, n-1-i
	}
	orders := map[string][]int{"up": up, "down": down, "random": rand.New(rand.NewPCG(3, 1)).Perm(n)}
	key := func(i int) []byte { return fmt.Appendf(nil, "%08d", i*7919%n) }
	for inName, in := range orders {
		for outName, out := range orders {
			tree := New()
			for c, i := range in {
				tree.Put(key(i), Entry{Mod: base.Revision{Main: int64(c + 2)}, Tombstone: true})
				if c%777 == 0 {
					tree.Freeze()
				}
			}
			full := tree.Freeze()
			for c, i := range out {
				tree.Compact(key(i), int64(n+10), func(base.Revision) {})
				if c%3000 == 0 {
					if err := tree.check(); err != nil {
						t.Fatalf("in %s, out %s, %d removed: %v", inName, outName, c, err)
					}
					tree.Freeze()
				}
				if c == n*9/10 {
					// Where keys leave at random, neighbours must have merged.
					if leaves := countLeaves(tree.root.n); leaves > n/10/8 {
						t.Errorf("in %s, out %s: %d keys in %d leaves", inName, outName, n/10, leaves)
					}
				}
			}
			if tree.root.n != nil || tree.check() != nil {
				t.Errorf("in %s, out %s: something is left", inName, outName)
			}
			if got := full.CountAt(nil, nil, int64(n+10)); got != 0 {
				t.Errorf("%d live keys among tombstones", got)
			}
			all := 0
			full.ScanAll(nil, nil, func([]byte, []Old, Entry) bool { all++; return true })
			if all != n {
				t.Errorf("in %s, out %s: the frozen root has %d keys, want %d", inName, outName, all, n)
			}
		}
	}
}

func countLeaves(n *node) int {
	if n.leaf() {
		return 1
	}
	sum := 0
	for _, k := range n.kids {
		sum += countLeaves(k.n)
	}
	return sum
}

// TestHugeKeys puts keys as large as a request may carry between small ones,
// with and without a common prefix.
func TestHugeKeys(t *testing.T) {
	const huge = 3 << 19 // 1.5 MiB
	tree, m := New(), model{}
	rev := int64(1)
	put := func(key []byte) {
		rev++
		tree.Put(key, putEntry(rev))
		m.put(string(key), putEntry(rev))
		clear(key) // the tree has its own copy
		if err := tree.check(); err != nil {
			t.Fatalf("after revision %d: %v", rev, err)
		}
	}
	for i := range 70 {
		put(fmt.Appendf(nil, "%03d", i*7%70))
	}
	for i := range 6 {
		put(append(bytes.Repeat([]byte("0"), huge-1), byte('0'+i*5%6)))
		put(append([]byte{'0', byte('0' + i*5%6)}, bytes.Repeat([]byte{0xff}, huge-2)...))
	}
	for _, key := range m.sorted() {
		if e, ok := tree.Get([]byte(key)); !ok || e != m[key].latest {
			t.Fatalf("key of %d bytes: %v, %v", len(key), e, ok)
		}
	}
	root := tree.Freeze()
	var got []string
	root.Scan(nil, nil, func(key []byte, _ Entry) bool { got = append(got, string(key)); return true })
	if !slices.Equal(got, m.sorted()) {
		t.Error("a scan gives other keys")
	}
	for key := range m {
		rev++
		tree.Put([]byte(key), Entry{Mod: base.Revision{Main: rev}, Tombstone: true})
		tree.Compact([]byte(key), rev+1, func(base.Revision) {})
		if err := tree.check(); err != nil {
			t.Fatalf("after the removal of a key of %d bytes: %v", len(key), err)
		}
	}
	if tree.root.n != nil {
		t.Error("something is left")
	}
}

// TestReadersBesideTheWriter has readers on older roots while the writer goes on; it
// is the race detector's test. Every put of a round gives all keys the same
// revision, so a root that saw half a round would show.
func TestReadersBesideTheWriter(t *testing.T) {
	const keys, rounds, readers = 300, 60, 3
	key := func(i int) []byte { return fmt.Appendf(nil, "/registry/leases/node-%05d", i) }
	roots := make(chan Root, readers)
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for r := range roots {
				first := int64(0)
				seen := 0
				r.ScanAll(nil, nil, func(k []byte, olds []Old, e Entry) bool {
					if first == 0 {
						first = e.Mod.Main
					}
					for _, o := range olds {
						if !o.Rev.Less(e.Mod) {
							t.Errorf("key %s: older version %v, latest %v", k, o.Rev, e.Mod)
						}
					}
					if e.Mod.Main != first {
						t.Errorf("key %s is at %v, others at %d", k, e.Mod, first)
					}
					seen++
					return true
				})
				if seen != keys || r.Count(nil, nil) != keys || r.CountAt(nil, nil, first) != keys {
					t.Errorf("%d keys seen, %d counted, want %d", seen, r.Count(nil, nil), keys)
				}
				if mod, _, ok := r.At(key(7), first); !ok || mod.Main != first {
					t.Errorf("At(%d) = %v, %v", first, mod, ok)
				}
			}
		})
	}
	tree := New()
	for round := range int64(rounds) {
		for i := range keys {
			tree.Put(key(i), Entry{Mod: base.Revision{Main: round + 2, Sub: int64(i)}, Create: 2, Version: round + 1})
		}
		if round%7 == 6 {
			for i := range keys {
				tree.Compact(key(i), round-1, func(base.Revision) {})
			}
		}
		root := tree.Freeze()
		for range readers {
			roots <- root
		}
	}
	close(roots)
	wg.Wait()
}
