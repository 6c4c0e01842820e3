package revlog

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"keelson/internal/base"
)

// tables are the shapes that revisions of a segment take.
var tables = map[string]func(rng *rand.Rand, i int) (mainStep, subs int64){
	"every revision":  func(*rand.Rand, int) (int64, int64) { return 1, 1 },
	"transactions":    func(rng *rand.Rand, _ int) (int64, int64) { return 1, 1 + rng.Int64N(8) },
	"reclaimed":       func(rng *rand.Rand, _ int) (int64, int64) { return 1 + rng.Int64N(20), 1 },
	"reclaimed front": func(_ *rand.Rand, i int) (int64, int64) { return 1 + int64(1_000_000/(i+1)), 1 },
	"steps": func(_ *rand.Rand, i int) (int64, int64) {
		if i%1000 == 0 {
			return 100_000, 1
		}
		return 1, 1
	},
	"one transaction": func(_ *rand.Rand, i int) (int64, int64) { return 1, math.MaxInt32 },
}

func makeTable(records int, shape func(rng *rand.Rand, i int) (mainStep, subs int64)) table {
	rng := rand.New(rand.NewPCG(1, 1))
	var t table
	main := int64(1000)
	for i := 0; i < records; {
		step, subs := shape(rng, i)
		main += step
		for sub := int64(0); sub < subs && i < records; sub++ {
			t.add(base.Revision{Main: main, Sub: sub}, headerBytes+int64(i)*20)
			i++
		}
	}
	return t
}

// TestLowerBound compares the search with one that has nothing to get wrong.
func TestLowerBound(t *testing.T) {
	for what, shape := range tables {
		for _, records := range []int{0, 1, 2, 3, 50, 5000} {
			tab := makeTable(records, shape)
			check := func(r base.Revision) {
				t.Helper()
				want := sort.Search(records, func(i int) bool { return !tab.rev(i).Less(r) })
				if got := tab.lowerBound(r); got != want {
					t.Fatalf("%s of %d: lowerBound(%v) = %d, want %d", what, records, r, got, want)
				}
			}
			for i := range records {
				r := tab.rev(i)
				for _, d := range []int64{-1, 0, 1} {
					check(base.Revision{Main: r.Main + d, Sub: r.Sub})
					check(base.Revision{Main: r.Main, Sub: r.Sub + d})
				}
			}
			for _, main := range []int64{math.MinInt64, -1, 0, 1, 1000, 1 << 32, 1<<32 + 1000, 1<<32 + 1001, 1 << 40, math.MaxInt64} {
				for _, sub := range []int64{math.MinInt64, -1, 0, 1, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64} {
					check(base.Revision{Main: main, Sub: sub})
				}
			}
		}
	}
}

func BenchmarkLowerBound(b *testing.B) {
	for _, what := range []string{"every revision", "transactions", "reclaimed", "reclaimed front", "steps", "one transaction"} {
		tab := makeTable(500_000, tables[what])
		for _, order := range []string{"random", "near"} {
			b.Run(fmt.Sprintf("%s/%s", what, order), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(2, 2))
				revs := make([]base.Revision, 1<<16)
				for i := range revs {
					at := rng.IntN(len(tab.pos))
					if order == "near" {
						at = i + rng.IntN(100)
					}
					revs[i] = tab.rev(at)
				}
				i := 0
				for b.Loop() {
					if _, ok := tab.find(revs[i&(1<<16-1)]); !ok {
						b.Fatal(revs[i&(1<<16-1)])
					}
					i++
				}
			})
		}
	}
}
