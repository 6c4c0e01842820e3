package watch

import (
	"sync"
	"sync/atomic"
)

// eventOverheadBytes is what an Event costs beside its bytes: the struct
// itself (two revisions, two slice headers, a flag).
const eventOverheadBytes = 96

// inbox is the queue from the applier to the matcher. It is bounded in bytes:
// when the matcher is that far behind, the oldest batches are dropped and the
// matcher, seeing the jump in revisions, has history fill the hole. The newest
// batch always stays, so the bound may be overshot by one batch.
type inbox struct {
	limitBytes int // set once

	published atomic.Int64 // revision of the newest batch

	mu struct {
		sync.Mutex
		filled    sync.Cond // batches, compacted or closed changed
		batches   fifo[sizedBatch]
		bytes     int
		compacted int64 // newest compaction not yet taken; 0 if none
		closed    bool
	}
}

type sizedBatch struct {
	Batch
	bytes int
}

// inboxKeepSlots is the size up to which the empty queue keeps its buffer.
const inboxKeepSlots = 1024

func newInbox(limitBytes int) *inbox {
	q := &inbox{limitBytes: limitBytes}
	q.mu.filled.L = &q.mu.Mutex
	return q
}

// put appends b. It never waits for the matcher.
func (q *inbox) put(b Batch) {
	size := 0
	for i := range b.Events {
		size += eventOverheadBytes + len(b.Events[i].Key) + len(b.Events[i].KV)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed {
		return
	}
	q.mu.batches.push(sizedBatch{b, size})
	q.mu.bytes += size
	for q.mu.bytes > q.limitBytes && q.mu.batches.len() > 1 {
		q.mu.bytes -= q.mu.batches.front().bytes
		q.mu.batches.pop(inboxKeepSlots)
	}
	if b.Revision > q.published.Load() {
		q.published.Store(b.Revision)
	}
	q.mu.filled.Signal()
}

func (q *inbox) putCompacted(rev int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.compacted = max(q.mu.compacted, rev)
	q.mu.filled.Signal()
}

// take waits for the next batch, a compaction, or both. A batch without
// events and revision means that there was none. It returns false once the
// inbox is closed.
func (q *inbox) take() (b Batch, compacted int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.mu.batches.len() == 0 && q.mu.compacted == 0 && !q.mu.closed {
		q.mu.filled.Wait()
	}
	if q.mu.closed {
		return Batch{}, 0, false
	}
	compacted, q.mu.compacted = q.mu.compacted, 0
	if q.mu.batches.len() > 0 {
		front := q.mu.batches.front()
		b = front.Batch
		q.mu.bytes -= front.bytes
		q.mu.batches.pop(inboxKeepSlots)
	}
	return b, compacted, true
}

func (q *inbox) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.closed = true
	q.mu.batches = fifo[sizedBatch]{}
	q.mu.filled.Broadcast()
}

func (q *inbox) queuedBytes() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.bytes
}
