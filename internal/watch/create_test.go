package watch

import (
	"fmt"
	"testing"

	"keelson/internal/base"
)

func TestCreateAnswers(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		for i := range 9 {
			h.write(put("k", fmt.Sprint(i))) // revisions 2 to 10
		}
		h.compact(4)
		h.settle()
		s := h.hub.NewStream()
		for _, c := range []struct {
			name string
			req  CreateRequest
			want []string
		}{
			{"present", CreateRequest{KeyRange: single("x")}, []string{"0@10: created"}},
			{"negative start", CreateRequest{KeyRange: single("x"), StartRev: -1}, []string{
				`-1@10: created canceled reason="etcdserver: mvcc: required revision has been compacted"`}},
			{"negative start before an empty range", CreateRequest{KeyRange: base.KeyRange{Key: []byte("b"), End: []byte("a")}, StartRev: -1}, []string{
				`-1@10: created canceled reason="etcdserver: mvcc: required revision has been compacted"`}},
			{"empty range", CreateRequest{KeyRange: base.KeyRange{Key: []byte("b"), End: []byte("a")}}, []string{
				`-1@10: created canceled reason="mvcc: watcher range is empty"`}},
			{"key equals end", CreateRequest{KeyRange: base.KeyRange{Key: []byte("b"), End: []byte("b")}}, []string{
				`-1@10: created canceled reason="mvcc: watcher range is empty"`}},
			{"own id", CreateRequest{KeyRange: single("x"), WatchID: 2}, []string{"2@10: created"}},
			{"own id twice", CreateRequest{KeyRange: single("x"), WatchID: 2}, []string{
				`-1@10: created canceled reason="mvcc: duplicate watch ID provided on the WatchStream"`}},
			{"negative id", CreateRequest{KeyRange: single("x"), WatchID: -7}, []string{"-7@10: created"}},
			{"next automatic id", CreateRequest{KeyRange: single("x")}, []string{"1@10: created"}},
			{"automatic id skips one in use", CreateRequest{KeyRange: single("x")}, []string{"3@10: created"}},
			{"history", CreateRequest{KeyRange: single("k"), StartRev: 9}, []string{"4@10: created", "4@10: k=7/9 k=8/10"}},
			{"history from the compacted revision", CreateRequest{KeyRange: single("k"), StartRev: 4, PrevKV: true}, []string{"5@10: created",
				"5@10: k=2/4 k=3/5(was 2/4) k=4/6(was 3/5) k=5/7(was 4/6) k=6/8(was 5/7) k=7/9(was 6/8) k=8/10(was 7/9)"}},
			{"compacted", CreateRequest{KeyRange: single("k"), StartRev: 3}, []string{"6@10: created", "6@0: canceled compact=4"}},
			{"future", CreateRequest{KeyRange: single("k"), StartRev: 12}, []string{"7@10: created"}},
			{"empty key with no end is the key 0x00", CreateRequest{}, []string{"8@10: created"}},
			{"everything", CreateRequest{KeyRange: base.KeyRange{End: []byte{0}}, StartRev: 10}, []string{"9@10: created", "9@10: k=8/10"}},
		} {
			s.Create(c.req)
			if h.t = t; !t.Run(c.name, func(t *testing.T) { h.t = t; h.expect(s, c.want...) }) {
				t.Fatalf("stopped after %q", c.name)
			}
		}
		h.t = t
		s.Refuse("rpc error: code = PermissionDenied desc = etcdserver: permission denied")
		h.expect(s, `-1@10: created canceled reason="rpc error: code = PermissionDenied desc = etcdserver: permission denied"`)

		h.write(put("k", "e"))
		h.write(put("k", "f"), put("\x00", "zero"))
		h.expect(s, "4@11: k=e/11", "5@11: k=e/11(was 8/10)", "9@11: k=e/11",
			"4@12: k=f/12", "5@12: k=f/12(was e/11)", "7@12: k=f/12", "9@12: k=f/12 \x00=zero/12", "8@12: \x00=zero/12")
	})
}

// The applier makes a revision readable before it publishes it. A client that
// read it and then watches from now on must not see it again.
func TestCreateAheadOfPublish(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.write(put("k", "a")) // 2
		h.settle()
		b3 := h.store.apply(put("k", "b"))
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("k")})              // after 3
		s.Create(CreateRequest{KeyRange: single("k"), StartRev: 3}) // from 3
		s.Create(CreateRequest{KeyRange: single("k"), StartRev: 2}) // history
		s.Progress()
		h.expect(s, "0@3: created", "1@3: created", "2@3: created", "2@3: k=a/2 k=b/3")
		h.hub.Publish(b3)
		h.expect(s, "1@3: k=b/3", "-1@3: progress")
		h.write(put("k", "c"))
		h.expect(s, "0@4: k=c/4", "1@4: k=c/4", "2@4: k=c/4")
	})
}

func TestCancel(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("k")})
		s.Create(CreateRequest{KeyRange: prefix("k"), WatchID: 5})
		h.write(put("k", "a"))
		h.settle()
		s.Cancel(99) // unknown: no answer
		s.Cancel(0)
		s.Cancel(0)
		h.write(put("k", "b"))
		h.expect(s, "0@1: created", "5@1: created", "0@2: k=a/2", "5@2: k=a/2", "0@2: canceled", "5@3: k=b/3")
		s.Cancel(5)
		s.Create(CreateRequest{KeyRange: single("z"), WatchID: 5}) // free again
		h.write(put("k", "c"))
		h.expect(s, "5@3: canceled", "5@3: created")
	})
}

// A compacted watcher's id can be cancelled, as clients do, and taken over.
func TestCancelAfterCompaction(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.write(put("k", "a"))
		h.write(put("k", "b"))
		h.compact(3)
		h.settle()
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("k"), StartRev: 2})
		s.Create(CreateRequest{KeyRange: single("k"), StartRev: 2, WatchID: 8})
		h.expect(s, "0@3: created", "0@0: canceled compact=3", "8@3: created", "8@0: canceled compact=3")
		s.Progress() // no watcher is left: nothing
		s.Cancel(0)
		s.Create(CreateRequest{KeyRange: single("k"), WatchID: 8})
		s.Progress() // not held up by the dead
		h.expect(s, "0@3: canceled", "8@3: created", "-1@3: progress")
		s.Cancel(8)
		h.expect(s, "8@3: canceled")
	})
}

func TestCreateOnClosed(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("k"), ProgressNotify: true})
		s.Close()
		s.Close()
		s.Create(CreateRequest{KeyRange: single("k")})
		s.Cancel(0)
		s.Refuse("no")
		s.Progress()
		if _, err := nextNow(s); err != ErrClosed {
			t.Errorf("Next on a closed stream: %v", err)
		}
		h.write(put("k", "a"))
		h.settle()
		h.hub.Close()
		late := h.hub.NewStream()
		late.Create(CreateRequest{KeyRange: single("k")})
		if _, err := nextNow(late); err != ErrClosed {
			t.Errorf("Next on a closed hub: %v", err)
		}
		h.write(put("k", "b"))
		h.hub.Compacted(2)
	})
}

// Requests wait while the client does not read their answers.
func TestAnswersAreBounded(t *testing.T) {
	inBubble(t, Config{MaxAnswers: 4}, func(h *harness) {
		s := h.hub.NewStream()
		made := make(chan int, 100)
		go func() {
			for i := range 20 {
				s.Create(CreateRequest{KeyRange: single("k")})
				made <- i
			}
			close(made)
		}()
		h.settle()
		if n := len(made); n != 4 {
			t.Errorf("%d creates went through, the bound is 4", n)
		}
		s.Progress() // left out, not waiting
		if got := len(h.drainResponses(s)); got != 20 {
			t.Errorf("%d answers, wanted 20", got)
		}
		// Closing frees a request that waits.
		go func() {
			for range 20 {
				s.Refuse("no")
			}
		}()
		h.settle()
		s.Close()
	})
}
