package watch

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// receive takes everything out and checks that watcher id saw exactly the
// revisions [from, to], each once, in order.
func (h *harness) receive(s *Stream, id, from, to int64) {
	h.t.Helper()
	next := from
	for _, r := range h.drainResponses(s) {
		if r.WatchID != id {
			continue
		}
		for _, raw := range r.Events {
			if rev := decodeEvent(h.t, raw).Kv.ModRevision; rev != next {
				h.t.Fatalf("got revision %d, expected %d", rev, next)
			}
			next++
		}
	}
	if next != to+1 {
		h.t.Errorf("received up to revision %d, wanted %d", next-1, to)
	}
}

// A watcher that does not read is parked at its budget, costs nothing more
// while the store moves on, and continues where it was.
func TestSlowWatcher(t *testing.T) {
	inBubble(t, Config{WatcherBytes: 4 << 10}, func(h *harness) {
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("k")})
		fast := h.hub.NewStream()
		fast.Create(CreateRequest{KeyRange: single("k")})
		h.drain(fast)
		for i := range 1000 {
			h.write(put("k", strings.Repeat("v", 100)))
			if i%10 == 9 {
				h.receive(fast, 0, int64(i-7), int64(i+2))
			}
		}
		h.settle()
		if st := h.hub.Stats(); st.PendingBytes > 5<<10 || st.SlowWatchers != 1 {
			t.Errorf("behind a slow reader: %+v", st)
		}
		h.receive(s, 0, 2, 1001)
		h.write(put("k", "live again"))
		h.expect(s, "0@1002: k=live again/1002")
		h.expect(fast, "0@1002: k=live again/1002")
		if st := h.hub.Stats(); st.SlowWatchers != 0 {
			t.Errorf("all caught up, but %+v", st)
		}
	})
}

// The stream's budget holds for all its watchers together; when it drains each
// of them continues.
func TestSlowStream(t *testing.T) {
	inBubble(t, Config{StreamBytes: 8 << 10}, func(h *harness) {
		s := h.hub.NewStream()
		for i := range 50 {
			s.Create(CreateRequest{KeyRange: prefix(fmt.Sprintf("k%02d", i))})
		}
		for range 20 {
			for i := range 50 {
				h.write(put(fmt.Sprintf("k%02d/x", i), strings.Repeat("v", 100)))
			}
		}
		h.settle()
		if st := h.hub.Stats(); st.PendingBytes > 10<<10 {
			t.Errorf("a stream that is not read holds %+v", st)
		}
		next := make(map[int64]int64)
		for _, r := range h.drainResponses(s) {
			for _, raw := range r.Events {
				rev := decodeEvent(t, raw).Kv.ModRevision
				if want := 2 + r.WatchID + 50*next[r.WatchID]; rev != want {
					t.Fatalf("watcher %d got %d, expected %d", r.WatchID, rev, want)
				}
				next[r.WatchID]++
			}
		}
		for id := range int64(50) {
			if next[id] != 20 {
				t.Errorf("watcher %d got %d of 20", id, next[id])
			}
		}
	})
}

// The budget of all streams counts shared bytes once, stops those who have
// something queued already, and lets the others go on.
func TestTotalBudget(t *testing.T) {
	inBubble(t, Config{TotalBytes: 4 << 10}, func(h *harness) {
		stuck := h.hub.NewStream()
		stuck.Create(CreateRequest{KeyRange: prefix("k")})
		for range 200 {
			h.write(put("k", strings.Repeat("v", 100)))
		}
		h.settle()
		if st := h.hub.Stats(); st.PendingBytes < 3<<10 || st.PendingBytes > 5<<10 {
			t.Errorf("%+v", st)
		}
		other := h.hub.NewStream()
		other.Create(CreateRequest{KeyRange: prefix("k"), StartRev: 2})
		h.receive(other, 0, 2, 201)
		h.write(put("k", "w"))
		h.receive(other, 0, 202, 202)
		h.receive(stuck, 0, 2, 202)
	})
}

// Batches that the matcher did not get to in time are dropped; everyone
// concerned reads them from history.
func TestInboxOverflow(t *testing.T) {
	inBubble(t, Config{InboxBytes: 2 << 10}, func(h *harness) {
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("k")})
		s.Create(CreateRequest{KeyRange: single("k"), StartRev: 150})
		h.write(put("k", "first"))
		h.settle()
		h.hub.mu.Lock() // the matcher stands still
		for range 200 {
			h.write(put("k", strings.Repeat("v", 100)))
		}
		if n := h.hub.inbox.queuedBytes(); n > 2<<10 {
			t.Errorf("the inbox holds %d bytes", n)
		}
		h.hub.mu.Unlock()
		byID := map[int64][]int64{}
		for _, r := range h.drainResponses(s) {
			for _, raw := range r.Events {
				byID[r.WatchID] = append(byID[r.WatchID], decodeEvent(t, raw).Kv.ModRevision)
			}
		}
		for id, from := range map[int64]int64{0: 2, 1: 150} {
			if got := byID[id]; len(got) != int(202-from+1) || got[0] != from || got[len(got)-1] != 202 {
				t.Errorf("watcher %d got %v", id, got)
			}
		}
	})
}

// A snapshot replaces the store: the revision jumps without events.
func TestStoreReplaced(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("k")})
		s.Create(CreateRequest{KeyRange: single("k"), StartRev: 30})
		h.write(put("k", "a"))
		h.expect(s, "0@1: created", "1@1: created", "0@2: k=a/2")
		for range 8 {
			h.store.apply(put("k", "b"))
		}
		h.hub.Publish(Batch{Revision: 10})
		h.receive(s, 0, 3, 10)
		h.write(put("k", "c"))
		h.expect(s, "0@11: k=c/11")
		// Another one, of which history below 25 is gone.
		for range 20 {
			h.store.apply(put("k", "d"))
		}
		h.store.compact(25)
		h.hub.Publish(Batch{Revision: 31})
		h.expect(s, "0@0: canceled compact=25", "1@31: k=d/30 k=d/31")
	})
}

func TestCompactionHitsOnlyTheSlow(t *testing.T) {
	inBubble(t, Config{WatcherBytes: 1 << 10}, func(h *harness) {
		slow, fast := h.hub.NewStream(), h.hub.NewStream()
		slow.Create(CreateRequest{KeyRange: single("k")})
		fast.Create(CreateRequest{KeyRange: single("k")})
		h.drain(fast)
		for i := range 100 {
			h.write(put("k", strings.Repeat("v", 100)))
			h.receive(fast, 0, int64(i+2), int64(i+2))
		}
		h.compact(3) // already queued: nothing is lost
		h.settle()
		if st := h.hub.Stats(); st.Watchers != 2 {
			t.Errorf("%+v", st)
		}
		h.compact(101)
		got := h.drain(slow)
		if last := got[len(got)-1]; last != "0@0: canceled compact=101" {
			t.Errorf("the last response is %s", last)
		}
		for i, line := range got[1 : len(got)-1] {
			if want := fmt.Sprintf("0@%d: k=", i+2); !strings.HasPrefix(line, want) {
				t.Errorf("got %.20s, wanted %s", line, want)
			}
		}
		h.write(put("k", "x"))
		h.expect(fast, "0@102: k=x/102")
		h.expect(slow)
	})
}

// Writes go on while history is read: at every event a worker reads, more are
// published. The watcher misses none and gets none twice.
func TestHandOverUnderWrites(t *testing.T) {
	for _, burst := range []int{1, 3, gapRevisions + 5} {
		t.Run(fmt.Sprint(burst), func(t *testing.T) {
			inBubble(t, Config{}, func(h *harness) {
				for range 20 {
					h.write(put("k", "old"))
				}
				h.settle()
				left := 2000
				h.store.onScan = func(int64) {
					for i := 0; i < burst && left > 0; i++ {
						left--
						h.write(put("k", "new"))
					}
				}
				s := h.hub.NewStream()
				s.Create(CreateRequest{KeyRange: single("k"), StartRev: 5})
				h.settle()
				h.receive(s, 0, 5, h.store.current())
				h.store.onScan = nil
				h.write(put("k", "live"))
				last := h.store.current()
				h.expect(s, fmt.Sprintf("0@%d: k=live/%d", last, last))
			})
		})
	}
}

// History is compacted between a pass and the closing of its gap: what was
// read is delivered, then the watcher hears that the rest is gone.
func TestCompactionDuringHandOver(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		for range 3 {
			h.write(put("k", "a")) // 2 to 4
		}
		h.settle()
		var once bool
		h.store.onScan = func(int64) {
			if once {
				return
			}
			once = true
			h.write(put("k", "b")) // 5
			h.write(put("k", "c")) // 6
			h.compact(6)
			for matched := int64(0); matched < 6; { // the matcher passes the worker
				h.hub.mu.Lock()
				matched = h.hub.matched
				h.hub.mu.Unlock()
				runtime.Gosched()
			}
		}
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("k"), StartRev: 2})
		s.Create(CreateRequest{KeyRange: single("k")})
		got := h.drain(s)
		var first []string
		for _, line := range got {
			if strings.HasPrefix(line, "0@") {
				first = append(first, line)
			}
		}
		want := "0@4: created\n0@6: k=a/2 k=a/3 k=a/4\n0@0: canceled compact=6"
		if strings.Join(first, "\n") != want {
			t.Errorf("got\n%s\nwanted\n%s", strings.Join(first, "\n"), want)
		}
	})
}

// Everything a worker holds when its watchers vanish is given back.
func TestCancelDuringPass(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		for range 10 {
			h.write(put("k", "a"))
		}
		h.settle()
		s, closed := h.hub.NewStream(), h.hub.NewStream()
		reading, proceed := make(chan struct{}), make(chan struct{})
		h.store.onScan = func(rev int64) {
			if rev == 6 {
				reading <- struct{}{}
				<-proceed
			}
		}
		s.Create(CreateRequest{KeyRange: single("k"), StartRev: 2})
		<-reading
		s.Cancel(0)
		closed.Create(CreateRequest{KeyRange: single("k"), StartRev: 2, WatchID: 7})
		<-reading
		closed.Close()
		close(proceed)
		h.expect(s, "0@11: created", "0@11: canceled")
		if st := h.hub.Stats(); st.PendingBytes != 0 || st.PendingEvents != 0 || st.SlowWatchers != 0 {
			t.Errorf("%+v", st)
		}
	})
}
