package replica

import (
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"
)

// queue hands raft's storage messages to the log or apply goroutine. It has
// no bound of its own: raft stops producing when too much is outstanding.
type queue struct {
	mu     sync.Mutex
	cond   *sync.Cond
	items  []*pb.Message
	tasks  []func()
	nudged bool
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.cond = sync.NewCond(&q.mu)
	return q
}

func (q *queue) put(m *pb.Message) {
	q.mu.Lock()
	q.items = append(q.items, m)
	q.mu.Unlock()
	q.cond.Signal()
}

// do has the taking goroutine run f after what is queued before it; false
// after close.
func (q *queue) do(f func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.tasks = append(q.tasks, f)
	q.cond.Signal()
	return true
}

// nudge wakes take although nothing may be queued.
func (q *queue) nudge() {
	q.mu.Lock()
	q.nudged = true
	q.mu.Unlock()
	q.cond.Signal()
}

// take returns everything queued, using spent's memory for what comes next.
// With wait it blocks until there is something, a nudge or the end; ok is
// false once the queue is closed. Tasks are to be run after the items.
func (q *queue) take(spent []*pb.Message, wait bool) (items []*pb.Message, tasks []func(), ok bool) {
	clear(spent)
	q.mu.Lock()
	defer q.mu.Unlock()
	for wait && len(q.items) == 0 && len(q.tasks) == 0 && !q.nudged && !q.closed {
		q.cond.Wait()
	}
	q.nudged = false
	if q.closed {
		return nil, nil, false
	}
	items, q.items = q.items, spent[:0]
	tasks, q.tasks = q.tasks, nil
	return items, tasks, true
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.cond.Broadcast()
}
