package ctl

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"keelson/internal/clock"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/*.txt")

// TestCommands runs the command lines of testdata/*.txt against the fake
// server and compares what comes out. A file consists of
//
//	# remark
//	% NAME=value             a variable of the environment for the next command
//	! interrupt              the next command is interrupted after its first output
//	$ get alpha -w json      the command; words are cut as in a transaction
//	< text                   a line of its stdin
//
// and behind each command what it did, which -update rewrites:
//
//	> Range {...}            a request that reached the server
//	  text                   a line of stdout
//	E text                   a line of stderr
//	Q "bytes"                stdout that is no text
//	rc 4                     the exit code, if not 0
func TestCommands(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScenario(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s differs; go test ./internal/ctl -update rewrites it\n%s", file, firstDifference(string(want), got))
			}
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range w {
		if i >= len(g) || w[i] != g[i] {
			from := max(0, i-3)
			return fmt.Sprintf("line %d\nwant:\n%s\ngot:\n%s", i+1,
				strings.Join(w[from:min(len(w), i+5)], "\n"), strings.Join(g[from:min(len(g), i+5)], "\n"))
		}
	}
	return "got has more lines"
}

type scenarioStep struct {
	env       []string
	interrupt bool
	args      []string
	stdin     string
}

// runScenario returns the text with its output replaced by the real one.
func runScenario(t *testing.T, text string) string {
	fake := newFakeServer(t)
	dir := t.TempDir()
	var out strings.Builder
	var step scenarioStep
	pending := false // a command waits for the rest of its stdin
	flush := func() {
		if pending {
			out.WriteString(runStep(t, fake, dir, step))
			out.WriteString("\n")
			step, pending = scenarioStep{}, false
		}
	}
	for _, line := range strings.Split(text, "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		if kind == "<" {
			step.stdin += rest + "\n"
			out.WriteString(line + "\n")
			continue
		}
		if kind == "#" || kind == "%" || kind == "!" || kind == "$" {
			flush()
			out.WriteString(line + "\n")
		}
		switch kind {
		case "%":
			step.env = append(step.env, rest)
		case "!":
			step.interrupt = true
		case "$":
			words, err := splitWords(strings.ReplaceAll(rest, "$DIR", dir))
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			step.args, pending = words, true
		}
	}
	flush()
	return strings.TrimRight(out.String(), "\n") + "\n"
}

func runStep(t *testing.T, fake *fakeServer, dir string, step scenarioStep) string {
	interrupts := make(chan struct{}, 1)
	stdout := &triggerBuffer{trigger: func() {}}
	if step.interrupt {
		stdout.trigger = func() { interrupts <- struct{}{} }
	}
	var stderr bytes.Buffer
	args := step.args
	if !strings.Contains(strings.Join(args, " "), "--endpoints") && !strings.Contains(strings.Join(step.env, " "), "ENDPOINTS") {
		args = append([]string{"--endpoints=demo:2379"}, args...)
	}
	rc := Main(args, Process{
		Stdin: strings.NewReader(step.stdin), Stdout: stdout, Stderr: &stderr,
		Environ:     append([]string{"PATH=" + os.Getenv("PATH")}, step.env...),
		Clock:       frozenClock{},
		Interrupts:  func() <-chan struct{} { return interrupts },
		DialOptions: fake.dialOptions(),
	})

	var out strings.Builder
	clean := strings.NewReplacer(dir, "$DIR")
	for _, call := range fake.takeCalls() {
		fmt.Fprintf(&out, "> %s\n", call)
	}
	if text := stdout.buf.String(); printable(text) {
		writeLines(&out, "  ", clean.Replace(text))
	} else {
		fmt.Fprintf(&out, "Q %s\n", strconv.QuoteToASCII(text))
	}
	writeLines(&out, "E ", caller.ReplaceAllString(clean.Replace(stderr.String()), `"caller":"FILE"`))
	if rc != 0 {
		fmt.Fprintf(&out, "rc %d\n", rc)
	}
	return out.String()
}

var caller = regexp.MustCompile(`"caller":"[^"]*"`)

func writeLines(out *strings.Builder, prefix, text string) {
	if text == "" {
		return
	}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fmt.Fprintf(out, "%s%s\n", prefix, line)
	}
	if !strings.HasSuffix(text, "\n") {
		fmt.Fprintf(out, "%s(no newline at the end)\n", prefix)
	}
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' })
}

// triggerBuffer calls trigger once, at the first write.
type triggerBuffer struct {
	buf     bytes.Buffer
	once    sync.Once
	trigger func()
}

func (b *triggerBuffer) Write(p []byte) (int, error) {
	b.once.Do(b.trigger)
	return b.buf.Write(p)
}

// frozenClock stands still, and its timers have already fired.
type frozenClock struct{}

func (frozenClock) Now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC) }

func (frozenClock) NewTimer(time.Duration) clock.Timer {
	fired := make(chan time.Time, 1)
	fired <- time.Time{}
	return firedTimer(fired)
}

func (frozenClock) NewTicker(time.Duration) clock.Ticker { panic("nothing here ticks") }

type firedTimer chan time.Time

func (f firedTimer) C() <-chan time.Time    { return f }
func (firedTimer) Stop() bool               { return false }
func (firedTimer) Reset(time.Duration) bool { return false }
