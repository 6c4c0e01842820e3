package server

import (
	"context"
	"sync"
	"time"

	"keelson/internal/clock"
)

// timers keeps stopped timers for reuse; a request needs one for its timeout.
type timers struct {
	clock clock.Clock
	pool  sync.Pool
}

func (t *timers) get(d time.Duration) clock.Timer {
	if tm, ok := t.pool.Get().(clock.Timer); ok {
		tm.Reset(d)
		return tm
	}
	return t.clock.NewTimer(d)
}

func (t *timers) put(tm clock.Timer) {
	tm.Stop()
	t.pool.Put(tm)
}

// gate is closed while something is under way and lets everybody pass when it
// is not.
type gate struct {
	mu   sync.Mutex
	busy chan struct{} // nil while open
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy == nil {
		g.busy = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy != nil {
		close(g.busy)
		g.busy = nil
	}
}

func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.busy != nil
}

// wait returns when the gate is open.
func (g *gate) wait(ctx context.Context, stopped <-chan struct{}) error {
	g.mu.Lock()
	busy := g.busy
	g.mu.Unlock()
	if busy == nil {
		return nil
	}
	select {
	case <-busy:
		return nil
	case <-ctx.Done():
		return contextError(ctx.Err())
	case <-stopped:
		return errStopped
	}
}
