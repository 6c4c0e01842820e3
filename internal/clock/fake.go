package clock

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Fake is a Clock that moves only when Advance or Set tells it to. Timers and
// tickers fire in the order of their due times, and in the order they were
// armed where those are equal, each with the clock standing at its due time.
//
// Firing puts the value into the channel and does not wait for the reader to
// act on it. A test that advances step by step waits between the steps, either
// for what the reader does or, with BlockUntil, for its next timer:
//
//	clk := clock.NewFake(start)
//	go worker(clk)          // arms a timer, works, arms it again
//	clk.BlockUntil(1)       // the worker waits
//	clk.Advance(time.Second)
//
// All methods may be called from any goroutine.
type Fake struct {
	mu sync.Mutex
	// Everything below is guarded by mu.
	now      time.Time
	armed    []*fakeTimer // in no order; simulations hold a handful
	lastArm  uint64
	blockers []blocker
}

var _ Clock = (*Fake)(nil)

// blocker is one goroutine inside BlockUntil.
type blocker struct {
	waiters int
	reached chan struct{}
}

// NewFake returns a clock that stands at start.
func NewFake(start time.Time) *Fake { return &Fake{now: start} }

// Now implements Clock.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// NewTimer implements Clock. A timer whose duration is not positive fires at
// once.
func (f *Fake) NewTimer(d time.Duration) Timer {
	t := &fakeTimer{clock: f, c: make(chan time.Time, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armLocked(t, d)
	return t
}

// NewTicker implements Clock. As in package time, d must be positive.
func (f *Fake) NewTicker(d time.Duration) Ticker {
	if d <= 0 {
		panic("clock: ticker interval " + d.String() + " is not positive")
	}
	t := &fakeTimer{clock: f, c: make(chan time.Time, 1), period: d}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armLocked(t, d)
	return fakeTicker{t}
}

// Advance moves the clock by d and fires what falls due on the way. A negative
// d moves it back and fires nothing.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moveLocked(f.now.Add(d))
}

// Set moves the clock to t as Advance would.
func (f *Fake) Set(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moveLocked(t)
}

// AdvanceToNext moves the clock to the earliest due time and fires what is due
// then. It reports false and does nothing when no timer is armed.
func (f *Fake) AdvanceToNext() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.earliestLocked()
	if next == nil {
		return false
	}
	f.moveLocked(next.due)
	return true
}

// Waiters counts the armed timers and running tickers.
func (f *Fake) Waiters() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.armed)
}

// BlockUntil waits until at least n timers and tickers are armed.
func (f *Fake) BlockUntil(n int) {
	// The background context never ends, so there is no error to report.
	_ = f.BlockUntilContext(context.Background(), n)
}

// BlockUntilContext is BlockUntil that gives up with ctx.
func (f *Fake) BlockUntilContext(ctx context.Context, n int) error {
	f.mu.Lock()
	if len(f.armed) >= n {
		f.mu.Unlock()
		return nil
	}
	b := blocker{waiters: n, reached: make(chan struct{})}
	f.blockers = append(f.blockers, b)
	f.mu.Unlock()
	select {
	case <-b.reached:
		return nil
	case <-ctx.Done():
		f.forget(b)
		return ctx.Err()
	}
}

// forget drops a blocker that gave up.
func (f *Fake) forget(gone blocker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blockers = slices.DeleteFunc(f.blockers, func(b blocker) bool {
		return b.reached == gone.reached
	})
}

// moveLocked walks the clock to the target, stopping at each due time.
func (f *Fake) moveLocked(target time.Time) {
	for {
		next := f.earliestLocked()
		if next == nil || next.due.After(target) {
			break
		}
		if next.due.After(f.now) {
			f.now = next.due
		}
		f.fireLocked(next)
	}
	f.now = target
}

func (f *Fake) earliestLocked() *fakeTimer {
	if len(f.armed) == 0 {
		return nil
	}
	return slices.MinFunc(f.armed, func(a, b *fakeTimer) int {
		if c := a.due.Compare(b.due); c != 0 {
			return c
		}
		return cmp.Compare(a.arm, b.arm)
	})
}

// armLocked sets t to fire after d, at once if d is not positive.
func (f *Fake) armLocked(t *fakeTimer, d time.Duration) {
	f.lastArm++
	t.arm = f.lastArm
	t.due = f.now.Add(max(d, 0))
	f.armed = append(f.armed, t)
	if d <= 0 {
		f.fireLocked(t)
	}
	f.wakeLocked()
}

// disarmLocked takes t off the clock and drops a value nobody has read. It
// reports whether either was there.
func (f *Fake) disarmLocked(t *fakeTimer) bool {
	active := false
	if i := slices.Index(f.armed, t); i >= 0 {
		f.armed = slices.Delete(f.armed, i, i+1)
		active = true
	}
	select {
	case <-t.c:
		active = true
	default:
	}
	return active
}

// fireLocked delivers the due time of t. A reader that has not taken the last
// value misses this one.
func (f *Fake) fireLocked(t *fakeTimer) {
	select {
	case t.c <- t.due:
	default:
	}
	if t.period > 0 {
		t.due = t.due.Add(t.period)
		return
	}
	i := slices.Index(f.armed, t)
	f.armed = slices.Delete(f.armed, i, i+1)
}

// wakeLocked releases the blockers whose number is reached.
func (f *Fake) wakeLocked() {
	f.blockers = slices.DeleteFunc(f.blockers, func(b blocker) bool {
		if len(f.armed) < b.waiters {
			return false
		}
		close(b.reached)
		return true
	})
}

// fakeTimer is a timer, or with a period a ticker.
type fakeTimer struct {
	clock  *Fake
	c      chan time.Time // holds one value
	period time.Duration

	// Guarded by clock.mu.
	due time.Time
	arm uint64 // order of arming
}

func (t *fakeTimer) C() <-chan time.Time { return t.c }

func (t *fakeTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.clock.disarmLocked(t)
}

func (t *fakeTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	active := t.clock.disarmLocked(t)
	t.clock.armLocked(t, d)
	return active
}

// fakeTicker hides the result of Stop, as Ticker asks.
type fakeTicker struct{ t *fakeTimer }

func (t fakeTicker) C() <-chan time.Time { return t.t.c }
func (t fakeTicker) Stop()               { t.t.Stop() }
