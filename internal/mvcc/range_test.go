package mvcc

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"keelson/internal/base"
)

// TestSortTies: with many equal elements the order is that of sort.Sort over
// whole key-values, as etcd sorts them, whatever we sort instead.
func TestSortTies(t *testing.T) {
	m := newMemberOpts(t, revlogOptions(1<<20))
	model := newModel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 900 {
		key, value := fmt.Sprintf("k%03d", rnd.IntN(300)), fmt.Sprint(rnd.IntN(4))
		if rnd.IntN(5) == 0 {
			// A few keys at a time share their create and mod revision.
			tx := m.Begin()
			sub := int64(0)
			for i := range 20 {
				key := fmt.Sprintf("t%03d", i*7)
				model.put(base.Revision{Main: model.rev + 1, Sub: sub}, key, value, 0)
				sub++
				if err := tx.Put([]byte(key), []byte(value), 0); err != nil {
					t.Fatal(err)
				}
			}
			tx.End()
			m.Publish()
		} else {
			model.put(base.Revision{Main: model.rev + 1}, key, value, 0)
			m.put(key, value)
		}
		model.rev++
	}
	v := m.View()
	defer v.Release()
	for target := TargetKey; target <= TargetValue; target++ {
		for order := SortNone; order <= SortDescend; order++ {
			for _, limit := range []int64{0, 50} {
				for _, rev := range []int64{0, model.rev - 200} {
					for _, keysOnly := range []bool{false, true} {
						o := RangeOptions{KeyRange: everything, SortTarget: target, SortOrder: order, Limit: limit, Revision: rev, KeysOnly: keysOnly}
						got, err := v.Range(context.Background(), o)
						want, wantErr := model.rangeOver(o, model.rev)
						if err != nil || wantErr != nil || got.Count != want.Count || got.More != want.More ||
							!slices.EqualFunc(got.KVs, want.KVs, bytes.Equal) {
							t.Errorf("target %d order %d limit %d revision %d keys only %v differ (%v)", target, order, limit, rev, keysOnly, err)
						}
					}
				}
			}
		}
	}
}

// TestLimitStopsTheWalk: with a limit and no custom order, neither the count
// nor the limit looks at more keys than are returned.
func TestLimitStopsTheWalk(t *testing.T) {
	m := newMemberOpts(t, revlogOptions(8<<20))
	tx := m.Begin()
	for i := range 20_000 {
		if err := tx.Put(fmt.Appendf(nil, "k%06d", i), []byte("value"), 0); err != nil {
			t.Fatal(err)
		}
	}
	tx.End()
	m.Publish()
	v := m.View()
	defer v.Release()
	for name, o := range map[string]RangeOptions{
		"plain":      {Limit: 10},
		"keys only":  {Limit: 10, KeysOnly: true},
		"by version": {Limit: 10, SortTarget: TargetVersion},
		"filtered":   {Limit: 10, MinMod: 1},
	} {
		o.KeyRange = everything
		plan, err := o.plan()
		if err != nil {
			t.Fatal(err)
		}
		c := collector{r: &v.reader, o: &o, ctx: context.Background(), plan: plan, latest: true, exact: true}
		v.root.Scan([]byte{0}, nil, c.visit)
		if c.visited > 11 {
			t.Errorf("%s: %d keys visited for a limit of 10", name, c.visited)
		}
		if res, err := v.Range(context.Background(), o); err != nil || len(res.KVs) != 10 || res.Count != 20_000 || !res.More {
			t.Errorf("%s: %d keys, count %d, more %v, %v", name, len(res.KVs), res.Count, res.More, err)
		}
	}
}

// TestKeyOf: the key is found without decoding; bytes that are no KeyValue
// have none.
func TestKeyOf(t *testing.T) {
	for _, key := range []string{"", "a", string(bytes.Repeat([]byte("k"), 127)), string(bytes.Repeat([]byte("k"), 128)), string(bytes.Repeat([]byte("k"), 20_000))} {
		c := change{rev: base.Revision{Main: 5}, key: key, value: "v", create: 3, version: 2}
		if got := keyOf(c.payload()); string(got) != key {
			t.Errorf("key of %d bytes: got %d bytes", len(key), len(got))
		}
	}
	for _, b := range [][]byte{nil, {0x12}, {0x0a}, {0x0a, 5, 'a'}, {0x0a, 0xff}, {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}} {
		if got := keyOf(b); got != nil {
			t.Errorf("key of %x: %x", b, got)
		}
	}
}

func FuzzKeyOf(f *testing.F) {
	f.Add([]byte{0x0a, 1, 'k', 0x10, 2})
	f.Add([]byte{0x0a, 0x80, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		if key := keyOf(b); len(key) > len(b) {
			t.Errorf("a key of %d bytes in %d", len(key), len(b))
		}
	})
}
