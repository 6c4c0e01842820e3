package watch

// entry is one event or one whole answer in a stream's queue. A response with
// several events is a run of entries, pushed under one taking of the lock, the
// last of them marked.
type entry struct {
	w      *watcher  // nil for an answer that concerns no living watcher
	event  *encoded  // nil for an answer
	answer *Response // nil for an event
	header int64     // header revision of the event's response
	charge int32     // bytes that the event counts for in Stream.pendingBytes
	last   bool      // the response ends here
}

// entryBytes is what an entry costs beside the event's bytes.
const entryBytes = 48

// queueKeepSlots is the buffer that the empty queue of a small stream keeps; a
// stream of many watchers keeps one entry for each.
const queueKeepSlots = 64

// isFullLocked says whether w must wait. Each bound that can be hit implies
// that something will be taken out later, which is what ends the waiting: w's
// own bytes for the first and the last, the stream's for the second.
func (s *Stream) isFullLocked(w *watcher) bool {
	cfg := &s.hub.cfg
	return w.pendingBytes >= cfg.WatcherBytes ||
		s.pendingBytes >= cfg.StreamBytes ||
		w.pendingBytes > 0 && s.hub.queuedBytes.Load() >= cfg.TotalBytes
}

// pushEventLocked queues e for w; it takes over the caller's reference.
func (s *Stream) pushEventLocked(w *watcher, e *encoded, header int64, last bool) {
	if s.closed {
		s.hub.release(e)
		return
	}
	charge := entryBytes
	if e != s.lastPushed {
		charge += len(e.bytes)
		s.lastPushed = e
	}
	s.queue.push(entry{w: w, event: e, header: header, charge: int32(charge), last: last})
	s.pendingBytes += charge
	w.pendingBytes += entryBytes + len(e.bytes)
	s.hub.pendingEvents.Add(1)
	s.hub.queuedEvents.Add(1)
}

// pushAnswer queues an answer behind everything queued so far.
func (s *Stream) pushAnswer(r Response) {
	s.mu.Lock()
	s.pushAnswerLocked(nil, r)
	s.mu.Unlock()
	s.wake()
}

func (s *Stream) pushAnswerLocked(w *watcher, r Response) {
	if s.closed {
		return
	}
	s.queue.push(entry{w: w, answer: &r, last: true})
	s.answers++
}

// dropFrontLocked removes the oldest entry from the queue and the accounts.
func (s *Stream) dropFrontLocked() {
	e := s.queue.front()
	if e.answer != nil {
		s.answers--
		if e.w != nil {
			e.w.progressQueued = false
		}
		if s.answers == s.hub.cfg.MaxAnswers-1 {
			s.room.Broadcast()
		}
	} else {
		s.pendingBytes -= int(e.charge)
		e.w.pendingBytes -= entryBytes + len(e.event.bytes)
		if s.lastPushed == e.event {
			s.lastPushed = nil
		}
		s.hub.pendingEvents.Add(-1)
		s.hub.release(e.event)
	}
	s.queue.pop(max(queueKeepSlots, 2*s.population))
}

// wake lets Next look at the queue.
func (s *Stream) wake() {
	select {
	case s.notify <- struct{}{}:
	default:
	}
}

// waitForRoom holds a client back that asks without reading the answers.
func (s *Stream) waitForRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.answers >= s.hub.cfg.MaxAnswers && !s.closed {
		s.room.Wait()
	}
}

// parkLocked makes w one of those that draining wakes.
func (s *Stream) parkLocked(w *watcher) {
	w.parkedSlot = len(s.parked)
	s.parked = append(s.parked, w)
}

func (s *Stream) unparkLocked(w *watcher) {
	last := len(s.parked) - 1
	moved := s.parked[last]
	s.parked[w.parkedSlot], moved.parkedSlot = moved, w.parkedSlot
	s.parked[last] = nil
	s.parked = s.parked[:last]
	w.parkedSlot = -1
}

func (s *Stream) unpark(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.parkedSlot >= 0 {
		s.unparkLocked(w)
	}
}

// drainedLocked unparks and returns the watchers that may go on after a
// response of w was taken out, when the stream held pendingBefore bytes until
// then. Waiting until half the budget is free gives a catch-up pass something
// worth reading for.
func (s *Stream) drainedLocked(w *watcher, pendingBefore int) []*watcher {
	streamLow := s.hub.cfg.StreamBytes / 2
	if len(s.parked) == 0 || s.pendingBytes > streamLow {
		return nil
	}
	var out []*watcher
	if pendingBefore <= streamLow {
		if w.parkedSlot >= 0 && s.hasRoomLocked(w) {
			s.unparkLocked(w)
			out = append(out, w)
		}
		return out
	}
	// The stream fell below its mark just now: look at all that waited for it.
	for i := len(s.parked) - 1; i >= 0; i-- {
		if p := s.parked[i]; s.hasRoomLocked(p) {
			s.unparkLocked(p)
			out = append(out, p)
		}
	}
	return out
}

// hasRoomLocked says whether w itself has drained enough.
func (s *Stream) hasRoomLocked(w *watcher) bool {
	return w.pendingBytes <= s.hub.cfg.WatcherBytes/2
}
