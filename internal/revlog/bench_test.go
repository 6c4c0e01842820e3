package revlog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// benchLog is a log of n records with 40-byte keys and payloads of the given
// size, on the real disk.
func benchLog(tb testing.TB, n int, payloadBytes int) (*Log, Options) {
	tb.Helper()
	opts := Options{FS: vfs.OS{}, Dir: tb.TempDir(), NoSync: true}
	l := mustCreate(tb, opts)
	a := newBenchAppender(l, payloadBytes)
	for range n {
		if err := a.next(); err != nil {
			tb.Fatal(err)
		}
	}
	return l, opts
}

// benchAppender appends records without making garbage of its own.
type benchAppender struct {
	log *Log
	m   Meta
	kv  []byte
}

func newBenchAppender(l *Log, payloadBytes int) *benchAppender {
	a := &benchAppender{log: l, kv: make([]byte, max(payloadBytes, 42))}
	key := []byte("/registry/pods/namespace-0001/pod-000001")
	a.kv[0], a.kv[1] = 0x0a, byte(len(key))
	copy(a.kv[2:], key)
	a.m = Meta{Rev: base.Revision{Main: 1}, Create: 1, Version: 1, Key: a.kv[2 : 2+len(key)]}
	return a
}

func (a *benchAppender) next() error {
	a.m.Rev.Main++
	a.m.Prev.Main = a.m.Rev.Main - 1
	a.m.Version++
	_, err := a.log.Append(&a.m, a.kv)
	return err
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := mustCreate(b, Options{FS: vfs.OS{}, Dir: b.TempDir(), NoSync: true})
			a := newBenchAppender(l, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := a.next(); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{100, 512, 1024} {
		l, _ := benchLog(b, 200_000, size)
		l.chores()
		v := l.Publish()
		for where, from := range map[string]base.Revision{"anywhere": {Main: 2}, "tail": {Main: 200_001 - 100}} {
			b.Run(fmt.Sprintf("%s/%d", where, size), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 1))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Get(base.Revision{Main: from.Main + rng.Int64N(200_002-from.Main)}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		v.Release()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadWithoutMap is what Get and Scan cost with system calls, the
// other side of docs/adr/0001.
func BenchmarkReadWithoutMap(b *testing.B) {
	l, _ := benchLog(b, 200_000, 512)
	l.chores()
	v := l.Publish()
	for _, src := range v.sources() {
		if mp := src.file.mapping.Swap(nil); mp != nil {
			if err := mp.unmap(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("get", func(b *testing.B) {
		rng := rand.New(rand.NewPCG(1, 1))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Get(base.Revision{Main: 2 + rng.Int64N(200_000)}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("scan", func(b *testing.B) {
		b.SetBytes(l.Stats().Bytes)
		for b.Loop() {
			if err := v.Scan(base.Revision{}, base.Revision{Main: 1 << 40}, func(Record) bool { return true }); err != nil {
				b.Fatal(err)
			}
		}
	})
	v.Release()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkScan(b *testing.B) {
	l, _ := benchLog(b, 200_000, 512)
	v := l.Publish()
	b.SetBytes(l.Stats().Bytes)
	for b.Loop() {
		n := 0
		err := v.Scan(base.Revision{}, base.Revision{Main: 1 << 40}, func(Record) bool { n++; return true })
		if err != nil || n != 200_000 {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200_000, "ns/record")
	v.Release()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkOpenAndMetasMillion(b *testing.B) {
	l, opts := benchLog(b, 1_000_000, 256)
	man := l.Capture()
	if err := l.SyncTo(man); err != nil {
		b.Fatal(err)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l, err := Open(opts, man)
			if err != nil {
				b.Fatal(err)
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	l, err := Open(opts, man)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("metas", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			if err := l.Metas(func(batch []Meta) error { n += len(batch); return nil }); err != nil || n != 1_000_000 {
				b.Fatal(n, err)
			}
		}
	})
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkReclaim(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		l, _ := benchLog(b, 300_000, 512)
		for rev := range int64(300_000) {
			if rev%2 == 0 {
				l.MarkDead(base.Revision{Main: rev + 2})
			}
		}
		if err := l.Rotate(); err != nil {
			b.Fatal(err)
		}
		l.Publish().Release()
		b.SetBytes(l.Stats().Bytes)
		b.StartTimer()
		for {
			more, err := l.Reclaim(context.Background(), 0.3, nil)
			if err != nil {
				b.Fatal(err)
			}
			if !more {
				break
			}
		}
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	opts := Options{FS: vfs.OS{}, Dir: t.TempDir(), NoSync: true, Inline: true}
	l := mustCreate(t, opts)
	a := newBenchAppender(l, 100)
	n := testing.AllocsPerRun(20, func() {
		for range 10_000 {
			if err := a.next(); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n > 20 { // tail buffers and growing position tables
		t.Errorf("%v allocations in 10000 appends", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestGetDoesNotAllocate(t *testing.T) {
	opts := Options{FS: vfs.OS{}, Dir: t.TempDir(), NoSync: true, Inline: true, SegmentBytes: 1 << 20, TailBytes: 64 << 10}
	l := mustCreate(t, opts)
	a := newBenchAppender(l, 100)
	for range 30_000 {
		if err := a.next(); err != nil {
			t.Fatal(err)
		}
	}
	v := l.Publish()
	for _, src := range v.sources() {
		for where, rev := range map[string]base.Revision{"first": src.tab.first(), "last": src.tab.last()} {
			if from, _ := src.extent(len(src.tab.pos) - 1); from < src.tailOff && src.file.mapping.Load() == nil {
				continue // without mappings a read needs memory
			}
			n := testing.AllocsPerRun(100, func() {
				if _, err := v.Get(rev); err != nil {
					t.Fatal(err)
				}
			})
			if n != 0 {
				t.Errorf("Get of the %s record of segment %d: %v allocations", where, src.file.id, n)
			}
		}
	}
	v.Release()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
