package keyindex

import (
	"fmt"
	"testing"

	"keelson/internal/base"
)

// TestHotKey gives one key very many versions, beside neighbours that are
// inserted, split off, compacted and removed. Frozen roots see their own
// versions only, although all copies of the leaf share one log.
func TestHotKey(t *testing.T) {
	const versions = 20_000
	tree := New()
	hot := []byte("key-0500")
	for i := range 1000 {
		tree.Put(fmt.Appendf(nil, "key-%04d", i), putEntry(int64(i+2)))
	}
	var roots []Root
	first := int64(10_000)
	for i := range int64(versions) {
		tree.Put(hot, Entry{Mod: base.Revision{Main: first + 2*i}, Create: 502, Version: i + 2})
		if i%1000 == 0 {
			roots = append(roots, tree.Freeze())
			// Neighbours split the leaf around the hot key.
			for j := range 40 {
				tree.Put(fmt.Appendf(nil, "key-0500-%05d-%02d", i, j), putEntry(first+2*i+1))
			}
		}
	}
	if err := tree.check(); err != nil {
		t.Fatal(err)
	}
	root := tree.Freeze()
	for i := range int64(versions) {
		for d := range int64(2) {
			mod, _, ok := root.At(hot, first+2*i+d)
			if !ok || mod.Main != first+2*i {
				t.Fatalf("At(%d) = %v, %v", first+2*i+d, mod, ok)
			}
		}
	}
	if mod, _, ok := root.At(hot, first-1); !ok || mod.Main != 502 {
		t.Errorf("the version before the hot ones is %v, %v", mod, ok)
	}
	if _, _, ok := root.At(hot, 501); ok {
		t.Error("a version before the first one")
	}
	for i, r := range roots {
		want := first + 2*1000*int64(i)
		if e, ok := r.Get(hot); !ok || e.Mod.Main != want {
			t.Errorf("root %d has version %v, want %d", i, e.Mod, want)
		}
		olds := 0
		r.ScanAll(hot, append(hot[:8:8], 0), func(_ []byte, o []Old, _ Entry) bool {
			olds = len(o)
			return true
		})
		if olds != 1000*i+1 {
			t.Errorf("root %d has %d older versions, want %d", i, olds, 1000*i+1)
		}
	}

	// Compaction in steps reports each version exactly once.
	seen := map[base.Revision]bool{}
	for at := first; at <= first+2*versions; at += 999 {
		tree.Compact(hot, at, func(r base.Revision) {
			if seen[r] {
				t.Fatalf("%v is reported twice", r)
			}
			seen[r] = true
		})
		if err := tree.check(); err != nil {
			t.Fatalf("compacted at %d: %v", at, err)
		}
		tree.Freeze()
	}
	tree.Compact(hot, first+2*versions, func(r base.Revision) { seen[r] = true })
	if len(seen) != versions {
		t.Errorf("%d versions reported, want %d", len(seen), versions)
	}
	if mod, _, ok := root.At(hot, first); !ok || mod.Main != first {
		t.Errorf("the frozen root lost a version: %v, %v", mod, ok)
	}
}

// TestChainIsShort counts the steps to any version of a long chain: few, or a
// compaction that asks for every record of a hot key would never end.
func TestChainIsShort(t *testing.T) {
	const n = 1 << 16
	var h history
	var newest place
	for i := range int64(n) {
		newest = h.push(newest, i, 0, false)
	}
	worst := 0
	for rev := int64(0); rev < n; rev += 37 {
		steps := 0
		for p := newest; h.at(p).main > rev; steps++ {
			if j := h.at(p).jump; j != 0 && h.at(j).main > rev {
				p = j
			} else {
				p = h.at(p).older()
			}
		}
		if p, _ := h.floor(newest, rev); h.at(p).main != rev {
			t.Fatalf("floor(%d) is %d", rev, h.at(p).main)
		}
		worst = max(worst, steps)
	}
	if limit := 3 * 16; worst > limit {
		t.Errorf("%d steps in a chain of %d, limit %d", worst, n, limit)
	}
}

// TestCompactRules is the rule of Compact, case by case.
func TestCompactRules(t *testing.T) {
	type version struct {
		main      int64
		tombstone bool
	}
	put, del := func(m int64) version { return version{m, false} }, func(m int64) version { return version{m, true} }
	for _, c := range []struct {
		name     string
		versions []version
		at       int64
		dropped  string
		left     string // "gone" when the key is removed
	}{
		{"only version is later", []version{put(5)}, 4, "[]", "[5]"},
		{"only version is kept", []version{put(5)}, 9, "[]", "[5]"},
		{"newest put before stays", []version{put(2), put(4), put(8)}, 5, "[2]", "[4 8]"},
		{"exactly at", []version{put(2), put(4), put(8)}, 4, "[2]", "[4 8]"},
		{"everything older than the latest", []version{put(2), put(4), put(8)}, 8, "[4 2]", "[8]"},
		{"tombstone before", []version{put(2), del(4), put(8)}, 5, "[4 2]", "[8]"},
		{"tombstone exactly at", []version{put(2), del(4), put(8)}, 4, "[2]", "[4 8]"},
		{"latest is a tombstone before", []version{put(2), del(4)}, 5, "[2 4]", "gone"},
		{"latest is a tombstone exactly at", []version{put(2), del(4)}, 4, "[2]", "[4]"},
		{"latest is a tombstone after", []version{put(2), del(4)}, 3, "[]", "[2 4]"},
		{"lone tombstone", []version{del(4)}, 5, "[4]", "gone"},
	} {
		tree := New()
		for _, v := range c.versions {
			e := putEntry(v.main)
			if v.tombstone {
				e = Entry{Mod: e.Mod, Tombstone: true}
			}
			tree.Put([]byte("k"), e)
		}
		before := tree.Freeze()
		dropped := []int64{}
		tree.Compact([]byte("k"), c.at, func(r base.Revision) { dropped = append(dropped, r.Main) })
		left := "gone"
		tree.Peek().ScanAll(nil, nil, func(_ []byte, olds []Old, latest Entry) bool {
			mains := []int64{}
			for _, o := range olds {
				mains = append(mains, o.Rev.Main)
			}
			left = fmt.Sprint(append(mains, latest.Mod.Main))
			return true
		})
		if got := fmt.Sprint(dropped); got != c.dropped || left != c.left {
			t.Errorf("%s: dropped %s, left %s; want %s, %s", c.name, got, left, c.dropped, c.left)
		}
		if err := tree.check(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.dropped == "[]" && tree.root.n != before.top.n {
			t.Errorf("%s: a copy was made although nothing changed", c.name)
		}
	}
	New().Compact([]byte("k"), 5, func(r base.Revision) { t.Errorf("%v of an absent key", r) })
}

// TestMergeKeepsHistory merges leaves in which some chains are cut: the log that is
// continued and the one that is copied, on either side.
func TestMergeKeepsHistory(t *testing.T) {
	for _, c := range []struct{ left, right int }{{5, 5}, {5, 9}, {9, 5}, {0, 5}, {5, 0}} {
		tree, m := New(), model{}
		rev := int64(1)
		put := func(i int, tombstone bool) {
			rev++
			e := putEntry(rev)
			e.Lease = base.LeaseID(i % 3)
			if tombstone {
				e = Entry{Mod: e.Mod, Tombstone: true}
			}
			key := fmt.Sprintf("%03d", i)
			tree.Put([]byte(key), e)
			m.put(key, e)
		}
		for i := range maxSlots + 20 {
			put(i, false)
		}
		// Key 3 is in the left leaf, key 80 in the right one.
		for key, versions := range map[int]int{3: c.left, 80: c.right} {
			for v := range versions {
				put(key, v%2 == 1)
			}
			if err := compactBoth(tree, m, fmt.Sprintf("%03d", key), rev-int64(versions)+2); err != nil {
				t.Fatal(err)
			}
		}
		root, was := tree.Freeze(), m.clone()
		for i := range maxSlots + 20 {
			if i%10 != 3 && i != 80 {
				put(i, true)
				if err := compactBoth(tree, m, fmt.Sprintf("%03d", i), rev+1); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !tree.root.n.leaf() {
			t.Errorf("%v: the leaves did not merge", c)
		}
		if err := tree.check(); err != nil {
			t.Errorf("%v: %v", c, err)
		}
		if err := compare(tree.Peek(), m, nil, nil, rev/2); err != nil {
			t.Errorf("%v: %v", c, err)
		}
		if err := compare(root, was, nil, nil, rev/2); err != nil {
			t.Errorf("%v: frozen root: %v", c, err)
		}
	}
}
