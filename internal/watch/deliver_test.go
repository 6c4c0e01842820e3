package watch

import (
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
)

func TestLiveDelivery(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: prefix("a")})
		s.Create(CreateRequest{KeyRange: prefix("a"), NoPut: true})
		s.Create(CreateRequest{KeyRange: prefix("a"), NoDelete: true, PrevKV: true})
		s.Create(CreateRequest{KeyRange: prefix("a"), NoDelete: true, NoPut: true})
		s.Create(CreateRequest{KeyRange: single("b"), PrevKV: true})
		h.drain(s)

		h.write(put("a1", "x"), put("a2", "y"), put("b", "z"))
		h.expect(s, "0@2: a1=x/2 a2=y/2", "2@2: a1=x/2 a2=y/2", "4@2: b=z/2")
		h.write(del("a1"), put("a2", "yy"))
		h.expect(s, "0@3: -a1/3 a2=yy/3", "1@3: -a1/3", "2@3: a2=yy/3(was y/2)")
		h.write(put("a1", "new"), del("b")) // a creation has no previous value
		h.expect(s, "0@4: a1=new/4", "2@4: a1=new/4", "4@4: -b/4(was z/2)")
		h.write(put("c", "nobody"))
		h.expect(s)
	})
}

// What a delete carries, to the byte: the key and the revision, nothing else.
func TestDeleteEvent(t *testing.T) {
	ev := Event{Delete: true, Rev: base.Revision{Main: 300, Sub: 2}, Key: []byte("key"), KV: mustMarshal(&mvccpb.KeyValue{Key: []byte("key")})}
	want := &mvccpb.Event{
		Type:   mvccpb.Event_DELETE,
		Kv:     &mvccpb.KeyValue{Key: []byte("key"), ModRevision: 300},
		PrevKv: &mvccpb.KeyValue{Key: []byte("key"), Value: []byte("v"), ModRevision: 7, CreateRevision: 7, Version: 1},
	}
	got := decodeEvent(t, appendEvent(nil, &ev, mustMarshal(want.PrevKv)))
	if !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if b := appendEvent(nil, &ev, mustMarshal(want.PrevKv)); cap(b) > len(b)+8 {
		t.Errorf("%d bytes reserved for %d", cap(b), len(b))
	}
}

// A previous value below the compaction is left out, also while its record is
// still there.
func TestPreviousValueCompacted(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.write(put("k", "a"))          // 2
		h.write(put("k", "b"))          // 3
		b4 := h.store.apply(del("k"))   // 4, the matcher has not heard of it
		h.store.apply(put("other", "")) // 5
		h.compact(4)
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("k"), StartRev: 4, PrevKV: true})
		h.hub.Publish(b4)
		h.expect(s, "0@5: created", "0@4: -k/4")
	})
}

// An event that many want is encoded once, and once more with its previous
// value; all responses share the bytes.
func TestSharedBytes(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.write(put("k", "a"))
		h.settle()
		first := make(map[bool]*byte)
		var streams []*Stream
		for i := range 20 {
			s := h.hub.NewStream()
			s.Create(CreateRequest{KeyRange: single("k"), PrevKV: i%2 == 1})
			streams = append(streams, s)
		}
		h.write(put("k", "b"))
		h.settle()
		if st := h.hub.Stats(); st.PendingEvents != 20 || st.PendingBytes > 200 {
			t.Errorf("20 queued events of two encodings: %+v", st)
		}
		for i, s := range streams {
			r := h.drainResponses(s)[1]
			p := &r.Events[0][0]
			if first[i%2 == 1] == nil {
				first[i%2 == 1] = p
			}
			if first[i%2 == 1] != p {
				t.Fatalf("watcher %d has its own copy", i)
			}
		}
		if st := h.hub.Stats(); st.PendingEvents != 0 || st.PendingBytes != 0 {
			t.Errorf("all taken, but %+v", st)
		}
	})
}

func TestFragments(t *testing.T) {
	const limit = 1000
	inBubble(t, Config{MaxFragmentBytes: limit}, func(h *harness) {
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: prefix("k"), Fragment: true})
		s.Create(CreateRequest{KeyRange: prefix("k")})
		h.drain(s)
		var changes []change
		for i := range 30 {
			changes = append(changes, put(fmt.Sprintf("k%02d", i), strings.Repeat("v", 100)))
		}
		changes = append(changes, put("k98", strings.Repeat("w", 3*limit)), put("k99", "end"))
		h.write(changes...)
		seen, whole := 0, 0
		for _, r := range h.drainResponses(s) {
			if r.WatchID == 1 {
				whole++
				if len(r.Events) != len(changes) || r.Fragment {
					t.Errorf("unfragmented response: %d events, fragment=%v", len(r.Events), r.Fragment)
				}
				continue
			}
			msg := &etcdserverpb.WatchResponse{
				Header:  &etcdserverpb.ResponseHeader{ClusterId: 1<<64 - 1, MemberId: 1<<64 - 1, Revision: r.HeaderRevision, RaftTerm: 1<<64 - 1},
				WatchId: r.WatchID, Fragment: r.Fragment,
			}
			for _, raw := range r.Events {
				ev := decodeEvent(t, raw)
				if want := changes[seen].key; string(ev.Kv.Key) != want {
					t.Fatalf("event %d is %s, wanted %s", seen, ev.Kv.Key, want)
				}
				msg.Events = append(msg.Events, ev)
				seen++
			}
			if size := proto.Size(msg); size >= limit && len(r.Events) > 1 {
				t.Errorf("fragment of %d bytes with %d events", size, len(r.Events))
			}
			if r.Fragment != (seen < len(changes)) || r.HeaderRevision != 2 {
				t.Errorf("after %d events: fragment=%v header=%d", seen, r.Fragment, r.HeaderRevision)
			}
		}
		if seen != len(changes) || whole != 1 {
			t.Errorf("%d events in fragments, %d whole responses", seen, whole)
		}
	})
}

// A catch-up response holds up to a thousand revisions.
func TestHistoryInBigResponses(t *testing.T) {
	inBubble(t, Config{WatcherBytes: 8 << 20}, func(h *harness) {
		for i := range 2500 {
			h.write(put("k", fmt.Sprint(i)), put("l", ""))
		}
		h.settle()
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: prefix("k"), StartRev: 2})
		s.Create(CreateRequest{KeyRange: base.KeyRange{Key: []byte("a"), End: []byte{0}}, StartRev: 1002})
		sizes := map[int64]string{}
		for _, r := range h.drainResponses(s) {
			if !r.Created {
				sizes[r.WatchID] += fmt.Sprintf("%d@%d ", len(r.Events), r.HeaderRevision)
			}
		}
		if got, want := sizes[0], "1000@2501 1000@2501 500@2501 "; got != want {
			t.Errorf("keys with one event a revision: got %s, want %s", got, want)
		}
		if got, want := sizes[1], "2000@2501 1000@2501 "; got != want {
			t.Errorf("two events a revision: got %s, want %s", got, want)
		}
		if n := h.store.scans; n > 6 {
			t.Errorf("%d scans for two watchers", n)
		}
	})
}

// Many watchers of one start share the readings of history.
func TestHistoryIsShared(t *testing.T) {
	inBubble(t, Config{Workers: 1}, func(h *harness) {
		for i := range 50 {
			h.write(put("k", fmt.Sprint(i)))
		}
		h.settle()
		s := h.hub.NewStream()
		block := make(chan struct{}) // holds the worker until all are there
		h.store.onScan = func(int64) { <-block }
		for range 500 {
			s.Create(CreateRequest{KeyRange: single("k"), StartRev: 2})
		}
		h.settle()
		close(block)
		n := 0
		for _, r := range h.drainResponses(s) {
			n += len(r.Events)
		}
		if n != 500*50 {
			t.Errorf("%d events, wanted %d", n, 500*50)
		}
		if n := h.store.scans; n > 2 {
			t.Errorf("%d scans for 500 watchers, the first alone and the rest together need 2", n)
		}
	})
}

func TestCountsWhileOpen(t *testing.T) {
	inBubble(t, Config{WatcherBytes: 200}, func(h *harness) {
		a, b := h.hub.NewStream(), h.hub.NewStream()
		a.Create(CreateRequest{KeyRange: single("k")})
		a.Create(CreateRequest{KeyRange: single("x")})
		b.Create(CreateRequest{KeyRange: single("k"), StartRev: 99})
		for range 10 {
			h.write(put("k", strings.Repeat("v", 50)))
		}
		h.settle()
		st := h.hub.Stats()
		if st.Streams != 2 || st.Watchers != 3 || st.SlowWatchers != 1 || st.PendingEvents != 2 || st.QueuedEvents != 2 || st.InboxBytes != 0 {
			t.Errorf("%+v", st)
		}
		a.Close()
		if st = h.hub.Stats(); st.Streams != 1 || st.Watchers != 1 || st.SlowWatchers != 0 || st.PendingEvents != 0 || st.PendingBytes != 0 {
			t.Errorf("%+v", st)
		}
	})
}
