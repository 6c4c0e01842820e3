package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestManualProgress(t *testing.T) {
	inBubble(t, Config{WatcherBytes: 1 << 10}, func(h *harness) {
		s := h.hub.NewStream()
		s.Progress() // no watchers
		h.expect(s)
		s.Create(CreateRequest{KeyRange: single("k")})
		s.Progress() // not before the created answer
		h.expect(s, "0@1: created", "-1@1: progress")
		h.write(put("x", "1"))
		s.Progress() // the matcher may be behind: the answer waits for it
		h.expect(s, "-1@2: progress")
		h.write(put("k", "1"))
		s.Progress()
		h.expect(s, "0@3: k=1/3", "-1@3: progress")

		s.Create(CreateRequest{KeyRange: single("k"), StartRev: 5})
		s.Progress() // a watcher of the future: nothing, ever
		h.write(put("x", "2"))
		h.expect(s, "1@3: created")
		h.write(put("x", "3"))
		h.settle()
		s.Progress()
		h.expect(s, "-1@5: progress")

		for range 50 {
			h.write(put("k", strings.Repeat("v", 100)))
		}
		h.settle()
		s.Progress() // a slow watcher: nothing
		for _, line := range h.drain(s) {
			if strings.Contains(line, "progress") {
				t.Errorf("got %s", line)
			}
		}
		s.Progress()
		h.expect(s, "-1@55: progress")
	})
}

// Asking often while the matcher is behind costs one answer, not many.
func TestManualProgressIsShared(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		s, gone := h.hub.NewStream(), h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("k")})
		gone.Create(CreateRequest{KeyRange: single("k")})
		h.drain(s)
		b := h.store.apply(put("k", "a"))
		for range 100 {
			s.Progress()
		}
		gone.Progress()
		gone.Close()
		h.expect(s)
		h.hub.Publish(b)
		h.expect(s, "0@2: k=a/2", "-1@2: progress")
	})
}

// sender is what an RPC handler does: it takes responses as they come.
func (h *harness) sender(s *Stream) (got func() string) {
	lines := make(chan string, 1000)
	go func() {
		for {
			r, err := s.Next(context.Background())
			if err != nil {
				return
			}
			lines <- printResponse(h.t, r)
		}
	}()
	return func() string {
		h.settle()
		var out []string
		for len(lines) > 0 {
			out = append(out, <-lines)
		}
		return strings.Join(out, "\n")
	}
}

func TestPeriodicProgress(t *testing.T) {
	inBubble(t, Config{ProgressInterval: 10 * time.Second}, func(h *harness) {
		h.write(put("k", "0"))
		s := h.hub.NewStream()
		got := h.sender(s)
		check := func(want ...string) {
			t.Helper()
			if g, w := got(), strings.Join(want, "\n"); g != w {
				t.Errorf("got:\n%s\nwanted:\n%s", g, w)
			}
		}
		h.settle()
		h.clock.Advance(3 * time.Second)
		s.Create(CreateRequest{KeyRange: single("k"), ProgressNotify: true})
		s.Create(CreateRequest{KeyRange: single("k")})
		s.Create(CreateRequest{KeyRange: single("k"), ProgressNotify: true, StartRev: 5})
		check("0@2: created", "1@2: created", "2@2: created")
		h.clock.Advance(7 * time.Second) // ten after the stream was opened
		check("0@2: progress")
		h.write(put("k", "1"))
		check("0@3: k=1/3", "1@3: k=1/3")
		h.clock.Advance(10 * time.Second) // it had an event
		check()
		h.write(put("x", "")) // 4
		h.settle()
		h.clock.Advance(10 * time.Second)
		check("0@4: progress")
		h.write(put("x", "")) // 5
		h.settle()
		s.Cancel(0)
		check("0@5: canceled")
		h.clock.Advance(10 * time.Second)
		check("2@5: progress")
	})
}

// A sender that never rests keeps its progress timer, and one that does not
// take them out does not pile progress messages up.
func TestPeriodicProgressOfBusySender(t *testing.T) {
	inBubble(t, Config{ProgressInterval: time.Second}, func(h *harness) {
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("quiet"), ProgressNotify: true})
		s.Create(CreateRequest{KeyRange: single("k")})
		for i := range 10 {
			h.write(put("k", fmt.Sprint(i)))
		}
		h.settle()
		progress := 0
		for range 12 {
			h.clock.Advance(time.Second)
			r, err := s.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if r.WatchID == 0 && !r.Created {
				progress++
			}
		}
		for _, r := range h.drainResponses(s) {
			if r.WatchID == 0 {
				progress++
			}
		}
		if progress != 1 {
			t.Errorf("%d progress messages, wanted one", progress)
		}
	})
}

func TestProgressJitter(t *testing.T) {
	inBubble(t, Config{ProgressInterval: time.Minute, Rand: rand.New(rand.NewPCG(1, 2))}, func(h *harness) {
		seen := map[time.Duration]bool{}
		for range 10 {
			s := h.hub.NewStream()
			if s.interval < time.Minute || s.interval >= 66*time.Second {
				t.Errorf("interval %v", s.interval)
			}
			seen[s.interval] = true
		}
		if len(seen) < 5 {
			t.Errorf("intervals hardly differ: %v", seen)
		}
	})
}
