package mvcc

import (
	"context"
	"fmt"
	"testing"

	"keelson/internal/base"
)

// TestAllocations bounds what the hot calls allocate, whatever the number of
// keys: a list needs its slice of slices and nothing per key.
func TestAllocations(t *testing.T) {
	m := newMemberOpts(t, revlogOptions(8<<20))
	const keys = 5000
	for from := 0; from < keys; from += 100 {
		tx := m.Begin()
		for i := from; i < from+100; i++ {
			if err := tx.Put(fmt.Appendf(nil, "k%05d", i), []byte("a value of some length"), 0); err != nil {
				t.Fatal(err)
			}
		}
		tx.End()
		m.Publish()
	}
	v := m.View()
	defer v.Release()
	one := base.KeyRange{Key: []byte("k01234")}
	read := func(o RangeOptions) func() {
		return func() {
			if _, err := v.Range(context.Background(), o); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name string
		most float64
		f    func()
	}{
		{"View", 0, func() { m.View().Release() }},
		{"Get", 0, func() { v.Get(one.Key) }},
		{"KV", 0, func() {
			if _, ok, err := v.KV(one.Key); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}},
		{"Range one key", 3, read(RangeOptions{KeyRange: one})},
		{"count", 1, read(RangeOptions{KeyRange: everything, CountOnly: true})},
		{"limit 500", 4, read(RangeOptions{KeyRange: everything, Limit: 500})},
		{"list all", 4, read(RangeOptions{KeyRange: everything})},
		{"list all by mod", 8, read(RangeOptions{KeyRange: everything, SortTarget: TargetMod, SortOrder: SortDescend})},
		{"keys of all", 30, read(RangeOptions{KeyRange: everything, KeysOnly: true})},
		{"Scan", 2, func() {
			if err := v.Scan(2, 100, func(Event) bool { return true }); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		if got := testing.AllocsPerRun(20, c.f); got > c.most {
			t.Errorf("%s: %.0f allocations, want at most %.0f", c.name, got, c.most)
		}
	}
}

// TestPutAllocations: what a put allocates is the copy-on-write of the first
// change of a leaf after a publish, and shares of growing buffers.
func TestPutAllocations(t *testing.T) {
	m := newMemberOpts(t, revlogOptions(8<<20))
	key, value := []byte("/registry/leases/kube-system/kube-scheduler"), make([]byte, 400)
	put := func() {
		tx := m.Begin()
		if err := tx.Put(key, value, 7); err != nil {
			t.Fatal(err)
		}
		tx.End()
	}
	for range 200 {
		put()
	}
	if got := testing.AllocsPerRun(200, put); got > 1 {
		t.Errorf("put inside a batch: %.1f allocations, want at most 1", got)
	}
	m.Publish()
	if got := testing.AllocsPerRun(200, func() { put(); m.Publish() }); got > 9 {
		t.Errorf("put and publish: %.1f allocations, want at most 9", got)
	}
}
