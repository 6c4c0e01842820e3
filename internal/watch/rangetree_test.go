package watch

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"keelson/internal/base"
)

// Random intervals come and go; the set must name the same watchers as looking
// at each of them.
func TestMatchSetAgainstAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	randomKey := func() []byte {
		k := make([]byte, 1+rng.IntN(3))
		for i := range k {
			k[i] = byte('a' + rng.IntN(6))
		}
		return k
	}
	var set matchSet
	var all []*watcher
	for step := range 20_000 {
		if rng.IntN(3) > 0 && len(all) < 300 || len(all) == 0 {
			r := base.KeyRange{Key: randomKey(), End: randomKey()}
			switch rng.IntN(4) {
			case 0:
				r.End = nil
			case 1:
				r.End = []byte{0}
			}
			if r.IsEmpty() {
				continue
			}
			w := &watcher{keys: r, id: int64(step)}
			set.add(w)
			all = append(all, w)
		} else {
			i := rng.IntN(len(all))
			set.remove(all[i])
			all = slices.Delete(all, i, i+1)
		}
		key := randomKey()
		var want, got []int64
		for _, w := range all {
			if w.keys.Contains(key) {
				want = append(want, w.id)
			}
		}
		for _, w := range set.appendMatches(nil, key) {
			got = append(got, w.id)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("step %d, key %s: got %v, want %v", step, key, got, want)
		}
		if step%1000 == 0 {
			checkBalance(t, set.ranges.root)
		}
	}
	for _, w := range all {
		set.remove(w)
	}
	if set.ranges.root != nil || len(set.exact) != 0 {
		t.Error("something is left in an empty set")
	}
}

func checkBalance(t *testing.T, n *rangeNode) {
	t.Helper()
	if n == nil {
		return
	}
	checkBalance(t, n.left)
	checkBalance(t, n.right)
	if d := n.left.heightOf() - n.right.heightOf(); d < -1 || d > 1 {
		t.Fatalf("node [%s,%s) leans by %d", n.lo, n.hi, d)
	}
	height, greatest := n.height, n.max
	n.refresh()
	if n.height != height || compareEnds(n.max, greatest) != 0 {
		t.Fatalf("node [%s,%s) says height %d max %q, is %d %q", n.lo, n.hi, height, greatest, n.height, n.max)
	}
}

// Ascending keys are the worst case of an unbalanced tree.
func TestRangeTreeDepth(t *testing.T) {
	var set matchSet
	for i := range 1 << 12 {
		k := fmt.Sprintf("%08d", i)
		set.add(&watcher{keys: base.KeyRange{Key: []byte(k), End: []byte(k + "~")}})
	}
	if h := set.ranges.root.height; h > 18 {
		t.Errorf("height %d for 4096 intervals", h)
	}
}

func TestFIFO(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var f fifo[*int]
	next, first := 0, 0
	for range 10_000 {
		if rng.IntN(2) == 0 {
			v := next
			f.push(&v)
			next++
			continue
		}
		for n := rng.IntN(4); n > 0 && f.len() > 0; n-- {
			if got := **f.front(); got != first {
				t.Fatalf("got %d, want %d", got, first)
			}
			f.pop(16)
			first++
		}
		if f.len() != next-first {
			t.Fatalf("length %d, want %d", f.len(), next-first)
		}
		if f.len() == 0 && len(f.buf) > 16 {
			t.Fatalf("the empty queue holds %d slots", len(f.buf))
		}
	}
}
