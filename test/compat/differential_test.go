package compat

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// sequenceLength is short enough to be shrunk in a minute, long enough for
	// a few compactions and dozens of watchers.
	sequenceLength = 60
	// pairLife is how many sequences one pair of servers serves. A start costs
	// about a second; state left by earlier sequences is worth having.
	pairLife = 20
	// sliceTime is the share of an ordinary test run.
	sliceTime = 50 * time.Second
	// lanes is how many pairs are compared at the same time. Watchers wait for
	// etcd's sync loop of 100 ms; meanwhile the others work.
	lanes = 2
	// differenceLimit ends a run that finds one difference after the other.
	differenceLimit = 4
)

// TestDifferential sends random sequences of requests to both servers.
func TestDifferential(t *testing.T) {
	if replay := os.Getenv("KEELSON_COMPAT_REPLAY"); replay != "" {
		replayOnce(t, replay)
		return
	}
	deadline := time.Now().Add(runTime(t))
	first := firstSeed(t)
	c := &campaign{t: t, deadline: deadline, kinds: newTally()}
	stop := c.progress()
	t.Run("lanes", func(t *testing.T) {
		for lane := range lanes {
			t.Run(strconv.Itoa(lane), func(t *testing.T) {
				t.Parallel()
				c.lane(t, first+uint64(lane)*1_000_000)
			})
		}
	})
	stop()
	t.Logf("first seed %d: %s", first, c)
	t.Logf("kinds of answers:\n%s", c.kinds.table())
}

// campaign is what the lanes of one test share.
type campaign struct {
	t           *testing.T
	deadline    time.Time
	sequences   atomic.Int64
	requests    atomic.Int64
	events      atomic.Int64 // that etcd sent
	differences atomic.Int64
	crashes     atomic.Int64 // of etcd
	kinds       *tally
}

func (c *campaign) String() string {
	return fmt.Sprintf("%d sequences, %d requests to each server, %d events, %d differences, etcd crashed %d times",
		c.sequences.Load(), c.requests.Load(), c.events.Load(), c.differences.Load(), c.crashes.Load())
}

// progress prints a line every minute, for those who look at a long run.
func (c *campaign) progress() (stop func()) {
	tick := time.NewTicker(time.Minute)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case now := <-tick.C:
				fmt.Println(now.Format(time.TimeOnly), c)
			case <-done:
				return
			}
		}
	}()
	return func() { tick.Stop(); close(done) }
}

func (c *campaign) more() bool {
	return time.Now().Before(c.deadline) && c.differences.Load() < differenceLimit
}

func (c *campaign) count(requests int) {
	c.sequences.Add(1)
	c.requests.Add(int64(requests))
}

// lane runs sequences with rising seeds until the time is up.
func (c *campaign) lane(t *testing.T, seed uint64) {
	for c.more() {
		r := newRun(t)
		r.kinds, r.events = c.kinds, &c.events
		var history []step
		for range pairLife {
			if !c.more() {
				break
			}
			steps := sequence(seed)
			seed++
			before := r.requests
			done, err := r.play(steps)
			c.count(r.requests - before)
			history = append(history, steps[:done]...)
			if err == nil {
				continue
			}
			if last := r.sides[0].server.lastWords(); last != "" {
				// docs/compat.md, row T1: not an answer that we could agree with.
				c.crashes.Add(1)
				t.Logf("etcd crashed: %s\n%s\n%s", last, r.trace[len(r.trace)-1], replayCommand(history))
				break
			}
			c.differences.Add(1)
			report(t, steps[:done], history, err)
			break
		}
		r.close()
	}
}

// sequence lists the steps of a seed.
func sequence(seed uint64) []step {
	out := make([]step, sequenceLength)
	for i := range out {
		out[i] = step{seed, i}
	}
	return out
}

// play performs steps and the final comparison. It returns how many steps were
// done, the one with the difference included.
func (r *run) play(steps []step) (int, error) {
	r.trace = nil
	defer r.closeStreams()
	for i, s := range steps {
		r.notef("step %d:%d", s.seed, s.index)
		if err := r.perform(s); err != nil {
			return i + 1, err
		}
		if i+1 < len(steps) && steps[i+1].seed != s.seed {
			// A replayed history: what separated the sequences, separates them again.
			if err := r.endSequence(); err != nil {
				return i + 1, err
			}
		}
	}
	return len(steps), r.endSequence()
}

// endSequence compares all watchers and the whole key space.
func (r *run) endSequence() error {
	err := r.settle()
	r.closeStreams()
	if err != nil {
		return err
	}
	return r.compareState()
}

// report shrinks a difference and prints it.
func report(t *testing.T, steps, history []step, err error) {
	t.Helper()
	shortest, trace, found := shrink(t, steps, history)
	if found == nil {
		t.Errorf("%v\nThis was not seen again when the same steps were run on fresh servers. First seen with:\n%s", err, replayCommand(history))
		return
	}
	t.Errorf("%v\n\nShortest sequence found:\n    %s\n\nTo see it again:\n%s", found, strings.Join(trace, "\n    "), replayCommand(shortest))
}

// replayCommand is for the clipboard.
func replayCommand(steps []step) string {
	return fmt.Sprintf("    (cd test/compat && KEELSON_COMPAT_REPLAY='%s' go test -count=1 -run 'TestDifferential$' -v .)", formatSteps(steps))
}

// formatSteps writes 7:1,2,5;8:0 and so on.
func formatSteps(steps []step) string {
	var out strings.Builder
	for i, s := range steps {
		switch {
		case i > 0 && steps[i-1].seed == s.seed:
			fmt.Fprintf(&out, ",%d", s.index)
		case i > 0:
			fmt.Fprintf(&out, ";%d:%d", s.seed, s.index)
		default:
			fmt.Fprintf(&out, "%d:%d", s.seed, s.index)
		}
	}
	return out.String()
}

func parseSteps(text string) ([]step, error) {
	var out []step
	for part := range strings.SplitSeq(text, ";") {
		seedText, list, ok := strings.Cut(part, ":")
		seed, err := strconv.ParseUint(seedText, 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("%q is not seed:index,index", part)
		}
		for number := range strings.SplitSeq(list, ",") {
			index, err := strconv.Atoi(number)
			if err != nil {
				return nil, err
			}
			out = append(out, step{seed, index})
		}
	}
	return out, nil
}

func replayOnce(t *testing.T, text string) {
	steps, err := parseSteps(text)
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(t)
	defer r.close()
	_, err = r.play(steps)
	t.Logf("%s", strings.Join(r.trace, "\n"))
	var d *difference
	if errors.As(err, &d) {
		t.Fatal(d)
	}
}

func runTime(t *testing.T) time.Duration {
	text := os.Getenv("KEELSON_COMPAT_MINUTES")
	if text == "" {
		return sliceTime
	}
	minutes, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("KEELSON_COMPAT_MINUTES=%s is not a number", text)
	}
	return time.Duration(minutes * float64(time.Minute))
}

func firstSeed(t *testing.T) uint64 {
	switch text := os.Getenv("KEELSON_COMPAT_SEED"); text {
	case "":
		return 1
	case "random":
		return rand.Uint64N(1 << 40)
	default:
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("KEELSON_COMPAT_SEED=%s is not a number", text)
		}
		return seed
	}
}

func TestStepsRoundTrip(t *testing.T) {
	want := "7:1,2,5;8:0;7:3"
	steps, err := parseSteps(want)
	if err != nil || formatSteps(steps) != want {
		t.Fatalf("%v, %v, want %s", formatSteps(steps), err, want)
	}
	for _, bad := range []string{"", "7", "x:1", "7:", "7:1,;8:2"} {
		if _, err := parseSteps(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
