package keyindex

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"keelson/internal/base"
)

// model is the obvious index: a map, sorted when it is asked for an order.
type model map[string]*modelKey

type modelKey struct {
	olds   []Old
	latest Entry
}

func (m model) put(key string, e Entry) {
	k := m[key]
	if k == nil {
		m[key] = &modelKey{latest: e}
		return
	}
	k.olds = append(slices.Clip(k.olds), Old{k.latest.Mod, k.latest.Tombstone})
	k.latest = e
}

// compact applies the rule of Tree.Compact and returns what it drops.
func (m model) compact(key string, at int64) []base.Revision {
	k := m[key]
	if k == nil {
		return nil
	}
	all := append(slices.Clone(k.olds), Old{k.latest.Mod, k.latest.Tombstone})
	keep := 0
	for keep < len(all) && all[keep].Rev.Main <= at {
		keep++
	}
	// all[:keep] is at or before the compaction; the last of them may stay.
	if keep > 0 && (!all[keep-1].Tombstone || all[keep-1].Rev.Main == at) {
		keep--
	}
	var dead []base.Revision
	for _, o := range all[:keep] {
		dead = append(dead, o.Rev)
	}
	if keep == len(all) {
		delete(m, key)
	} else {
		k.olds = slices.Clone(all[keep : len(all)-1])
	}
	return dead
}

func (m model) clone() model {
	c := make(model, len(m))
	for key, k := range m {
		copied := *k
		c[key] = &copied // olds are never changed in place
	}
	return c
}

func (m model) sorted() []string {
	list := make([]string, 0, len(m))
	for key := range m {
		list = append(list, key)
	}
	sort.Strings(list)
	return list
}

func (k *modelKey) at(rev int64) (Old, bool) {
	if k.latest.Mod.Main <= rev {
		return Old{k.latest.Mod, k.latest.Tombstone}, true
	}
	for i := len(k.olds) - 1; i >= 0; i-- {
		if k.olds[i].Rev.Main <= rev {
			return k.olds[i], true
		}
	}
	return Old{}, false
}

func inRange(key string, lo, hi []byte) bool {
	return key >= string(lo) && (hi == nil || key < string(hi))
}

// compare checks everything a Root says about a range against the model.
func compare(r Root, m model, lo, hi []byte, rev int64) error {
	var all, live, at []string
	for _, key := range m.sorted() {
		if !inRange(key, lo, hi) {
			continue
		}
		k := m[key]
		all = append(all, fmt.Sprintf("%q %v %v", key, k.olds, k.latest))
		if !k.latest.Tombstone {
			live = append(live, fmt.Sprintf("%q %v", key, k.latest))
		}
		if o, ok := k.at(rev); ok && !o.Tombstone {
			at = append(at, fmt.Sprintf("%q %v", key, o.Rev))
		}
	}
	var got []string
	r.ScanAll(lo, hi, func(key []byte, olds []Old, latest Entry) bool {
		got = append(got, fmt.Sprintf("%q %v %v", key, olds, latest))
		return true
	})
	if err := sameLines("ScanAll", got, all); err != nil {
		return err
	}
	got = nil
	r.Scan(lo, hi, func(key []byte, e Entry) bool {
		got = append(got, fmt.Sprintf("%q %v", key, e))
		return true
	})
	if err := sameLines("Scan", got, live); err != nil {
		return err
	}
	got = nil
	r.ScanAt(lo, hi, rev, func(key []byte, mod base.Revision) bool {
		got = append(got, fmt.Sprintf("%q %v", key, mod))
		return true
	})
	if err := sameLines("ScanAt", got, at); err != nil {
		return err
	}
	if n := r.Count(lo, hi); n != int64(len(live)) {
		return fmt.Errorf("Count %d, want %d", n, len(live))
	}
	if n := r.CountAt(lo, hi, rev); n != int64(len(at)) {
		return fmt.Errorf("CountAt %d, want %d", n, len(at))
	}
	return nil
}

func sameLines(what string, got, want []string) error {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Errorf("%s item %d is %.200s, want %.200s", what, i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%s gives %d items, want %d", what, len(got), len(want))
	}
	return nil
}

// compareKey checks the point reads of one key.
func compareKey(r Root, m model, key string, rev int64) error {
	e, ok := r.Get([]byte(key))
	o, okAt := Old{}, false
	if k := m[key]; k == nil {
		if ok {
			return fmt.Errorf("Get(%.80q) = %v, want none", key, e)
		}
	} else {
		if !ok || e != k.latest {
			return fmt.Errorf("Get(%.80q) = %v %v, want %v", key, e, ok, k.latest)
		}
		o, okAt = k.at(rev)
	}
	mod, tombstone, ok := r.At([]byte(key), rev)
	if ok != okAt || mod != o.Rev || tombstone != o.Tombstone {
		return fmt.Errorf("At(%.80q, %d) = %v %v %v, want %v %v", key, rev, mod, tombstone, ok, o, okAt)
	}
	return nil
}

// A keyMaker makes random keys of one style out of a limited set, so that
// puts meet existing keys.
var keyMakers = map[string]func(r *rand.Rand) string{
	"short binary": func(r *rand.Rand) string {
		b := make([]byte, r.IntN(4))
		for i := range b {
			b[i] = "\x00\x01a\xff"[r.IntN(4)]
		}
		return string(b)
	},
	"registry paths": func(r *rand.Rand) string {
		return fmt.Sprintf("/registry/%s/ns-%02d/name-%03d",
			[]string{"pods", "events", "leases", "configmaps"}[r.IntN(4)], r.IntN(10), r.IntN(40))
	},
	"random": func(r *rand.Rand) string {
		b := make([]byte, 12)
		for i := range b {
			b[i] = byte(r.UintN(3)) * 85
		}
		return string(b[:4+r.IntN(3)])
	},
	"numbers": func(r *rand.Rand) string { return fmt.Sprintf("%06d", r.IntN(3000)) },
	"long": func(r *rand.Rand) string {
		n := r.IntN(60)
		return strings.Repeat("x", n*n/2) + fmt.Sprint(r.IntN(20))
	},
	"huge": func(r *rand.Rand) string {
		switch r.IntN(20) {
		case 0:
			return strings.Repeat("h", 20_000) + fmt.Sprint(r.IntN(80))
		case 1:
			return fmt.Sprint(r.IntN(80)) + strings.Repeat("h", 9_000)
		}
		return "h" + fmt.Sprint(r.IntN(300))
	},
}

// TestModel runs random operations on a tree and on the model. At random
// moments the tree is frozen; every Root must go on answering as the model did at that
// moment, whatever happens later.
func TestModel(t *testing.T) {
	for name, makeKey := range keyMakers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(4) {
				steps := 4000
				if name == "huge" || name == "long" {
					steps = 1500
				}
				if testing.Short() || raceEnabled {
					steps /= 4
				}
				if err := runModel(seed, steps, makeKey); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

type frozen struct {
	root Root
	want model
	rev  int64
}

func runModel(seed uint64, steps int, makeKey func(*rand.Rand) string) error {
	r := rand.New(rand.NewPCG(seed, 1))
	tree, m := New(), model{}
	var roots []frozen
	main, sub := int64(1), int64(0)
	deletes := 10 + r.IntN(40) // per cent
	for step := range steps {
		if sub++; r.IntN(3) > 0 {
			main, sub = main+1, 0
		}
		key := makeKey(r)
		switch op := r.IntN(1000); {
		case op < 700:
			e := Entry{Mod: base.Revision{Main: main, Sub: sub}}
			if r.IntN(100) < deletes {
				e.Tombstone = true
			} else {
				e.Create, e.Version = r.Int64N(main+1), 1+r.Int64N(9)
				if r.IntN(4) == 0 {
					e.Lease = base.LeaseID(r.Uint64())
				}
			}
			tree.Put([]byte(key), e)
			m.put(key, e)
		case op < 985:
			if err := compactBoth(tree, m, key, r.Int64N(main+1)+int64(r.IntN(2))); err != nil {
				return fmt.Errorf("step %d: %w", step, err)
			}
		case op < 990:
			// A whole compaction: what makes leaves empty and merge.
			at := main - r.Int64N(min(main, 200))
			for _, key := range m.sorted() {
				if err := compactBoth(tree, m, key, at); err != nil {
					return fmt.Errorf("step %d: %w", step, err)
				}
			}
		default:
			roots = append(roots, frozen{tree.Freeze(), m.clone(), main})
			if len(roots) > 12 {
				i := r.IntN(len(roots))
				roots = slices.Delete(roots, i, i+1)
			}
		}
		if tree.Len() != m.live() {
			return fmt.Errorf("step %d: Len %d, want %d", step, tree.Len(), m.live())
		}
		if err := compareKey(tree.Peek(), m, key, r.Int64N(main+2)); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		if step%40 == 0 || step == steps-1 {
			if err := tree.check(); err != nil {
				return fmt.Errorf("step %d: %w", step, err)
			}
		}
		if step%300 == 0 {
			all := append(slices.Clone(roots), frozen{tree.Peek(), m, main})
			if err := compareSome(r, all[r.IntN(len(all))], makeKey); err != nil {
				return fmt.Errorf("step %d: %w", step, err)
			}
		}
	}
	for i, f := range append(roots, frozen{tree.Peek(), m, main}) {
		if err := compare(f.root, f.want, nil, nil, f.rev-r.Int64N(f.rev)); err != nil {
			return fmt.Errorf("at the end, root %d: %w", i, err)
		}
	}
	return nil
}

func (m model) live() int64 {
	var n int64
	for _, k := range m {
		if !k.latest.Tombstone {
			n++
		}
	}
	return n
}

func compactBoth(tree *Tree, m model, key string, at int64) error {
	var got []base.Revision
	tree.Compact([]byte(key), at, func(r base.Revision) { got = append(got, r) })
	want := m.compact(key, at)
	slices.SortFunc(got, base.Revision.Compare)
	if !slices.Equal(got, want) {
		return fmt.Errorf("Compact(%.80q, %d) drops %v, want %v", key, at, got, want)
	}
	return nil
}

// compareSome compares the whole root or a random range of it.
func compareSome(r *rand.Rand, f frozen, makeKey func(*rand.Rand) string) error {
	var lo, hi []byte
	if r.IntN(3) > 0 {
		lo = []byte(makeKey(r))
	}
	if r.IntN(3) > 0 {
		hi = []byte(makeKey(r))
	}
	if err := compare(f.root, f.want, lo, hi, r.Int64N(f.rev+2)); err != nil {
		return fmt.Errorf("range [%.80q, %.80q): %w", lo, hi, err)
	}
	return nil
}

// TestScanStops holds that a scan ends where its yield says so.
func TestScanStops(t *testing.T) {
	tree := New()
	for i := range 1000 {
		tree.Put(fmt.Appendf(nil, "%04d", i), putEntry(int64(i+2)))
	}
	root := tree.Freeze()
	for _, limit := range []int{1, 63, 500} {
		var scan, at, all [][]byte
		root.Scan([]byte("0100"), nil, func(key []byte, _ Entry) bool {
			scan = append(scan, bytes.Clone(key))
			return len(scan) < limit
		})
		root.ScanAt([]byte("0100"), nil, 1<<40, func(key []byte, _ base.Revision) bool {
			at = append(at, bytes.Clone(key))
			return len(at) < limit
		})
		root.ScanAll([]byte("0100"), nil, func(key []byte, _ []Old, _ Entry) bool {
			all = append(all, bytes.Clone(key))
			return len(all) < limit
		})
		for _, got := range [][][]byte{scan, at, all} {
			if len(got) != limit || string(got[limit-1]) != fmt.Sprintf("%04d", 99+limit) {
				t.Errorf("limit %d: %d keys, last %q", limit, len(got), got[len(got)-1])
			}
		}
	}
}

func putEntry(main int64) Entry {
	return Entry{Mod: base.Revision{Main: main}, Create: main, Version: 1}
}
