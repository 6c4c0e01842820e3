package mvcc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"keelson/internal/base"
	"keelson/internal/revlog"
	"keelson/internal/vfs"
)

// filled returns a member on the real disk with n keys of 40 bytes and values of
// 64, each written once.
func filled(b testing.TB, n int) *member {
	m := newMemberOpts(b, revlog.Options{FS: vfs.OS{}, Dir: b.TempDir() + "/revlog"})
	value := make([]byte, 64)
	for from := 0; from < n; from += 100 {
		tx := m.Begin()
		for i := from; i < min(from+100, n); i++ {
			if err := tx.Put(benchKey(i), value, 0); err != nil {
				b.Fatal(err)
			}
		}
		tx.End()
		m.Publish()
	}
	return m
}

func benchKey(i int) []byte {
	return fmt.Appendf(nil, "/registry/pods/namespace-%02d/pod-%08d", i%50, i)
}

func pods(from, to string) base.KeyRange {
	return base.KeyRange{Key: []byte("/registry/pods/" + from), End: []byte("/registry/pods/" + to)}
}

// BenchmarkPut overwrites keys of a store of 100k, in batches of 100 puts.
func BenchmarkPut(b *testing.B) {
	const keys = 100_000
	m := filled(b, keys)
	value := make([]byte, 512)
	rnd := rand.New(rand.NewPCG(1, 2))
	names := make([][]byte, keys)
	for i := range names {
		names[i] = benchKey(i)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		tx := m.Begin()
		if err := tx.Put(names[rnd.IntN(keys)], value, 0); err != nil {
			b.Fatal(err)
		}
		tx.End()
		if n++; n%100 == 0 {
			m.Publish()
		}
	}
	m.Publish()
}

func BenchmarkRange(b *testing.B) {
	m := filled(b, 1_000_000)
	v := m.View()
	defer v.Release()
	for _, bench := range []struct {
		name string
		o    RangeOptions
	}{
		{"one key", RangeOptions{KeyRange: base.KeyRange{Key: benchKey(123_456)}}},
		{"limit 500 of 1M", RangeOptions{KeyRange: pods("", "z"), Limit: 500}},
		{"limit 500 keys only", RangeOptions{KeyRange: pods("", "z"), Limit: 500, KeysOnly: true}},
		{"limit 500 at an old revision", RangeOptions{KeyRange: pods("namespace-07", "namespace-08"), Limit: 500, Revision: 9_000}},
		{"count 1M", RangeOptions{KeyRange: pods("", "z"), CountOnly: true}},
		{"list 50k", RangeOptions{KeyRange: pods("namespace-10", "namespace-12x")}},
		{"list 50k by mod", RangeOptions{KeyRange: pods("namespace-10", "namespace-12x"), SortTarget: TargetMod, SortOrder: SortDescend}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res, err := v.Range(context.Background(), bench.o)
				if err != nil || res.Count == 0 {
					b.Fatal(res.Count, err)
				}
			}
		})
	}
}

func BenchmarkView(b *testing.B) {
	m := filled(b, 100)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.View().Release()
		}
	})
}

// BenchmarkOpen reopens a store of 1M keys.
func BenchmarkOpen(b *testing.B) {
	m := filled(b, 1_000_000)
	p := m.Capture()
	for b.Loop() {
		s, err := Open(m.cfg, p)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkCompactStep measures one visited record, where every record
// supersedes another.
func BenchmarkCompactStep(b *testing.B) {
	m := filled(b, 100_000)
	m.Store.cfg.HashMaxBytes = 1
	value := make([]byte, 64)
	rnd := rand.New(rand.NewPCG(1, 2))
	more := false
	for b.Loop() {
		if !more {
			b.StopTimer()
			for range 20_000 {
				tx := m.Begin()
				if err := tx.Put(benchKey(rnd.IntN(100_000)), value, 0); err != nil {
					b.Fatal(err)
				}
				tx.End()
			}
			m.Publish()
			if err := m.Compact(m.Revision()); err != nil {
				b.Fatal(err)
			}
			m.Publish()
			b.StartTimer()
		}
		var err error
		if more, err = m.CompactStep(200); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/200, "us/record")
}

func BenchmarkHashKV(b *testing.B) {
	m := filled(b, 100_000)
	for b.Loop() {
		if _, _, err := m.HashKV(context.Background(), 0); err != nil {
			b.Fatal(err)
		}
	}
}
