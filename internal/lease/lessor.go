package lease

import (
	"container/heap"
	"slices"
	"sync"
	"time"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/errs"
)

// Timing constants, etcd's own where it has them.
const (
	// RevokeRetry is how long a due lease is left alone after it was handed
	// out for revocation, before it is handed out again.
	RevokeRetry = 7 * time.Second
	// spreadPerSecond limits how many leases may run out in one second after
	// a new leader took over, so that it is not flooded by revocations.
	spreadPerSecond = 750
	spreadFrom      = 1000
	// A lease that is not kept alive is checkpointed after half its TTL, but
	// not more often than every minCheckpoint and at least every
	// maxCheckpoint. A client renews every third of the TTL, so a lease in
	// good health causes no checkpoint at all.
	minCheckpoint = 10 * time.Second
	maxCheckpoint = 5 * time.Minute
)

// Lessor holds the expiry times. It is idle (not primary) until Promote. Any
// goroutine may call its methods.
type Lessor struct {
	clock clock.Clock

	mu      sync.Mutex
	primary bool
	items   map[base.LeaseID]*item
	expiry  itemHeap
	check   itemHeap
}

// item is one lease's clockwork. It sits in both heaps.
type item struct {
	id        base.LeaseID
	ttl       int64     // granted, seconds
	remaining int64     // last checkpoint, 0 none
	expires   time.Time // when the lease is over
	due       time.Time // when it is next handed out for revocation
	checkAt   time.Time // when its remaining TTL is next checkpointed
	expiryPos int
	checkPos  int
}

// NewLessor makes an idle lessor.
func NewLessor(c clock.Clock) *Lessor {
	l := &Lessor{clock: c}
	l.clearLocked()
	return l
}

func (l *Lessor) clearLocked() {
	l.items = make(map[base.LeaseID]*item)
	l.expiry = itemHeap{less: func(a, b *item) bool { return a.due.Before(b.due) }, pos: func(it *item) *int { return &it.expiryPos }}
	l.check = itemHeap{less: func(a, b *item) bool { return a.checkAt.Before(b.checkAt) }, pos: func(it *item) *int { return &it.checkPos }}
}

// Promote starts the clocks: this member became leader. Every lease gets what
// is left of it plus extend (one election timeout), because its client could
// not reach a leader meanwhile; it never expires early. Very many leases are
// spread out a little.
func (l *Lessor) Promote(all []Info, extend time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clearLocked()
	l.primary = true
	now := l.clock.Now()
	for _, in := range all {
		l.addLocked(in, now.Add(extend+seconds(in.Left())), now)
	}
	if len(all) >= spreadFrom {
		l.spreadLocked(now)
	}
}

// spreadLocked pushes expiries later so that no second sees more than
// spreadPerSecond of them.
func (l *Lessor) spreadLocked(now time.Time) {
	order := slices.Clone(l.expiry.items)
	slices.SortFunc(order, func(a, b *item) int { return a.expires.Compare(b.expires) })
	windowEnd, inWindow := now, 0
	for _, it := range order {
		if !it.expires.Before(windowEnd) {
			windowEnd, inWindow = it.expires.Add(time.Second), 0
		}
		if inWindow++; inWindow > spreadPerSecond {
			windowEnd, inWindow = windowEnd.Add(time.Second), 1
		}
		if start := windowEnd.Add(-time.Second); it.expires.Before(start) {
			it.expires, it.due = start, start
			heap.Fix(&l.expiry, it.expiryPos)
		}
	}
}

// Demote stops the clocks: this member is no longer leader.
func (l *Lessor) Demote() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.primary = false
	l.clearLocked()
}

// Granted starts the clock of a lease whose grant was applied.
func (l *Lessor) Granted(in Info) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.primary {
		now := l.clock.Now()
		l.addLocked(in, now.Add(seconds(in.TTL)), now)
	}
}

// Revoked stops the clock of a lease whose revocation was applied.
func (l *Lessor) Revoked(id base.LeaseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if it, ok := l.items[id]; ok {
		delete(l.items, id)
		heap.Remove(&l.expiry, it.expiryPos)
		heap.Remove(&l.check, it.checkPos)
	}
}

// Checkpointed notes that a remaining TTL was applied.
func (l *Lessor) Checkpointed(id base.LeaseID, remaining int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if it, ok := l.items[id]; ok {
		it.remaining = remaining
	}
}

// Renewal is the outcome of Renew.
type Renewal struct {
	TTL     int64 // granted TTL in seconds
	Expired bool  // it is over and being revoked: wait for that, then it is gone
	Clear   bool  // a checkpoint of it must be cleared through the log first
}

// Renew gives a lease its full TTL again. ErrNotPrimaryLessor when this member
// does not lead, ErrLeaseNotFound when there is no such lease.
func (l *Lessor) Renew(id base.LeaseID) (Renewal, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.primary {
		return Renewal{}, errs.ErrNotPrimaryLessor
	}
	it, ok := l.items[id]
	if !ok {
		return Renewal{}, errs.ErrLeaseNotFound
	}
	now := l.clock.Now()
	if !now.Before(it.expires) {
		return Renewal{TTL: it.ttl, Expired: true}, nil
	}
	r := Renewal{TTL: it.ttl, Clear: it.remaining > 0}
	it.expires = now.Add(seconds(it.ttl))
	it.due = it.expires
	heap.Fix(&l.expiry, it.expiryPos)
	l.scheduleCheckLocked(it, now)
	return r, nil
}

// Remaining returns what is left of a lease, negative when it is over.
func (l *Lessor) Remaining(id base.LeaseID) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.primary {
		return 0, errs.ErrNotPrimaryLessor
	}
	it, ok := l.items[id]
	if !ok {
		return 0, errs.ErrLeaseNotFound
	}
	return it.expires.Sub(l.clock.Now()), nil
}

// ByRemaining returns all lease IDs, the one that runs out first in front; nil
// when this member does not lead.
func (l *Lessor) ByRemaining() []base.LeaseID {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.primary {
		return nil
	}
	order := slices.Clone(l.expiry.items)
	slices.SortFunc(order, func(a, b *item) int { return a.expires.Compare(b.expires) })
	ids := make([]base.LeaseID, len(order))
	for i, it := range order {
		ids[i] = it.id
	}
	return ids
}

// Due returns up to limit leases that are over, and puts each aside for
// RevokeRetry: a revocation that fails meanwhile is tried again.
func (l *Lessor) Due(limit int) []base.LeaseID {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	var ids []base.LeaseID
	for len(ids) < limit && l.expiry.Len() > 0 && !now.Before(l.expiry.items[0].due) {
		it := l.expiry.items[0]
		ids = append(ids, it.id)
		it.due = now.Add(RevokeRetry)
		heap.Fix(&l.expiry, 0)
	}
	return ids
}

// Checkpoints returns up to limit leases whose remaining TTL should be
// replicated now; each comes again after another interval.
func (l *Lessor) Checkpoints(limit int) []Info {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	var out []Info
	for len(out) < limit && l.check.Len() > 0 && !now.Before(l.check.items[0].checkAt) {
		it := l.check.items[0]
		if in, ok := it.leftAt(now); ok {
			out = append(out, in)
		}
		l.scheduleCheckLocked(it, now)
	}
	return out
}

// CheckpointAll returns every lease of which at least a second is used up, for
// an orderly shutdown.
func (l *Lessor) CheckpointAll() []Info {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	var out []Info
	for _, it := range l.expiry.items {
		if in, ok := it.leftAt(now); ok && in.Remaining < it.ttl && in.Remaining != it.remaining {
			out = append(out, in)
		}
	}
	return out
}

// leftAt rounds what is left up to whole seconds, so that a lease restored
// from it never ends early; ok is false for one that is over.
func (it *item) leftAt(now time.Time) (Info, bool) {
	left := it.expires.Sub(now)
	if left <= 0 {
		return Info{}, false
	}
	return Info{ID: it.id, TTL: it.ttl, Remaining: int64((left + time.Second - 1) / time.Second)}, true
}

// Next tells when Due or Checkpoints may next have something; ok is false when
// there is nothing to wait for.
func (l *Lessor) Next() (at time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.primary || l.expiry.Len() == 0 {
		return time.Time{}, false
	}
	at = l.expiry.items[0].due
	if c := l.check.items[0].checkAt; c.Before(at) {
		at = c
	}
	return at, true
}

func (l *Lessor) addLocked(in Info, expires, now time.Time) {
	it := &item{id: in.ID, ttl: in.TTL, remaining: in.Remaining, expires: expires, due: expires}
	it.checkAt = now.Add(it.checkInterval())
	l.items[in.ID] = it
	heap.Push(&l.expiry, it)
	heap.Push(&l.check, it)
}

func (l *Lessor) scheduleCheckLocked(it *item, now time.Time) {
	it.checkAt = now.Add(it.checkInterval())
	heap.Fix(&l.check, it.checkPos)
}

func (it *item) checkInterval() time.Duration {
	return min(max(seconds(it.ttl)/2, minCheckpoint), maxCheckpoint)
}

// seconds converts a TTL; the longest one allowed (285 years) fits a Duration.
func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// itemHeap is a container/heap of items that knows each one's position.
type itemHeap struct {
	items []*item
	less  func(a, b *item) bool
	pos   func(*item) *int
}

func (h *itemHeap) Len() int           { return len(h.items) }
func (h *itemHeap) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }
func (h *itemHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.pos(h.items[i]), *h.pos(h.items[j]) = i, j
}
func (h *itemHeap) Push(x any) {
	it := x.(*item)
	*h.pos(it) = len(h.items)
	h.items = append(h.items, it)
}
func (h *itemHeap) Pop() any {
	last := h.items[len(h.items)-1]
	h.items[len(h.items)-1] = nil
	h.items = h.items[:len(h.items)-1]
	return last
}
