package clock

import (
	"context"
	"errors"
	"testing"
	"time"
)

// epoch is where the tests' clocks start.
func epoch() time.Time { return time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC) }

// fired returns the value waiting in c, or the zero time.
func fired(c <-chan time.Time) time.Time {
	select {
	case at := <-c:
		return at
	default:
		return time.Time{}
	}
}

func wantFired(t *testing.T, c <-chan time.Time, want time.Time) {
	t.Helper()
	if got := fired(c); !got.Equal(want) {
		t.Fatalf("fired at %v, want %v", got, want)
	}
}

func TestFakeTimerFiresOnceAtItsDueTime(t *testing.T) {
	clk := NewFake(epoch())
	tm := clk.NewTimer(3 * time.Second)
	clk.Advance(2 * time.Second)
	wantFired(t, tm.C(), time.Time{})
	clk.Advance(5 * time.Second)
	wantFired(t, tm.C(), epoch().Add(3*time.Second))
	clk.Advance(time.Hour)
	wantFired(t, tm.C(), time.Time{})
	if got := clk.Now(); !got.Equal(epoch().Add(7*time.Second + time.Hour)) {
		t.Fatalf("clock stands at %v", got)
	}
	if tm.Stop() {
		t.Fatal("a timer that fired and was read is stopped as if active")
	}
}

func TestFakeTimerNotPositiveFiresAtOnce(t *testing.T) {
	clk := NewFake(epoch())
	wantFired(t, clk.NewTimer(0).C(), epoch())
	wantFired(t, clk.NewTimer(-time.Second).C(), epoch())
	if n := clk.Waiters(); n != 0 {
		t.Fatalf("%d waiters left", n)
	}
}

func TestFakeStopAndResetDropStaleValues(t *testing.T) {
	clk := NewFake(epoch())
	tm := clk.NewTimer(time.Second)
	clk.Advance(time.Second)
	if !tm.Stop() {
		t.Fatal("Stop of a timer whose value nobody read reports false")
	}
	wantFired(t, tm.C(), time.Time{})

	tm.Reset(time.Second)
	clk.Advance(time.Second)
	if !tm.Reset(2 * time.Second) {
		t.Fatal("Reset of a timer whose value nobody read reports false")
	}
	wantFired(t, tm.C(), time.Time{})
	clk.Advance(2 * time.Second)
	wantFired(t, tm.C(), epoch().Add(4*time.Second))
	if tm.Reset(time.Second) {
		t.Fatal("Reset of a spent timer reports true")
	}
	if n := clk.Waiters(); n != 1 {
		t.Fatalf("%d waiters, want 1", n)
	}
}

func TestFakeFiresInOrder(t *testing.T) {
	clk := NewFake(epoch())
	// One reader channel per timer cannot show an order, so look at the clock
	// step by step.
	late := clk.NewTimer(3 * time.Second)
	early := clk.NewTimer(time.Second)
	tick := clk.NewTicker(2 * time.Second)
	defer tick.Stop()

	for i, want := range []struct {
		c  <-chan time.Time
		at time.Duration
	}{
		{early.C(), time.Second},
		{tick.C(), 2 * time.Second},
		{late.C(), 3 * time.Second},
		{tick.C(), 4 * time.Second},
	} {
		if !clk.AdvanceToNext() {
			t.Fatalf("step %d: nothing armed", i)
		}
		if now := clk.Now(); !now.Equal(epoch().Add(want.at)) {
			t.Fatalf("step %d: clock at %v, want %v", i, now.Sub(epoch()), want.at)
		}
		wantFired(t, want.c, epoch().Add(want.at))
	}
}

func TestFakeTickerDropsTicksOfASlowReader(t *testing.T) {
	clk := NewFake(epoch())
	tick := clk.NewTicker(time.Second)
	clk.Advance(10 * time.Second)
	wantFired(t, tick.C(), epoch().Add(time.Second))
	wantFired(t, tick.C(), time.Time{})
	clk.Advance(time.Second)
	wantFired(t, tick.C(), epoch().Add(11*time.Second))
	tick.Stop()
	clk.Advance(time.Minute)
	wantFired(t, tick.C(), time.Time{})
	if clk.AdvanceToNext() {
		t.Fatal("a stopped ticker is still armed")
	}
}

func TestFakeSetBackFiresNothing(t *testing.T) {
	clk := NewFake(epoch())
	tm := clk.NewTimer(time.Second)
	clk.Set(epoch().Add(-time.Hour))
	wantFired(t, tm.C(), time.Time{})
	clk.Set(epoch().Add(time.Second))
	wantFired(t, tm.C(), epoch().Add(time.Second))
}

func TestFakeTickerRefusesBadInterval(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("a ticker without an interval was made")
		}
	}()
	NewFake(epoch()).NewTicker(0)
}

func TestFakeBlockUntil(t *testing.T) {
	clk := NewFake(epoch())
	clk.BlockUntil(0)
	results := make(chan time.Time)
	go func() {
		for range 3 {
			results <- <-clk.NewTimer(time.Second).C()
		}
	}()
	for i := 1; i <= 3; i++ {
		clk.BlockUntil(1)
		clk.Advance(time.Second)
		want := epoch().Add(time.Duration(i) * time.Second)
		if got := <-results; !got.Equal(want) {
			t.Fatalf("round %d fired at %v, want %v", i, got, want)
		}
	}
}

func TestFakeBlockUntilGivesUp(t *testing.T) {
	clk := NewFake(epoch())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := clk.BlockUntilContext(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	clk.NewTimer(time.Second) // must not touch the blocker that left
	if err := clk.BlockUntilContext(ctx, 1); err != nil {
		t.Fatalf("reached already, got %v", err)
	}
}

func TestRealFires(t *testing.T) {
	var clk Clock = Real{}
	before := clk.Now()
	tm := clk.NewTimer(time.Nanosecond)
	if at := <-tm.C(); at.Before(before) {
		t.Fatalf("fired at %v, before %v", at, before)
	}
	tm.Reset(time.Hour)
	if !tm.Stop() {
		t.Fatal("Stop of an armed timer reports false")
	}
	tick := clk.NewTicker(time.Millisecond)
	<-tick.C()
	tick.Stop()
}
