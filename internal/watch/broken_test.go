package watch

import (
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A record that cannot be read ends those who need it, with its error, after
// everything before it; the rest goes on and the log says so once.
func TestBrokenHistory(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	inBubble(t, Config{Logger: zap.New(core)}, func(h *harness) {
		for range 5 {
			h.write(put("k", "a"), put("l", "b")) // 2 to 6
		}
		h.store.breakAt(4, 1, errBroken)
		h.settle()
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: prefix("k"), StartRev: 2})
		s.Create(CreateRequest{KeyRange: prefix("k"), StartRev: 5})
		h.expectByWatcher(s,
			"0@6: created", "0@6: k=a/2 k=a/3", `0@6: canceled reason="`+errBroken.Error()+`"`,
			"1@6: created", "1@6: k=a/5 k=a/6")
		if n := logs.FilterMessageSnippet("history cannot be read").Len(); n != 1 {
			t.Errorf("%d log lines", n)
		}
		h.write(put("k", "c"))
		h.expect(s, "1@7: k=c/7")
		s.Cancel(0) // unknown by now
		s.Create(CreateRequest{KeyRange: single("x")})
		h.expect(s, "2@7: created")
	})
}

// A broken previous value concerns only those who asked for it.
func TestBrokenPreviousValue(t *testing.T) {
	inBubble(t, Config{}, func(h *harness) {
		h.write(put("k", "a")) // 2
		h.write(put("k", "b")) // 3
		h.write(put("k", "c")) // 4
		h.settle()
		s := h.hub.NewStream()
		s.Create(CreateRequest{KeyRange: single("k")})
		s.Create(CreateRequest{KeyRange: prefix("k"), PrevKV: true})
		h.drain(s)
		h.store.breakAt(3, 0, errBroken)
		h.store.breakAt(4, 0, errBroken)
		h.write(put("j", "x"), put("k", "d"), put("ka", "y")) // 5
		h.expect(s, `1@4: canceled reason="`+errBroken.Error()+`"`, "0@5: k=d/5")
		h.write(put("k", "e"))
		h.expect(s, "0@6: k=e/6")
	})
}

func TestBrokenPreviousValueInHistory(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	inBubble(t, Config{Logger: zap.New(core)}, func(h *harness) {
		h.write(put("k", "a"), put("j", "1"))                // 2
		h.write(put("j", "2"), put("k", "b"), put("ka", "")) // 3
		h.write(put("k", "c"))                               // 4
		h.settle()
		h.store.breakAt(2, 0, errBroken) // what k was before 3
		s := h.hub.NewStream()
		for _, req := range []CreateRequest{
			{KeyRange: prefix("j"), StartRev: 3, PrevKV: true},
			{KeyRange: prefix("k"), StartRev: 3, PrevKV: true},
			{KeyRange: prefix("k"), StartRev: 3},
			{KeyRange: single("k"), StartRev: 4, PrevKV: true},
		} {
			s.Create(req)
		}
		got := strings.Join(h.drain(s), "\n")
		for _, want := range []string{
			"0@4: j=2/3(was 1/2)",
			`1@4: canceled reason="` + errBroken.Error() + `"`,
			"2@4: k=b/3 ka=/3 k=c/4",
			"3@4: k=c/4(was b/3)",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
		if strings.Contains(got, "1@4: k") {
			t.Errorf("part of a revision was sent:\n%s", got)
		}
		if logs.Len() == 0 {
			t.Error("nothing was logged")
		}
	})
}
