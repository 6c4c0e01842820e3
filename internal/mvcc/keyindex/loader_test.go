package keyindex

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"keelson/internal/base"
)

// TestLoader builds random trees of many sizes and compares them with the
// model, before and after further writes.
func TestLoader(t *testing.T) {
	for _, n := range []int{0, 1, 2, fillSlots - 1, fillSlots, fillSlots + 1, maxSlots + 1, 1000, fillSlots*fillKids + 1, 9000} {
		for name, makeKey := range keyMakers {
			if n > 1000 && (name == "huge" || name == "long") {
				continue // the short keys make the same trees faster
			}
			r := rand.New(rand.NewPCG(uint64(n), 7))
			m := randomModel(r, n, makeKey)
			l := NewLoader()
			for _, key := range m.sorted() {
				l.Add([]byte(key), m[key].olds, m[key].latest)
			}
			tree := l.Tree()
			if err := tree.check(); err != nil {
				t.Fatalf("%s, %d keys: %v", name, len(m), err)
			}
			root, was := tree.Freeze(), m.clone()
			if err := compare(root, was, nil, nil, 5000); err != nil {
				t.Fatalf("%s, %d keys: %v", name, len(m), err)
			}
			for i := range 200 {
				key, e := makeKey(r), putEntry(int64(200_000+i))
				tree.Put([]byte(key), e)
				m.put(key, e)
			}
			if err := tree.check(); err != nil {
				t.Fatalf("%s, %d keys, then puts: %v", name, len(m), err)
			}
			if err := compare(tree.Peek(), m, nil, nil, 5000); err != nil {
				t.Fatalf("%s, %d keys, then puts: %v", name, len(m), err)
			}
			if err := compare(root, was, nil, nil, 5000); err != nil {
				t.Fatalf("%s, %d keys, root before the puts: %v", name, len(m), err)
			}
		}
	}
}

func randomModel(r *rand.Rand, n int, makeKey func(*rand.Rand) string) model {
	m := model{}
	for i := range n {
		e := Entry{Mod: base.Revision{Main: int64(i + 2), Sub: int64(r.IntN(3))}}
		if e.Tombstone = r.IntN(5) == 0; !e.Tombstone {
			e.Create, e.Version, e.Lease = int64(1+r.IntN(i+1)), int64(1+r.IntN(5)), base.LeaseID(r.IntN(2)*r.IntN(99))
		}
		m.put(makeKey(r), e)
	}
	return m
}

// mustPanic runs f and returns what it panics with.
func mustPanic(t *testing.T, f func()) string {
	t.Helper()
	var text string
	func() {
		defer func() {
			if v := recover(); v != nil {
				text = fmt.Sprint(v)
			}
		}()
		f()
	}()
	if text == "" {
		t.Error("no panic")
	}
	return text
}

// TestBrokenPreconditions holds that a bug of the caller is stopped with the
// values that show it.
func TestBrokenPreconditions(t *testing.T) {
	at := func(main, sub int64) Entry { return Entry{Mod: base.Revision{Main: main, Sub: sub}, Version: 1} }
	loader := func(n int) *Loader {
		l := NewLoader()
		for i := range n {
			l.Add(fmt.Appendf(nil, "k%06d", i), nil, at(5, 0))
		}
		return l
	}
	for _, c := range []struct {
		name string
		want []string
		run  func()
	}{
		{"same revision again", []string{"5/1"}, func() {
			tree := New()
			tree.Put([]byte("k"), at(5, 1))
			tree.Put([]byte("k"), at(5, 1))
		}},
		{"revision goes back", []string{"5/1", "4/9"}, func() {
			tree := New()
			tree.Put([]byte("k"), at(5, 1))
			tree.Put([]byte("k"), at(4, 9))
		}},
		{"large sub", []string{"5/4294967296", "4294967295"}, func() { New().Put([]byte("k"), at(5, 1<<32)) }},
		{"negative sub", []string{"5/-1"}, func() { New().Put([]byte("k"), at(5, -1)) }},
		{"same key twice", []string{"k000000"}, func() { loader(1).Add([]byte("k000000"), nil, at(5, 0)) }},
		{"keys go back", []string{"k000005", "k000004"}, func() { loader(6).Add([]byte("k000004"), nil, at(5, 0)) }},
		{"keys go back across leaves", []string{"k000055", "k"}, func() { loader(fillSlots).Add([]byte("k"), nil, at(5, 0)) }},
		{"olds out of order", []string{"3/0", "2/0"}, func() {
			loader(0).Add([]byte("k"), []Old{{Rev: base.Revision{Main: 3}}, {Rev: base.Revision{Main: 2}}}, at(5, 0))
		}},
		{"old after the latest", []string{"6/0", "5/0"}, func() {
			loader(0).Add([]byte("k"), []Old{{Rev: base.Revision{Main: 6}}}, at(5, 0))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := mustPanic(t, c.run)
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("panic text %q does not show %s", text, want)
				}
			}
		})
	}
}

// TestLargestSub holds that the whole range of 32 bits works.
func TestLargestSub(t *testing.T) {
	tree := New()
	e := Entry{Mod: base.Revision{Main: 7, Sub: 1<<32 - 1}, Create: 7, Version: 1}
	tree.Put([]byte("k"), e)
	tree.Put([]byte("k"), putEntry(8))
	if mod, _, ok := tree.Peek().At([]byte("k"), 7); !ok || mod != e.Mod {
		t.Errorf("At = %v, %v, want %v", mod, ok, e.Mod)
	}
}

// TestEmpty holds that an empty tree and the zero Root answer everything.
func TestEmpty(t *testing.T) {
	for _, r := range []Root{{}, New().Freeze(), NewLoader().Tree().Freeze()} {
		if _, ok := r.Get(nil); ok || r.Len() != 0 || r.Count(nil, nil) != 0 || r.CountAt(nil, nil, 9) != 0 {
			t.Error("an empty root has keys")
		}
		if _, _, ok := r.At([]byte("k"), 9); ok {
			t.Error("an empty root has versions")
		}
		r.Scan(nil, nil, func([]byte, Entry) bool { t.Error("Scan yields"); return true })
		r.ScanAt(nil, nil, 9, func([]byte, base.Revision) bool { t.Error("ScanAt yields"); return true })
		r.ScanAll(nil, nil, func([]byte, []Old, Entry) bool { t.Error("ScanAll yields"); return true })
	}
}
