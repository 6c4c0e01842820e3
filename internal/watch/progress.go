package watch

// Progress answers a progress request: one message for the whole stream if
// every watcher is live and the store has reached its start, nothing at all
// otherwise (the client asks again). The answer's revision is at least what the
// store had reached when Progress was called; if the matcher is behind that it
// answers when it gets there. Requests in between share one answer.
func (s *Stream) Progress() {
	h := s.hub
	revision, _ := h.present()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case s.closed:
	case revision <= h.matched:
		h.answerProgressLocked(s)
	default:
		if s.askedAt == 0 {
			h.asking = append(h.asking, s)
		}
		s.askedAt = max(s.askedAt, revision)
	}
}

// answerAskingLocked answers the streams whose revision the matcher reached.
func (h *Hub) answerAskingLocked() {
	waiting := h.asking[:0]
	for _, s := range h.asking {
		switch {
		case s.closed:
		case s.askedAt > h.matched:
			waiting = append(waiting, s)
		default:
			s.askedAt = 0
			h.answerProgressLocked(s)
		}
	}
	clear(h.asking[len(waiting):])
	h.asking = waiting
}

// answerProgressLocked queues the stream's progress message if it may be given.
// Everything up to matched was queued for live watchers before, so the message
// is true. Compacted watchers wait for nothing and do not count. With too many
// answers unread the message is left out, as if a watcher lagged.
func (h *Hub) answerProgressLocked(s *Stream) {
	counted := 0
	for _, w := range s.watchers {
		if w.state == gone {
			continue
		}
		if w.state != live || w.progressAt > h.matched {
			return
		}
		counted++
	}
	if counted == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers < h.cfg.MaxAnswers {
		s.pushAnswerLocked(nil, Response{WatchID: noWatchID, HeaderRevision: h.matched})
		s.wake()
	}
}

// startTimerLocked starts the progress timer when the first watcher wants it.
// The ticks fall where they would had it run since the stream was opened, so
// that streams without such watchers need no timer.
func (s *Stream) startTimerLocked() {
	if s.timer != nil {
		return
	}
	elapsed := s.hub.cfg.Clock.Now().Sub(s.born)
	s.timer = s.hub.cfg.Clock.NewTimer(s.interval - elapsed%s.interval)
}

// progressTick tells each watcher that wants it and was sent nothing since the
// last tick how far it is. It runs on the goroutine that calls Next.
func (s *Stream) progressTick() {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.timer.Reset(s.interval)
	kept := s.notifiers[:0]
	for _, w := range s.notifiers {
		if w.state == gone {
			continue
		}
		kept = append(kept, w)
		quiet := !w.sentSinceTick
		w.sentSinceTick = false
		if quiet && w.state == live && w.progressAt <= h.matched && !w.progressQueued {
			w.progressQueued = true
			s.pushAnswerLocked(w, Response{WatchID: w.id, HeaderRevision: h.matched})
		}
	}
	clear(s.notifiers[len(kept):])
	s.notifiers = kept
	s.wake()
}
