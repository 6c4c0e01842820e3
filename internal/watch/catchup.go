package watch

import (
	"errors"

	"go.uber.org/zap"

	"keelson/internal/errs"
)

// Limits of one catch-up pass. Together they keep a pass to some ten
// milliseconds and a few MiB, so that a long history never holds up a short
// one, and events reach their clients while the rest is still being read.
const (
	passWatchers  = 512      // watchers that one reading of history serves
	passLookAhead = 4096     // ready watchers looked at to find them
	passWindow    = 10_000   // revisions between the first watcher's position and another's
	passEvents    = 10_000   // events read
	passMatches   = 64 << 10 // events found, counted per watcher
	passBytes     = 16 << 20 // bytes encoded, shared ones once

	// laneRevisions bounds the distinct revisions in one catch-up response.
	laneRevisions = 1000

	// gapRevisions and gapEvents bound what a pass reads with Hub.mu held, to
	// close the last gap to the matcher. About a millisecond at the most.
	gapRevisions = 256
	gapEvents    = 1024
)

// pass is one reading of history for a group of watchers, by one worker.
type pass struct {
	hub   *Hub
	view  SourceView
	lanes []*lane
	set   matchSet
	open  int // lanes that can take more
	chunk int // bytes that fill a lane

	events  int // read by the current scan
	limit   int // of events for the current scan
	matches int
	bytes   int

	// The revision being read; 0 between scans.
	main    int64
	touched []*lane
	hits    []*watcher
}

// lane collects the next response of one watcher. Its watcher wants nothing
// below next, and when the lane is full, next is where the following response
// starts.
type lane struct {
	w         *watcher
	next      int64
	found     []*encoded
	bytes     int
	revisions int
	whole     int // events of found that belong to complete revisions
	full      bool
	err       error // why nothing more can be read for it; it is full then
}

// catchUp is a worker's goroutine.
func (h *Hub) catchUp() {
	for {
		p := h.nextPass()
		if p == nil {
			return
		}
		if len(p.lanes) == 0 {
			continue
		}
		from := p.lanes[0].next
		for _, l := range p.lanes {
			from = min(from, l.next)
		}
		to := p.view.Revision()
		end, err := p.scan(from, to, passEvents)
		h.handOver(p, end, err)
	}
}

// nextPass waits for ready watchers and makes a pass of some; nil once the hub
// is closed. The pass holds a view unless it is empty.
func (h *Hub) nextPass() *pass {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.ready.n == 0 && !h.closed {
		h.readyFilled.Wait()
	}
	if h.closed {
		return nil
	}
	p := &pass{hub: h, view: h.cfg.Source.Acquire(), chunk: h.cfg.WatcherBytes / 2}
	if h.queuedBytes.Load() >= h.cfg.TotalBytes {
		p.chunk = h.cfg.WatcherBytes / 64 // room for all is short: small steps
	}
	compacted := max(h.compacted, p.view.CompactRevision())
	h.fillLocked(p, compacted)
	if h.ready.n > 0 {
		h.readyFilled.Signal()
	}
	if len(p.lanes) == 0 {
		p.view.Release()
		p.view = nil
	}
	return p
}

// fillLocked moves watchers from ready into p: the one that waited longest and
// others near its position.
func (h *Hub) fillLocked(p *pass, compacted int64) {
	first := h.ready.first.next
	looked := 0
	for w := h.ready.first; w != nil && len(p.lanes) < passWatchers && looked < passLookAhead; looked++ {
		following := w.newer
		switch {
		case w.next < compacted:
			h.cancelCompactedLocked(w, compacted)
		case w.next > first+passWindow || w.next < first-passWindow:
		case h.parkIfFullLocked(w):
			h.toPausedLocked(w, w.next)
		default:
			h.leaveLocked(w)
			h.setStateLocked(w, scanning)
			p.add(w)
		}
		w = following
	}
}

// parkIfFullLocked parks w, which is about to read or go on reading history,
// if its queue has no room, and reports whether it did.
func (h *Hub) parkIfFullLocked(w *watcher) bool {
	w.stream.mu.Lock()
	defer w.stream.mu.Unlock()
	if !w.stream.isFullLocked(w) {
		return false
	}
	w.stream.parkLocked(w)
	return true
}

func (p *pass) add(w *watcher) {
	l := &lane{w: w, next: w.next}
	w.lane = l
	p.lanes = append(p.lanes, l)
	p.set.add(w)
	p.open++
}

// scan reads history up to revision to, whole revisions, into the lanes until
// a limit is reached. It returns the first revision it has not read. With an
// error that is the revision in which reading failed, and nothing of it is in a
// lane.
func (p *pass) scan(from, to int64, limit int) (end int64, err error) {
	p.events, p.limit, p.main = 0, limit, 0
	end = to + 1
	err = p.view.Scan(from, to, func(ev Event) bool {
		if ev.Rev.Main != p.main {
			p.endRevision()
			if p.isDone() {
				end = ev.Rev.Main
				return false
			}
			p.main = ev.Rev.Main
		}
		p.match(&ev)
		return true
	})
	if err != nil {
		for _, l := range p.touched {
			l.rollBack(p.hub)
		}
		p.touched = p.touched[:0]
		return max(from, p.main), err
	}
	p.endRevision()
	return end, nil
}

func (p *pass) isDone() bool {
	if p.open == 0 || p.events >= p.limit || p.matches >= passMatches || p.bytes >= passBytes {
		return true
	}
	select {
	case <-p.hub.done:
		return true
	default:
		return false
	}
}

// match gives ev to the lanes it concerns.
func (p *pass) match(ev *Event) {
	p.events++
	var shared sharedEvent
	prevs := reader{view: p.view}
	p.hits = p.set.appendMatches(p.hits[:0], ev.Key)
	for _, w := range p.hits {
		l := w.lane
		if l.full || ev.Rev.Main < l.next || !w.wants(ev) {
			continue
		}
		e, err := shared.forWatcher(p.hub, w, ev, &prevs)
		if err != nil { // only those who want the broken value suffer from it
			l.rollBack(p.hub)
			l.err, l.full = err, true
			p.open--
			continue
		}
		if l.whole == len(l.found) {
			p.touched = append(p.touched, l)
		}
		l.found = append(l.found, e)
		l.bytes += entryBytes + len(e.bytes)
		p.matches++
	}
	p.bytes += shared.release(p.hub)
}

// endRevision makes what the current revision brought final and closes the
// lanes that are full with it.
func (p *pass) endRevision() {
	for _, l := range p.touched {
		if l.full { // failed in this revision
			continue
		}
		l.whole = len(l.found)
		l.revisions++
		if l.revisions >= laneRevisions || l.bytes >= p.chunk {
			l.full = true
			l.next = p.main + 1
			p.open--
		}
	}
	p.touched = p.touched[:0]
}

// rollBack takes an incomplete revision out of the lane.
func (l *lane) rollBack(h *Hub) {
	for _, e := range l.found[l.whole:] {
		h.release(e)
	}
	l.found = l.found[:l.whole]
}

// handOver ends the pass: it queues what was found and decides, watcher by
// watcher, who is live now. end is the first revision not read. See "The
// hand-over" in doc.go.
func (h *Hub) handOver(p *pass, end int64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	header := p.view.Revision()
	if err == nil && end == header+1 && end <= h.matched && h.matched-end < gapRevisions && p.open > 0 {
		p.view.Release()
		p.view = h.cfg.Source.Acquire()
		header = p.view.Revision()
		end, err = p.scan(end, h.matched, gapEvents)
	}
	compacted := max(h.compacted, p.view.CompactRevision())
	p.view.Release()

	for _, l := range p.lanes {
		if l.w.lane = nil; l.w.state != scanning {
			l.drop(h)
			continue
		}
		l.queue(header)
		if !l.full && l.next <= end { // else the pass did not get to its part
			l.next, l.err = end, err
		}
		h.placeLocked(l, compacted)
	}
	h.logUnreadable(p, end)
}

// placeLocked decides what becomes of a watcher after a pass.
func (h *Hub) placeLocked(l *lane, compacted int64) {
	w := l.w
	w.next = l.next
	switch {
	case l.err != nil && w.next < compacted && errors.Is(l.err, errs.ErrCompacted):
		h.cancelCompactedLocked(w, compacted)
		l.err = nil
	case l.err != nil:
		h.failLocked(w, l.err)
	case w.next > h.matched:
		h.toLiveLocked(w)
	case h.parkIfFullLocked(w):
		h.toPausedLocked(w, w.next)
	default:
		h.toReadyLocked(w, w.next)
	}
}

// logUnreadable reports once what broke, however many watchers needed it.
func (h *Hub) logUnreadable(p *pass, end int64) {
	var err error
	failed := 0
	for _, l := range p.lanes {
		if l.err != nil {
			err = l.err
			failed++
		}
	}
	if failed > 0 {
		h.cfg.Logger.Error("history cannot be read, the watchers that need it are cancelled",
			zap.Int64("up-to-revision", end), zap.Int("watchers", failed), zap.Error(err))
	}
}

// queue pushes the lane's events as one response.
func (l *lane) queue(header int64) {
	s := l.w.stream
	s.mu.Lock()
	for i, e := range l.found {
		s.pushEventLocked(l.w, e, header, i == len(l.found)-1)
	}
	s.mu.Unlock()
	if len(l.found) > 0 {
		s.wake()
	}
}

func (l *lane) drop(h *Hub) {
	for _, e := range l.found {
		h.release(e)
	}
}
