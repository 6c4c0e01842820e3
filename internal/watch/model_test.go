package watch

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/clock"
)

var (
	modelSeed  = flag.Uint64("watch.seed", 0, "run the model test with this seed only")
	modelSeeds = flag.Int("watch.seeds", 6, "number of seeds the model test runs")
)

// TestModel runs random clients against a random writer, all goroutines free
// to interleave, and checks for every watcher that what it received is exactly
// what history holds: ordered, unique, whole revisions, nothing missing up to
// each progress message and up to the end.
func TestModel(t *testing.T) {
	if *modelSeed != 0 {
		runModel(t, *modelSeed)
		return
	}
	for seed := range uint64(*modelSeeds) {
		t.Run(fmt.Sprint(seed+1), func(t *testing.T) { runModel(t, seed+1) })
	}
}

type model struct {
	t     *testing.T
	seed  uint64
	store *fakeStore
	hub   *Hub

	created atomic.Int64 // watchers ever asked for
}

func runModel(t *testing.T, seed uint64) {
	before := runtime.NumGoroutine()
	rng := rand.New(rand.NewPCG(seed, 0))
	store := newFakeStore()
	clk := clock.NewFake(time.Unix(1_700_000_000, 0))
	cfg := Config{
		Source: store, Clock: clk, Rand: rand.New(rand.NewPCG(seed, 1)),
		InboxBytes:       1 << (8 + rng.IntN(14)),
		WatcherBytes:     1 << (7 + rng.IntN(10)),
		StreamBytes:      1 << (8 + rng.IntN(12)),
		TotalBytes:       1 << (9 + rng.IntN(14)),
		MaxFragmentBytes: 100 + rng.IntN(2000),
		MaxAnswers:       4 + rng.IntN(100),
		ProgressInterval: time.Second,
		Workers:          1 + rng.IntN(3),
	}
	m := &model{t: t, seed: seed, store: store, hub: NewHub(cfg)}
	m.hub.Start()

	var clients, writer sync.WaitGroup
	stop := make(chan struct{})
	var streams []*modelStream
	for i := range 2 + rng.IntN(6) {
		s := &modelStream{model: m, s: m.hub.NewStream(), watchers: map[int64]*modelWatcher{}, slow: rng.IntN(3) == 0}
		streams = append(streams, s)
		clients.Go(func() { s.receive() })
		reqRand := rand.New(rand.NewPCG(seed, uint64(100+i)))
		writer.Go(func() { s.request(reqRand, stop) })
	}
	m.write(rng, clk, 400+rng.IntN(800))
	close(stop)
	writer.Wait()

	// A last write under a key everyone can wait for: its own watcher on each
	// stream is the sign that the live path is at the end; slower watchers are
	// waited for through manual progress, which is given only when all are live.
	final := m.publish(put("zz-final", "end"))
	for _, s := range streams {
		s.finish(final)
	}
	clients.Wait()
	for _, s := range streams {
		s.check(final)
	}
	m.hub.Close()
	if st := m.hub.Stats(); st.Watchers != 0 || st.Streams != 0 || st.SlowWatchers != 0 || st.PendingBytes != 0 || st.PendingEvents != 0 {
		t.Errorf("seed %d: after Close %+v", seed, st)
	}
	if n := store.openViews(); n != 0 {
		t.Errorf("seed %d: %d views not released", seed, n)
	}
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 1_000_000 {
			buf := make([]byte, 1<<16)
			t.Fatalf("seed %d: goroutines left over:\n%s", seed, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
	if t.Failed() {
		t.Logf("replay: go test -race ./internal/watch -run TestModel -watch.seed=%d", seed)
	}
}

func (m *model) publish(changes ...change) int64 {
	b := m.store.apply(changes...)
	m.hub.Publish(b)
	return b.Revision
}

// write makes n revisions, in batches of several, with compactions and ticks
// of the clock between them. Now and then the hub hears late, or never, which
// is what a snapshot looks like.
func (m *model) write(rng *rand.Rand, clk *clock.Fake, n int) {
	alive := map[string]bool{}
	for i := 0; i < n; {
		var batch Batch
		for range 1 + rng.IntN(5) {
			var changes []change
			used := map[string]bool{}
			for range 1 + rng.IntN(4) {
				key := fmt.Sprintf("k%d", rng.IntN(12))
				if used[key] {
					continue
				}
				used[key] = true
				if alive[key] && rng.IntN(4) == 0 {
					changes = append(changes, del(key))
					alive[key] = false
				} else {
					changes = append(changes, put(key, fmt.Sprint(i, string(make([]byte, rng.IntN(60))))))
					alive[key] = true
				}
			}
			b := m.store.apply(changes...)
			batch.Revision = b.Revision
			batch.Events = append(batch.Events, b.Events...)
			i++
		}
		if rng.IntN(60) == 0 {
			batch.Events = nil // only the revision, as after a snapshot
		}
		m.hub.Publish(batch)
		m.checkBounds()
		switch {
		case rng.IntN(25) == 0:
			low := max(m.store.compacted, 1)
			rev := low + rng.Int64N(batch.Revision-low+1)
			m.store.compact(rev)
			m.hub.Compacted(rev)
		case rng.IntN(20) == 0:
			clk.Advance(time.Second)
		case rng.IntN(3) == 0:
			runtime.Gosched()
		}
	}
}

// checkBounds holds the queues against the budgets: the total, and for every
// watcher the response that may overshoot it. Revisions of this test are below
// a kilobyte, encoded twice at most.
func (m *model) checkBounds() {
	st, cfg := m.hub.Stats(), m.hub.cfg
	watchers := m.created.Load() // what was queued for a cancelled one stays queued
	limit := cfg.TotalBytes + watchers*int64(cfg.WatcherBytes/2+2048)
	if st.PendingBytes > limit {
		m.t.Errorf("seed %d: %d bytes queued, the bound for %d watchers is %d", m.seed, st.PendingBytes, watchers, limit)
	}
	if st.InboxBytes > int64(cfg.InboxBytes) && st.InboxBytes > 16<<10 { // one batch always fits
		m.t.Errorf("seed %d: %d bytes in the inbox", m.seed, st.InboxBytes)
	}
}

type modelStream struct {
	model *model
	s     *Stream
	slow  bool

	mu       sync.Mutex
	creates  []*modelWatcher // in request order; answers come in that order
	answered int
	watchers map[int64]*modelWatcher
	retired  []*modelWatcher
	finalRev int64 // 0 until the writer is done
}

type modelWatcher struct {
	req       CreateRequest
	first     int64 // first revision it must see
	header    int64 // of the created answer
	got       []*mvccpb.Event
	partial   bool  // in the middle of fragments
	progress  int64 // highest progress; later events must be above
	ended     bool
	compacted int64
}

func (s *modelStream) fail(format string, args ...any) {
	s.model.t.Errorf("seed %d: %s", s.model.seed, fmt.Sprintf(format, args...))
}

// request makes random requests until stop.
func (s *modelStream) request(rng *rand.Rand, stop chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		switch k := rng.IntN(10); {
		case k < 6 && n < 60:
			req := CreateRequest{
				PrevKV: rng.IntN(2) == 0, Fragment: rng.IntN(2) == 0, ProgressNotify: rng.IntN(2) == 0,
				NoPut: rng.IntN(6) == 0, NoDelete: rng.IntN(6) == 0,
			}
			switch rng.IntN(3) {
			case 0:
				req.KeyRange = single(fmt.Sprintf("k%d", rng.IntN(12)))
			case 1:
				req.KeyRange = prefix("k1")
			case 2:
				req.KeyRange = base.KeyRange{Key: []byte("k"), End: []byte{0}}
			}
			now := s.model.store.current()
			switch rng.IntN(4) {
			case 0, 1:
				req.StartRev = 1 + rng.Int64N(now)
			case 2:
				req.StartRev = now + rng.Int64N(20)
			}
			s.mu.Lock()
			s.creates = append(s.creates, &modelWatcher{req: req})
			s.mu.Unlock()
			s.model.created.Add(1)
			s.s.Create(req)
		case k < 7:
			s.mu.Lock()
			var ids []int64
			for id := range s.watchers {
				ids = append(ids, id)
			}
			s.mu.Unlock()
			if len(ids) > 3 {
				slices.Sort(ids)
				s.s.Cancel(ids[rng.IntN(len(ids))])
			}
		default:
			s.s.Progress()
		}
		for range rng.IntN(200) {
			runtime.Gosched()
		}
	}
}

// finish waits until the stream has a progress message at final.
func (s *modelStream) finish(final int64) {
	s.s.Create(s.addFinal())
	s.mu.Lock()
	s.finalRev = final
	s.mu.Unlock()
	s.s.Progress()
}

// addFinal registers a watcher so that the stream is never empty.
func (s *modelStream) addFinal() CreateRequest {
	req := CreateRequest{KeyRange: single("zz-none")}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.creates = append(s.creates, &modelWatcher{req: req})
	return req
}

// receive is the stream's sender. Once the writer is done it asks for progress
// until it gets the final revision; watchers of the future are cancelled then.
func (s *modelStream) receive() {
	defer s.s.Close()
	for n := 0; ; n++ {
		ctx, cancel := context.WithCancel(context.Background())
		s.mu.Lock()
		final := s.finalRev
		s.mu.Unlock()
		if final != 0 && !s.settleFuture(final) {
			s.s.Progress()
			// Progress may be withheld; come back rather than wait for ever.
			go func() {
				for range 100 {
					runtime.Gosched()
				}
				cancel()
			}()
		} else if final == 0 {
			go func() {
				for range 1000 {
					runtime.Gosched()
				}
				cancel()
			}()
		}
		r, err := s.s.Next(ctx)
		cancel()
		if err != nil {
			continue
		}
		if s.slow && n%8 == 0 && final == 0 {
			for range 3000 {
				runtime.Gosched()
			}
		}
		if s.take(r, final) {
			return
		}
	}
}

// settleFuture cancels watchers that start after final; they would hold back
// progress for ever. It reports whether it cancelled one.
func (s *modelStream) settleFuture(final int64) bool {
	s.mu.Lock()
	var id int64
	found := false
	for i, w := range s.watchers {
		if w.req.StartRev > final && !w.ended {
			id, found = i, true
			break
		}
	}
	s.mu.Unlock()
	if found {
		s.s.Cancel(id)
	}
	return found
}

// take checks one response and notes it; true means that all is received.
func (s *modelStream) take(r Response, final int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Created {
		w := s.creates[s.answered]
		s.answered++
		if r.Canceled || len(r.Events) > 0 || s.watchers[r.WatchID] != nil {
			s.fail("created answer %+v", r)
		}
		w.header, w.first = r.HeaderRevision, w.req.StartRev
		if w.first == 0 {
			w.first = r.HeaderRevision + 1
		}
		s.watchers[r.WatchID] = w
		return false
	}
	if r.WatchID == -1 {
		for id, w := range s.watchers {
			if !w.ended && w.header <= r.HeaderRevision {
				s.noteProgress(id, w, r.HeaderRevision)
			}
		}
		return final != 0 && r.HeaderRevision >= final && s.answered == len(s.creates)
	}
	w := s.watchers[r.WatchID]
	switch {
	case w == nil:
		s.fail("response for unknown watcher: %+v", r)
	case r.Canceled:
		if r.CompactRevision != 0 && (r.HeaderRevision != 0 || r.CancelReason != "") {
			s.fail("compaction cancel %+v", r)
		}
		if w.partial {
			s.fail("watcher %d: cancelled inside a fragmented response", r.WatchID)
		}
		if r.CompactRevision != 0 {
			w.ended, w.compacted = true, r.CompactRevision
			return false
		}
		w.ended = true
		s.retired = append(s.retired, w)
		delete(s.watchers, r.WatchID)
	case len(r.Events) == 0:
		s.noteProgress(r.WatchID, w, r.HeaderRevision)
	default:
		s.takeEvents(w, r)
	}
	return false
}

func (s *modelStream) noteProgress(id int64, w *modelWatcher, rev int64) {
	if w.partial {
		s.fail("watcher %d: progress inside a fragmented response", id)
	}
	if rev < w.req.StartRev || rev < w.header {
		s.fail("watcher %d from %d (created at %d): progress at %d", id, w.req.StartRev, w.header, rev)
	}
	if rev <= w.progress {
		return
	}
	w.progress = rev
	// Everything up to rev must be here by now.
	want := s.model.expected(w, rev)
	if len(want) != len(w.got) && (len(w.got) < len(want) || w.got[len(want)].Kv.ModRevision <= rev) {
		s.fail("watcher %d: progress at %d with %d events, history has %d", id, rev, len(w.got), len(want))
	}
}

func (s *modelStream) takeEvents(w *modelWatcher, r Response) {
	if w.ended {
		s.fail("watcher %d: events after its end", r.WatchID)
	}
	if r.Fragment && !w.req.Fragment {
		s.fail("watcher %d did not ask for fragments", r.WatchID)
	}
	last := int64(0)
	if n := len(w.got); n > 0 {
		last = w.got[n-1].Kv.ModRevision
	}
	for i, raw := range r.Events {
		ev := decodeEvent(s.model.t, raw)
		if ev.Kv.ModRevision <= w.progress {
			s.fail("watcher %d: event at %d after progress at %d", r.WatchID, ev.Kv.ModRevision, w.progress)
		}
		if i == 0 && !w.partial && ev.Kv.ModRevision <= last {
			s.fail("watcher %d: revision %d is torn or repeated", r.WatchID, ev.Kv.ModRevision)
		}
		if ev.Kv.ModRevision > r.HeaderRevision {
			s.fail("watcher %d: event at %d under header %d", r.WatchID, ev.Kv.ModRevision, r.HeaderRevision)
		}
		w.got = append(w.got, ev)
	}
	w.partial = r.Fragment
}

// expected is what the watcher should have received up to rev.
func (m *model) expected(w *modelWatcher, rev int64) []Event {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	var out []Event
	for _, ev := range m.store.history {
		if ev.Rev.Main >= w.first && ev.Rev.Main <= rev && w.req.Contains(ev.Key) &&
			!(ev.Delete && w.req.NoDelete) && !(!ev.Delete && w.req.NoPut) {
			out = append(out, ev)
		}
	}
	return out
}

// check compares everything received with history.
func (s *modelStream) check(final int64) {
	for _, w := range s.watchers {
		want := s.model.expected(w, final)
		if w.compacted == 0 && len(w.got) != len(want) {
			s.fail("watcher %+v: %d events, history has %d", w.req, len(w.got), len(want))
		}
		if w.compacted != 0 && len(w.got) < len(want) && want[len(w.got)].Rev.Main >= w.compacted && s.needsNothingBelow(w, want) {
			s.fail("watcher %+v: cancelled by compaction %d with %d of %d events and nothing missing below", w.req, w.compacted, len(w.got), len(want))
		}
		s.compare(w, want)
	}
	for _, w := range s.retired {
		s.compare(w, s.model.expected(w, final))
	}
}

// needsNothingBelow reports whether the watcher had surely passed the
// compaction: it had received something at or above it.
func (s *modelStream) needsNothingBelow(w *modelWatcher, want []Event) bool {
	return len(w.got) > 0 && want[len(w.got)-1].Rev.Main >= w.compacted
}

// compare checks that what w got is a prefix of want, value by value.
func (s *modelStream) compare(w *modelWatcher, want []Event) {
	if len(w.got) > len(want) {
		s.fail("watcher %+v: %d events, history has only %d", w.req, len(w.got), len(want))
		return
	}
	for i, ev := range w.got {
		h := want[i]
		kv := &mvccpb.KeyValue{Key: h.Key, ModRevision: h.Rev.Main}
		if !h.Delete {
			kv = unmarshalKV(s.model.t, h.KV)
		}
		if (ev.Type == mvccpb.Event_DELETE) != h.Delete || !proto.Equal(ev.Kv, kv) {
			s.fail("watcher %+v: event %d is %v, history has %v", w.req, i, ev, kv)
			return
		}
		if ev.PrevKv == nil {
			continue
		}
		if !w.req.PrevKV || !proto.Equal(ev.PrevKv, unmarshalKV(s.model.t, s.model.store.values[h.Prev])) {
			s.fail("watcher %+v: event %d has previous value %v", w.req, i, ev.PrevKv)
		}
	}
	// A cancelled watcher may stop early, but never inside a revision.
	if n := len(w.got); n > 0 && n < len(want) && want[n].Rev.Main == want[n-1].Rev.Main {
		s.fail("watcher %+v ends inside revision %d", w.req, want[n].Rev.Main)
	}
}

func unmarshalKV(t *testing.T, b []byte) *mvccpb.KeyValue {
	kv := &mvccpb.KeyValue{}
	if err := proto.Unmarshal(b, kv); err != nil {
		t.Fatal(err)
	}
	return kv
}
