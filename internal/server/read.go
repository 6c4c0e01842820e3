package server

import (
	"context"
	"errors"
	"sync"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/errs"
)

var errStopped error = errs.ErrStopped

// contextError is a context's end as clients see it when nothing was proposed.
func contextError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errs.ErrRawDeadline
	}
	return errs.ErrRawCanceled
}

// reads gathers linearizable reads into rounds. At most one round is under way:
// it asks raft for an index that is committed now. Reads that come meanwhile
// must not use its answer, it may be too old for them; they wait for the next
// round together.
//
//	reads:  a b . . . c d e
//	round:  [-- 1 --] [--- 2 ---]      1 serves a; b and later joined after it
//	                                   began and are served by 2
type reads struct {
	ask     func(id uint64) // replica.ReadIndex
	applied func() base.Index
	slow    func()

	mu      sync.Mutex
	nextID  uint64
	round   *round // under way
	waiting *round // gathering
	// lagging rounds know their index and wait for it to be applied, by
	// ascending index: rounds are answered in order.
	lagging []*round
}

// round is one read-index question and those who wait for its answer.
type round struct {
	first uint64 // ID of its first question
	index base.Index
	asked int
	err   error
	done  chan struct{}
}

func newRound() *round { return &round{done: make(chan struct{})} }

func (r *round) finish(err error) {
	r.err = err
	close(r.done)
}

// join adds a read to the next round, which starts at once if none is under
// way.
func (q *reads) join() *round {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = newRound()
	}
	r := q.waiting
	if q.round == nil {
		q.startLocked()
	}
	return r
}

func (q *reads) startLocked() {
	q.round, q.waiting = q.waiting, nil
	q.round.first = q.nextID + 1
	q.askLocked()
}

func (q *reads) askLocked() {
	q.nextID++
	q.round.asked++
	q.ask(q.nextID)
}

// answer brings the index of a question. That the question was repeated
// meanwhile does not matter: every read of the round began before the first
// one. Answers to earlier rounds are too old.
func (q *reads) answer(id uint64, index base.Index) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.round
	if r == nil || id < r.first {
		return
	}
	q.round = nil
	if q.waiting != nil {
		q.startLocked()
	}
	r.index = index
	if q.applied() >= index {
		r.finish(nil)
		return
	}
	q.lagging = append(q.lagging, r)
}

// appliedTo lets the rounds go whose index is applied now.
func (q *reads) appliedTo(index base.Index) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.lagging) && q.lagging[n].index <= index {
		q.lagging[n].finish(nil)
		n++
	}
	if n > 0 {
		q.lagging = append(q.lagging[:0], q.lagging[n:]...)
	}
}

// fail ends the round under way: its question went to a leader that is gone.
func (q *reads) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.round; r != nil {
		q.round = nil
		if q.waiting != nil {
			q.startLocked()
		}
		r.finish(err)
	}
}

// repeat asks again when the round under way got no answer since the last call.
func (q *reads) repeat() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.round == nil {
		return
	}
	if q.round.asked > 1 {
		q.slow()
	}
	q.askLocked()
}

// Linearize waits until everything that was committed when it was called is
// visible here. ErrTimeout after the request timeout, ErrLeaderChanged when
// another leader took over meanwhile.
func (s *Server) Linearize(ctx context.Context) error {
	r := s.reads.join()
	select { // nearly always there already, or soon
	case <-r.done:
		return r.err
	default:
	}
	timeout := s.timers.get(s.cfg.requestTimeout())
	defer s.timers.put(timeout)
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return contextError(ctx.Err())
	case <-timeout.C():
		s.cfg.Metrics.ReadIndexFailed()
		return errs.ErrTimeout
	case <-s.stopped:
		return errs.ErrStopped
	}
}

// repeatReads is the reader goroutine: raft drops read-index requests in
// silence while there is no leader, or when a message is lost.
func (s *Server) repeatReads(c clock.Clock) {
	t := c.NewTicker(readRetry)
	defer t.Stop()
	for {
		select {
		case <-t.C():
			s.reads.repeat()
		case <-s.stopped:
			return
		}
	}
}
