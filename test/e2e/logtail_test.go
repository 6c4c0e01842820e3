package e2e

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// logTail collects what a process prints and lets tests wait for lines.
type logTail struct {
	mu struct {
		sync.Mutex
		text    []byte
		ended   bool
		changed chan struct{} // closed and replaced at every change
	}
}

func newLogTail() *logTail {
	l := &logTail{}
	l.mu.changed = make(chan struct{})
	return l
}

func (l *logTail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.text = append(l.mu.text, b...)
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
	return len(b), nil
}

// end says that nothing more comes.
func (l *logTail) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.ended = true
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
}

// await returns the first whole line with the text; ok is false when the
// process ended without one.
func (l *logTail) await(t testing.TB, text string) (line string, ok bool) {
	t.Helper()
	end := time.After(patience)
	for {
		l.mu.Lock()
		line, found := findLine(l.mu.text, text)
		ended, changed := l.mu.ended, l.mu.changed
		l.mu.Unlock()
		if found || ended {
			return line, found
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("the log never said %s:\n%s", text, l.tail(20))
		}
	}
}

func findLine(text []byte, want string) (string, bool) {
	i := bytes.Index(text, []byte(want))
	if i < 0 {
		return "", false
	}
	from := bytes.LastIndexByte(text[:i], '\n') + 1
	to := bytes.IndexByte(text[i:], '\n')
	if to < 0 {
		return "", false
	}
	return string(text[from : i+to]), true
}

// all is everything so far.
func (l *logTail) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.mu.text)
}

// tail is the last lines.
func (l *logTail) tail(n int) string {
	lines := strings.SplitAfter(l.all(), "\n")
	return strings.Join(lines[max(0, len(lines)-n-1):], "")
}
