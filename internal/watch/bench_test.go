package watch

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"keelson/internal/base"
	"keelson/internal/clock"
)

// benchStore shows a revision and has no history: benchmarks of live delivery
// must not need one.
type benchStore struct{ revision int64 }

func (b *benchStore) Acquire() SourceView                       { return b }
func (b *benchStore) Revision() int64                           { return b.revision }
func (b *benchStore) CompactRevision() int64                    { return -1 }
func (b *benchStore) Scan(int64, int64, func(Event) bool) error { panic("a live watcher fell behind") }
func (b *benchStore) KVAt(base.Revision) ([]byte, bool, error)  { return nil, false, nil }
func (b *benchStore) Release()                                  {}

// newIdleHub is a hub without goroutines: the caller is the matcher.
func newIdleHub() *Hub {
	return NewHub(Config{Source: &benchStore{revision: 1}, Clock: clock.NewFake(time.Unix(0, 0))})
}

func oneEvent(rev int64, key string, value []byte) Batch {
	return Batch{Revision: rev, Events: []Event{{Rev: base.Revision{Main: rev}, Key: []byte(key), KV: value}}}
}

var benchValue = []byte(strings.Repeat("v", 512))

// takeQueued empties a stream the way its sender does.
func takeQueued(tb testing.TB, s *Stream, want int) {
	for range want {
		if _, err := s.Next(context.Background()); err != nil {
			tb.Fatal(err)
		}
	}
}

// One event for many watchers: matching, encoding, queueing, taking out.
func BenchmarkFanOut(b *testing.B) {
	for _, c := range []struct{ streams, watchers int }{{1, 1}, {1, 1000}, {1000, 1}, {100, 100}, {1, 10_000}, {10_000, 1}} {
		b.Run(fmt.Sprintf("streams=%d/watchers=%d", c.streams, c.watchers), func(b *testing.B) {
			h := newIdleHub()
			defer h.Close()
			var streams []*Stream
			for range c.streams {
				s := h.NewStream()
				for range c.watchers {
					s.Create(CreateRequest{KeyRange: single("key")})
				}
				takeQueued(b, s, c.watchers)
				streams = append(streams, s)
			}
			rev := int64(1)
			b.ReportAllocs()
			for b.Loop() {
				rev++
				h.matchBatch(oneEvent(rev, "key", benchValue))
				for _, s := range streams {
					takeQueued(b, s, c.watchers)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.streams*c.watchers), "ns/delivery")
		})
	}
}

// The same with the real goroutines: a thousand senders wait for each event.
func BenchmarkFanOutThousandSenders(b *testing.B) {
	h := newIdleHub()
	h.Start()
	var senders sync.WaitGroup
	var round sync.WaitGroup
	for range 1000 {
		s := h.NewStream()
		s.Create(CreateRequest{KeyRange: prefix("key")})
		takeQueued(b, s, 1)
		senders.Go(func() {
			for {
				if _, err := s.Next(context.Background()); err != nil {
					return
				}
				round.Done()
			}
		})
	}
	rev := int64(1)
	b.ReportAllocs()
	for b.Loop() {
		rev++
		round.Add(1000)
		h.Publish(oneEvent(rev, "key", benchValue))
		round.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/delivery")
	h.Close()
	senders.Wait()
}

// What a write costs the applier, and the matcher, among 10,000 watchers that
// it does not concern.
func BenchmarkPublish(b *testing.B) {
	for _, kind := range []string{"keys", "ranges"} {
		h := newIdleHub()
		s := h.NewStream()
		for i := range 10_000 {
			k := fmt.Sprintf("/registry/pods/ns%05d/", i)
			if kind == "keys" {
				s.Create(CreateRequest{KeyRange: single(k)})
			} else {
				s.Create(CreateRequest{KeyRange: prefix(k)})
			}
		}
		takeQueued(b, s, 10_000)
		rev := int64(1)
		b.Run("applier/10000-"+kind, func(b *testing.B) {
			b.ReportAllocs()
			batch := oneEvent(0, "/registry/pods/ns05000/x/none", benchValue)
			for b.Loop() {
				batch.Revision++
				h.Publish(batch)
			}
		})
		b.Run("matcher-miss/10000-"+kind, func(b *testing.B) {
			b.ReportAllocs()
			batch := oneEvent(0, "/registry/pods", benchValue)
			for b.Loop() {
				rev++
				batch.Revision, batch.Events[0].Rev.Main = rev, rev
				h.matchBatch(batch)
			}
		})
		b.Run("matcher-hit/10000-"+kind, func(b *testing.B) {
			b.ReportAllocs()
			batch := oneEvent(0, "/registry/pods/ns05000/", benchValue)
			for b.Loop() {
				rev++
				batch.Revision, batch.Events[0].Rev.Main = rev, rev
				h.matchBatch(batch)
				takeQueued(b, s, 1)
			}
		})
		h.Close()
	}
}

func BenchmarkCreateCancel(b *testing.B) {
	h := newIdleHub()
	defer h.Close()
	s := h.NewStream()
	for i := range 10_000 {
		s.Create(CreateRequest{KeyRange: prefix(fmt.Sprintf("%05d", i))})
	}
	takeQueued(b, s, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		s.Create(CreateRequest{KeyRange: prefix("05000/x"), WatchID: 99_999})
		s.Cancel(99_999)
		takeQueued(b, s, 2)
	}
}

// History for many watchers of one start.
func BenchmarkCatchUp(b *testing.B) {
	store := newFakeStore()
	for i := range 1000 {
		store.apply(put(fmt.Sprintf("key%03d", i%100), string(benchValue)))
	}
	for _, watchers := range []int{1, 500} {
		b.Run(fmt.Sprintf("watchers=%d", watchers), func(b *testing.B) {
			h := NewHub(Config{Source: store, Clock: clock.Real{}})
			h.Start()
			defer h.Close()
			b.ReportAllocs()
			for b.Loop() {
				s := h.NewStream()
				for range watchers {
					s.Create(CreateRequest{KeyRange: prefix("key"), StartRev: 2})
				}
				for n := 0; n < 1000*watchers; {
					r, err := s.Next(context.Background())
					if err != nil {
						b.Fatal(err)
					}
					n += len(r.Events)
				}
				s.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(1000*watchers), "ns/delivery")
		})
	}
}

// An event costs two allocations, its bytes and their shared owner, whatever
// the number of receivers; a write that concerns no one costs none.
func TestDeliveryAllocations(t *testing.T) {
	h := newIdleHub()
	defer h.Close()
	s := h.NewStream()
	for range 100 {
		s.Create(CreateRequest{KeyRange: single("key")})
	}
	takeQueued(t, s, 100)
	rev := int64(1)
	for key, limit := range map[string]float64{"key": 2, "nobody": 0} {
		batch := oneEvent(0, key, benchValue)
		deliver := func() {
			rev++
			batch.Revision, batch.Events[0].Rev.Main = rev, rev
			h.matchBatch(batch)
			if key == "key" {
				takeQueued(t, s, 100)
			}
		}
		deliver()
		if n := testing.AllocsPerRun(50, deliver); n > limit {
			t.Errorf("%q: %v allocations, at most %v are needed", key, n, limit)
		}
	}
}

// Ten thousand watchers on one stream, and ten thousand streams.
func TestManyWatchers(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		const many = 10_000
		one := h.hub.NewStream()
		for range many {
			one.Create(CreateRequest{KeyRange: single("k")})
		}
		var streams []*Stream
		for range many {
			s := h.hub.NewStream()
			s.Create(CreateRequest{KeyRange: prefix("k")})
			streams = append(streams, s)
		}
		h.write(put("k", "x"))
		h.settle()
		if st := h.hub.Stats(); st.Watchers != 2*many || st.PendingEvents != 2*many || st.SlowWatchers != 0 {
			t.Errorf("%+v", st)
		}
		takeQueued(t, one, 2*many)
		for _, s := range streams {
			takeQueued(t, s, 2)
		}
		for _, s := range streams {
			s.Close()
		}
		if st := h.hub.Stats(); st.Watchers != many || st.Streams != 1 || st.PendingEvents != 0 {
			t.Errorf("%+v", st)
		}
	})
}
