package server

import (
	"sync"

	"keelson/internal/state"
	"keelson/internal/wire"
)

// outcome is what a waiter gets: a refusal, an encoded response, or, for the
// requests that are not hot, the machine's result.
type outcome struct {
	err   error
	frame *wire.Frame
	res   *state.Result
}

// waiter waits for one request.
type waiter struct {
	id   uint64
	done chan outcome // one place: whoever answers never blocks
}

// waiters finds who waits for an entry. It is split so that thousands of
// requests do not meet at one lock.
type waiters struct {
	shards [64]struct {
		sync.Mutex
		m map[uint64]*waiter
	}
	pool sync.Pool
}

func newWaiters() *waiters {
	w := &waiters{pool: sync.Pool{New: func() any { return &waiter{done: make(chan outcome, 1)} }}}
	for i := range w.shards {
		w.shards[i].m = make(map[uint64]*waiter)
	}
	return w
}

// add leaves a waiter under an ID that is not in use.
func (w *waiters) add(id uint64) *waiter {
	wt := w.pool.Get().(*waiter)
	wt.id = id
	s := &w.shards[id%uint64(len(w.shards))]
	s.Lock()
	s.m[id] = wt
	s.Unlock()
	return wt
}

// has reports whether somebody waits for the ID.
func (w *waiters) has(id uint64) bool {
	s := &w.shards[id%uint64(len(w.shards))]
	s.Lock()
	_, ok := s.m[id]
	s.Unlock()
	return ok
}

// take removes and returns the waiter of an ID; the caller must answer it.
func (w *waiters) take(id uint64) *waiter {
	s := &w.shards[id%uint64(len(w.shards))]
	s.Lock()
	wt := s.m[id]
	delete(s.m, id)
	s.Unlock()
	return wt
}

// answered gives a waiter whose outcome was received back for reuse.
func (w *waiters) answered(wt *waiter) { w.pool.Put(wt) }

// giveUp removes a waiter. If its outcome is already on the way it is lost
// and the waiter is not used again.
func (w *waiters) giveUp(wt *waiter) { w.take(wt.id) }
