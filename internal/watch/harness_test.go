package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/clock"
)

// harness is a hub on a fake store inside a synctest bubble: settle waits
// until the hub has nothing left to do, and the bubble itself fails the test
// when a goroutine is left over.
type harness struct {
	t     *testing.T
	store *fakeStore
	hub   *Hub
	clock *clock.Fake
}

// inBubble runs f with a harness and closes the hub afterwards.
func inBubble(t *testing.T, cfg Config, f func(h *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		clk := clock.NewFake(time.Unix(1_700_000_000, 0))
		cfg.Source, cfg.Clock = store, clk
		h := &harness{t: t, store: store, hub: NewHub(cfg), clock: clk}
		h.hub.Start()
		f(h)
		h.hub.Close()
		if n := store.openViews(); n != 0 {
			t.Errorf("%d views were not released", n)
		}
		st := h.hub.Stats()
		if st.Streams != 0 || st.Watchers != 0 || st.SlowWatchers != 0 || st.PendingEvents != 0 || st.PendingBytes != 0 {
			t.Errorf("after Close: %+v", st)
		}
	})
}

// write applies one revision and publishes it.
func (h *harness) write(changes ...change) int64 {
	b := h.store.apply(changes...)
	h.hub.Publish(b)
	return b.Revision
}

func (h *harness) compact(rev int64) {
	h.store.compact(rev)
	h.hub.Compacted(rev)
}

func (h *harness) settle() { synctest.Wait() }

func prefix(p string) base.KeyRange {
	end := []byte(p)
	end[len(end)-1]++
	return base.KeyRange{Key: []byte(p), End: end}
}

func single(k string) base.KeyRange { return base.KeyRange{Key: []byte(k)} }

// drain takes everything that is queued once the hub is at rest and prints it,
// one response a line.
func (h *harness) drain(s *Stream) []string {
	h.t.Helper()
	var lines []string
	for _, r := range h.drainResponses(s) {
		lines = append(lines, printResponse(h.t, r))
	}
	return lines
}

func (h *harness) drainResponses(s *Stream) []Response {
	h.t.Helper()
	var out []Response
	for {
		r, err := nextNow(s)
		if errors.Is(err, context.Canceled) {
			return out
		}
		if err != nil {
			h.t.Fatalf("Next: %v", err)
		}
		r.Events = append([][]byte(nil), r.Events...)
		out = append(out, r)
	}
}

// nextNow is Next that gives up once the hub is at rest and has nothing.
func nextNow(s *Stream) (r Response, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, err = s.Next(ctx)
	}()
	synctest.Wait()
	cancel()
	<-done
	return r, err
}

// expect compares what is queued with the wanted lines.
func (h *harness) expect(s *Stream, want ...string) {
	h.t.Helper()
	h.compare(h.drain(s), want)
}

// expectByWatcher is expect where the order between watchers is open, as it
// is between workers that read history: lines are sorted by watcher.
func (h *harness) expectByWatcher(s *Stream, want ...string) {
	h.t.Helper()
	got := h.drain(s)
	slices.SortStableFunc(got, func(a, b string) int {
		ida, _, _ := strings.Cut(a, "@")
		idb, _, _ := strings.Cut(b, "@")
		return strings.Compare(ida, idb)
	})
	h.compare(got, want)
}

func (h *harness) compare(lines, want []string) {
	h.t.Helper()
	got := strings.Join(lines, "\n")
	if wanted := strings.Join(want, "\n"); got != wanted {
		h.t.Errorf("responses:\n%s\nwanted:\n%s", got, wanted)
	}
}

// printResponse prints a response as "id@header: flags events".
func printResponse(t *testing.T, r Response) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%d@%d:", r.WatchID, r.HeaderRevision)
	if r.Created {
		b.WriteString(" created")
	}
	if r.Canceled {
		b.WriteString(" canceled")
	}
	if r.CompactRevision != 0 {
		fmt.Fprintf(&b, " compact=%d", r.CompactRevision)
	}
	if r.CancelReason != "" {
		fmt.Fprintf(&b, " reason=%q", r.CancelReason)
	}
	if r.Fragment {
		b.WriteString(" fragment")
	}
	if !r.Created && !r.Canceled && len(r.Events) == 0 {
		b.WriteString(" progress")
	}
	for _, raw := range r.Events {
		b.WriteString(" " + printEvent(decodeEvent(t, raw)))
	}
	return b.String()
}

func decodeEvent(t *testing.T, raw []byte) *mvccpb.Event {
	t.Helper()
	ev := &mvccpb.Event{}
	if err := proto.Unmarshal(raw, ev); err != nil {
		t.Fatalf("event %x: %v", raw, err)
	}
	return ev
}

func printEvent(ev *mvccpb.Event) string {
	out := fmt.Sprintf("%s=%s/%d", ev.Kv.Key, ev.Kv.Value, ev.Kv.ModRevision)
	if ev.Type == mvccpb.Event_DELETE {
		out = fmt.Sprintf("-%s/%d", ev.Kv.Key, ev.Kv.ModRevision)
	}
	if ev.PrevKv != nil {
		out += fmt.Sprintf("(was %s/%d)", ev.PrevKv.Value, ev.PrevKv.ModRevision)
	}
	return out
}
