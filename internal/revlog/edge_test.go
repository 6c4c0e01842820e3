package revlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// TestUnusualRecords appends what mvcc rarely or never does.
func TestUnusualRecords(t *testing.T) {
	onEachFS(t, func(t *testing.T, opts Options) {
		m := newModel(t, mustCreate(t, opts), 13)
		big := bytes.Repeat([]byte("x"), 3*int(opts.SegmentBytes))
		for _, w := range []written{
			{Meta{Rev: base.Revision{Main: 1}}, nil},
			{Meta{Rev: base.Revision{Main: 2}, Key: []byte("k")}, nil},
			{Meta{Rev: base.Revision{Main: 2, Sub: 1}, Key: []byte("key")}, []byte("a payload without its key")},
			{Meta{Rev: base.Revision{Main: 2, Sub: math.MaxUint32}}, []byte("no key")},
			{Meta{Rev: base.Revision{Main: 3}, Key: big[:200], Lease: -1, Create: 9, Version: -5}, big[:10]},
			{Meta{Rev: base.Revision{Main: 4}, Key: []byte("big")}, big},
			{Meta{Rev: base.Revision{Main: 5}, Key: big}, []byte("big key")},
			{Meta{Rev: base.Revision{Main: 6}, Key: []byte("small"), Tombstone: true}, []byte("small")},
			// Further from the last one than a position table reaches.
			{Meta{Rev: base.Revision{Main: 6 + 1<<32}, Key: []byte("far")}, []byte("far")},
			{Meta{Rev: base.Revision{Main: math.MaxInt64}, Prev: base.Revision{Main: 6, Sub: 1}}, []byte("last")},
		} {
			if err := m.append(w.meta, w.kv); err != nil {
				t.Fatal(err)
			}
			v := m.log.Publish()
			rec, err := v.Record(w.meta.Rev)
			if err != nil {
				t.Fatal(err)
			}
			m.same(rec.Meta, rec.KV, rec.Rev)
			v.Release()
		}
		m.checkMetas(m.revs)
		man := m.log.Capture()
		if err := errors.Join(m.log.SyncTo(man), m.log.Close()); err != nil {
			t.Fatal(err)
		}
		l, err := Open(opts, man)
		if err != nil {
			t.Fatal(err)
		}
		m.log = l
		m.checkMetas(m.revs)
		v := l.Publish()
		for _, rev := range m.revs {
			rec, err := v.Record(rev)
			if err != nil {
				t.Fatal(err)
			}
			m.same(rec.Meta, rec.KV, rev)
		}
		v.Release()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAppendOutOfOrderPanics(t *testing.T) {
	l := mustCreate(t, smallOptions(vfs.NewMem()))
	ok := Meta{Rev: base.Revision{Main: 5, Sub: 1}}
	if _, err := l.Append(&ok, nil); err != nil {
		t.Fatal(err)
	}
	for _, rev := range []base.Revision{{}, {Main: 5, Sub: 1}, {Main: 5}, {Main: 4, Sub: 7}, {Main: 6, Sub: -1}, {Main: 6, Sub: 1 << 32}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("revision %v was taken after %v", rev, ok.Rev)
				}
			}()
			_, _ = l.Append(&Meta{Rev: rev}, nil)
		}()
	}
}

func TestScanBounds(t *testing.T) {
	onEachFS(t, func(t *testing.T, opts Options) {
		m := newModel(t, mustCreate(t, opts), 14)
		for range 60 {
			if err := m.tx(200); err != nil {
				t.Fatal(err)
			}
		}
		v := m.log.Publish()
		for range 200 {
			from := base.Revision{Main: m.rng.Int64N(m.main + 2), Sub: m.rng.Int64N(3)}
			to := base.Revision{Main: m.rng.Int64N(m.main + 3), Sub: m.rng.Int64N(3)}
			var want, got []base.Revision
			for _, rev := range m.revs {
				if !rev.Less(from) && rev.Less(to) {
					want = append(want, rev)
				}
			}
			stop := -1
			if len(want) > 0 && m.rng.IntN(3) == 0 {
				stop = 1 + m.rng.IntN(len(want))
				want = want[:stop]
			}
			err := v.Scan(from, to, func(r Record) bool {
				m.same(r.Meta, r.KV, r.Rev)
				got = append(got, r.Rev)
				return len(got) != stop
			})
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("Scan(%v, %v): %v, %v; want %v", from, to, got, err, want)
			}
		}
		v.Release()
		if err := m.log.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestViewReferences(t *testing.T) {
	l := mustCreate(t, smallOptions(vfs.NewMem()))
	v := l.Publish()
	if !v.TryRef() {
		t.Fatal("a fresh view cannot be referenced")
	}
	v.Release()
	v.Release()
	if v.TryRef() {
		t.Fatal("a released view can be referenced")
	}
	defer func() {
		if recover() == nil {
			t.Fatal("one Release too many goes unnoticed")
		}
	}()
	v.Release()
}

// TestViewsOutliveClose reads through a view while the log closes.
func TestViewsOutliveClose(t *testing.T) {
	onEachFS(t, func(t *testing.T, opts Options) {
		m := newModel(t, mustCreate(t, opts), 15)
		for range 60 {
			if err := m.tx(200); err != nil {
				t.Fatal(err)
			}
		}
		v := m.log.Publish()
		if err := m.log.Close(); err != nil {
			t.Fatal(err)
		}
		m.check(v, m.revs)
		v.Release()
		if err := m.log.Close(); !errors.Is(err, ErrClosed) {
			t.Fatalf("closing twice: %v", err)
		}
		if _, err := m.log.Append(&Meta{Rev: base.Revision{Main: m.main + 1}}, nil); !errors.Is(err, ErrClosed) {
			t.Fatalf("Append after Close: %v", err)
		}
	})
}

// TestReadersBesideEverything runs readers against an applier, checkpoints and
// reclaims. The race detector is the judge of most of it.
func TestReadersBesideEverything(t *testing.T) {
	onEachFS(t, func(t *testing.T, opts Options) {
		opts.Inline = false
		m := newModel(t, mustCreate(t, opts), 16)
		var current atomic.Pointer[View]
		current.Store(m.log.Publish())
		acquire := func() *View {
			for {
				if v := current.Load(); v.TryRef() {
					return v
				}
			}
		}
		done := make(chan struct{})
		var readers, background sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					v := acquire()
					n := 0
					err := v.Scan(base.Revision{}, base.Revision{Main: math.MaxInt64}, func(r Record) bool {
						n++
						kv, err := v.Get(r.Rev)
						if err != nil || !bytes.Equal(kv, r.KV) {
							t.Errorf("Get(%v) beside Scan: %v", r.Rev, err)
						}
						return err == nil
					})
					if err != nil {
						t.Errorf("Scan: %v", err)
					}
					v.Release()
				}
			})
		}
		manifests := make(chan Manifest, 1)
		background.Go(func() {
			for man := range manifests {
				if err := m.log.SyncTo(man); err != nil {
					t.Errorf("SyncTo: %v", err)
				}
				if _, err := ParseManifest(man.AppendTo(nil)); err != nil { // while marks are made
					t.Errorf("manifest: %v", err)
				}
				m.log.Retain(man)
				if _, err := m.log.Reclaim(context.Background(), 0.2, nil); err != nil {
					t.Errorf("Reclaim: %v", err)
				}
			}
		})
		for i := range 300 {
			if err := m.tx(200); err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				old := current.Swap(m.log.Publish())
				old.Release()
			}
			if i%20 == 0 {
				m.killOld(m.main - 10)
			}
			if i%10 == 0 {
				select {
				case manifests <- m.log.Capture():
				default:
				}
			}
		}
		close(done)
		close(manifests)
		readers.Wait()
		background.Wait()
		current.Load().Release()
		if err := m.log.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSyncToRefusesForeignManifests(t *testing.T) {
	m := newModel(t, mustCreate(t, smallOptions(vfs.NewMem())), 17)
	if err := m.tx(100); err != nil {
		t.Fatal(err)
	}
	man := m.log.Publish().manifest(9, nil)
	if err := m.log.SyncTo(man); err == nil {
		t.Fatal("SyncTo without Capture succeeded")
	}
	m.log.Capture()
	foreign := man
	foreign.Segments = []SegmentInfo{man.Segments[0]}
	foreign.Segments[0].ID = 7
	if err := m.log.SyncTo(foreign); err == nil {
		t.Fatal("SyncTo of an unknown segment succeeded")
	}
	foreign.Segments[0] = man.Segments[0]
	foreign.Segments[0].Bytes++
	if err := m.log.SyncTo(foreign); err == nil {
		t.Fatal("SyncTo beyond the end succeeded")
	}
}

// TestWalkSeesWhatTheLogHolds reads a closed log's files as etcdutl does.
func TestWalkSeesWhatTheLogHolds(t *testing.T) {
	onEachFS(t, func(t *testing.T, opts Options) {
		m := newModel(t, mustCreate(t, opts), 18)
		for range 60 {
			if err := m.tx(200); err != nil {
				t.Fatal(err)
			}
		}
		man := m.log.Capture()
		if err := errors.Join(m.log.SyncTo(man), m.log.Close()); err != nil {
			t.Fatal(err)
		}
		i := 0
		err := Walk(opts.FS, opts.Dir, man, func(_ string, _ int64, r Record) error {
			if r.Rev != m.revs[i] {
				t.Fatalf("Walk yields %v, not %v", r.Rev, m.revs[i])
			}
			m.same(r.Meta, r.KV, r.Rev)
			i++
			return nil
		})
		if err != nil || i != len(m.revs) {
			t.Fatalf("Walk: %d of %d records, %v", i, len(m.revs), err)
		}
		enough := errors.New("enough")
		if err := Walk(opts.FS, opts.Dir, man, func(string, int64, Record) error { return enough }); !errors.Is(err, enough) {
			t.Fatalf("Walk whose consumer gives up: %v", err)
		}
		man.Segments[0].Records++
		var damage *CorruptError
		if err := Walk(opts.FS, opts.Dir, man, func(string, int64, Record) error { return nil }); !errors.As(err, &damage) {
			t.Fatalf("Walk with another manifest: %v", err)
		}
	})
}

func TestMetasStopsWithItsConsumer(t *testing.T) {
	m := newModel(t, mustCreate(t, smallOptions(vfs.NewMem())), 19)
	for range 100 {
		if err := m.tx(200); err != nil {
			t.Fatal(err)
		}
	}
	enough, batches := errors.New("enough"), 0
	err := m.log.Metas(func([]Meta) error {
		batches++
		return enough
	})
	if batches != 1 || !errors.Is(err, enough) {
		t.Fatalf("%d batches, %v", batches, err)
	}
}

// TestMetasOfLargeSegments is Metas with batches and slabs that fill up, from
// a sidecar and from the records themselves.
func TestMetasOfLargeSegments(t *testing.T) {
	opts := Options{FS: vfs.NewMemWithoutMap(), Dir: "log", SegmentBytes: 2 << 20, Inline: true}
	m := newModel(t, mustCreate(t, opts), 20)
	for m.log.Stats().Segments < 3 {
		if err := m.tx(20); err != nil {
			t.Fatal(err)
		}
	}
	m.checkMetas(m.revs)
	for _, g := range m.log.mu.set.sealed {
		if err := opts.FS.Remove(sidecarName("log", g.info.ID)); err != nil {
			t.Fatal(err)
		}
	}
	m.checkMetas(m.revs)
}
