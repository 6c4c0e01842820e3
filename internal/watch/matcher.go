package watch

import "go.uber.org/zap"

// matchQuantum bounds how long the matcher holds Hub.mu at a stretch: after so
// many events and deliveries it lets others in (at some 100 ns each, below a
// millisecond).
const matchQuantum = 4096

// round is the matcher's scratch space; it lives as long as the hub so that
// matching does not allocate.
type round struct {
	hits    []*watcher
	found   []delivery
	touched []*watcher // watchers with events in this revision, in order of their first
	reader  reader
}

// delivery is one event for one watcher. A watcher's deliveries of the
// revision are chained by index.
type delivery struct {
	event *encoded
	next  int32
}

// match is the matcher's goroutine.
func (h *Hub) match() {
	for {
		b, compacted, ok := h.inbox.take()
		if !ok {
			return
		}
		if compacted > 0 {
			h.applyCompaction(compacted)
		}
		h.matchBatch(b)
	}
}

func (h *Hub) matchBatch(b Batch) {
	events := b.Events
	for len(events) > 0 {
		h.mu.Lock()
		events = h.matchSomeLocked(events)
		h.answerAskingLocked()
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if b.Revision > h.matched {
		h.jumpLocked(b.Revision)
		h.answerAskingLocked()
	}
}

// matchSomeLocked matches whole revisions until its quantum is used up and
// returns the rest.
func (h *Hub) matchSomeLocked(events []Event) []Event {
	for used := 0; len(events) > 0 && used < matchQuantum; {
		main := events[0].Rev.Main
		n := 1
		for n < len(events) && events[n].Rev.Main == main {
			n++
		}
		if main > h.matched { // not what was already there when the hub was made
			if main > h.matched+1 {
				h.jumpLocked(main - 1)
			}
			used += n + h.matchRevisionLocked(main, events[:n])
			h.matched = main
		}
		events = events[n:]
	}
	h.round.reader.release()
	return events
}

// jumpLocked moves the matcher to rev without having seen what is between:
// watchers concerned read it from history.
func (h *Hub) jumpLocked(rev int64) {
	for w := h.live.first; w != nil; {
		following := w.newer
		if next := max(w.next, h.matched+1); next <= rev {
			h.toReadyLocked(w, next)
		}
		w = following
	}
	h.matched = rev
}

// matchRevisionLocked queues the events of one revision for every live watcher
// concerned and returns the number of deliveries.
func (h *Hub) matchRevisionLocked(main int64, events []Event) int {
	r := &h.round
	for i := range events {
		ev := &events[i]
		r.hits = h.matching.appendMatches(r.hits[:0], ev.Key)
		var shared sharedEvent
		for _, w := range r.hits {
			if main < w.next || !w.wants(ev) {
				continue
			}
			e, err := shared.forWatcher(h, w, ev, &r.reader)
			if err != nil {
				h.cfg.Logger.Error("previous value for a watch event cannot be read, its watcher is cancelled",
					zap.Int64("revision", main), zap.Int64("watch-id", w.id), zap.Error(err))
				h.failLocked(w, err)
				continue
			}
			h.chainDelivery(w, e)
		}
		shared.release(h)
		clear(r.hits)
	}
	n := len(r.found)
	h.queueFoundLocked(main)
	return n
}

// chainDelivery notes e, reference included, for w; it is queued when the
// revision is complete.
func (h *Hub) chainDelivery(w *watcher, e *encoded) {
	r := &h.round
	i := int32(len(r.found))
	r.found = append(r.found, delivery{e, -1})
	if w.chain < 0 {
		w.chain = i
		r.touched = append(r.touched, w)
	} else {
		r.found[w.tail].next = i
	}
	w.tail = i
}

// queueFoundLocked queues what the revision had for each touched watcher, or
// parks the watcher where there is no room. Neighbours of one stream share one
// taking of its lock.
func (h *Hub) queueFoundLocked(main int64) {
	r := &h.round
	var s *Stream
	for _, w := range r.touched {
		if w.stream != s {
			if s != nil {
				s.mu.Unlock()
				s.wake()
			}
			s = w.stream
			s.mu.Lock()
		}
		first := w.chain
		w.chain = -1
		switch {
		case w.state != live: // failed at a later event of this revision
			h.dropChain(first)
		case s.isFullLocked(w):
			s.parkLocked(w)
			h.toPausedLocked(w, main)
			h.dropChain(first)
		default:
			for i := first; i >= 0; i = r.found[i].next {
				s.pushEventLocked(w, r.found[i].event, main, r.found[i].next < 0)
			}
		}
	}
	if s != nil {
		s.mu.Unlock()
		s.wake()
	}
	r.reset()
}

// roundKeepDeliveries is the size up to which scratch space is kept; one
// revision that deleted a million keys must not hold memory for ever.
const roundKeepDeliveries = 64 << 10

func (r *round) reset() {
	if cap(r.found) > roundKeepDeliveries {
		r.hits, r.found, r.touched = nil, nil, nil
		return
	}
	clear(r.found)
	clear(r.touched)
	r.hits, r.found, r.touched = r.hits[:0], r.found[:0], r.touched[:0]
}

func (h *Hub) dropChain(first int32) {
	for i := first; i >= 0; i = h.round.found[i].next {
		h.release(h.round.found[i].event)
	}
}

// applyCompaction cancels the watchers that wait for history below rev. Those
// in a pass read from a view that still has it; they are looked at when they
// come back.
func (h *Hub) applyCompaction(rev int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.compacted = max(h.compacted, rev)
	for _, list := range []*watcherList{&h.ready, &h.paused} {
		for w := list.first; w != nil; {
			following := w.newer
			if w.next < h.compacted {
				h.cancelCompactedLocked(w, h.compacted)
			}
			w = following
		}
	}
}

// cancelCompactedLocked tells the client that what w needs next is gone. The
// id stays known until the client cancels it, because clients do and wait for
// the answer; a create may take it over.
func (h *Hub) cancelCompactedLocked(w *watcher, compacted int64) {
	h.toGoneLocked(w)
	w.stream.pushAnswer(Response{WatchID: w.id, Canceled: true, CompactRevision: compacted})
}

// failLocked ends w because history cannot be read.
func (h *Hub) failLocked(w *watcher, err error) {
	if w.state == gone {
		return
	}
	h.toGoneLocked(w)
	delete(w.stream.watchers, w.id)
	w.stream.pushAnswer(Response{WatchID: w.id, Canceled: true, CancelReason: err.Error(), HeaderRevision: h.matched})
}
