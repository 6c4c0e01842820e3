package watch

import (
	"bytes"
	"sync"
	"time"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/errs"
)

// Reasons that a create is refused with; clients see them as cancel_reason.
const (
	reasonEmptyRange  = "mvcc: watcher range is empty"
	reasonDuplicateID = "mvcc: duplicate watch ID provided on the WatchStream"
)

// noWatchID is the id in answers that concern no watcher, and in progress
// messages that concern all of them.
const noWatchID = -1

// CreateRequest is a WatchCreateRequest.
type CreateRequest struct {
	base.KeyRange        // an empty Key means the byte 0x00
	StartRev       int64 // first revision wanted; 0: what comes after the present
	WatchID        int64 // 0: the stream chooses
	ProgressNotify bool
	NoPut          bool
	NoDelete       bool
	PrevKV         bool
	Fragment       bool
}

// Stream is one gRPC Watch stream: its watchers and the queue of what is to be
// sent. Requests (Create, Refuse, Cancel, Progress) come from one receiver in
// arrival order, Next from one sender; Close from anywhere.
type Stream struct {
	// Set once.
	hub      *Hub
	born     time.Time
	interval time.Duration // between progress ticks, jitter included
	notify   chan struct{} // one token: the queue may have grown
	done     chan struct{} // closed by Close

	// Guarded by Hub.mu.
	watchers  map[int64]*watcher // by id; a compacted one stays until the client cancels it
	nextID    int64
	notifiers []*watcher // those with periodic progress; gone ones are swept at a tick
	askedAt   int64      // manual progress is owed once the matcher reached this revision; 0: none

	mu     sync.Mutex
	room   sync.Cond // signalled when answers falls below the limit, and by Close
	closed bool      // written with Hub.mu held as well, so either lock suffices to read it

	// Guarded by mu.
	queue        fifo[entry]
	pendingBytes int        // of events in queue
	answers      int        // answers in queue
	parked       []*watcher // watchers that wait for the queue to drain
	lastPushed   *encoded   // event at the queue's end, whose bytes are charged already
	population   int        // how many watchers the queue serves; sizes its buffer
	timer        clock.Timer

	// Owned by the caller of Next.
	scratch [][]byte
}

// NewStream opens a stream. Its progress timer counts from now.
func (h *Hub) NewStream() *Stream {
	s := &Stream{
		hub:      h,
		born:     h.cfg.Clock.Now(),
		interval: h.cfg.ProgressInterval,
		notify:   make(chan struct{}, 1),
		done:     make(chan struct{}),
		watchers: make(map[int64]*watcher),
	}
	s.room.L = &s.mu
	h.mu.Lock()
	defer h.mu.Unlock()
	if jitter := int64(s.interval / 10); h.cfg.Rand != nil && jitter > 0 {
		s.interval += time.Duration(h.cfg.Rand.Int64N(jitter))
	}
	h.streams[s] = struct{}{}
	if h.closed {
		h.closeStreamLocked(s)
	}
	return s
}

// Create adds a watcher, or says why not; either way one answer is queued, in
// the order of the requests. A request with a negative StartRev must be given
// to Create before permissions are looked at. It waits while too many answers
// lie in the queue.
func (s *Stream) Create(req CreateRequest) {
	h := s.hub
	s.waitForRoom()
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.closed {
		return
	}
	// Asked for under the lock, the present cannot lie before what the matcher
	// has passed; a watcher that starts there misses nothing.
	revision, compacted := h.present()
	if len(req.Key) == 0 {
		req.Key = []byte{0}
	}
	if reason := s.refusalLocked(req); reason != "" {
		s.pushAnswer(refused(reason, revision))
		return
	}
	w := s.newWatcherLocked(req, revision)
	s.pushAnswer(Response{WatchID: w.id, Created: true, HeaderRevision: revision})
	compacted = max(compacted, h.compacted)
	switch {
	case req.StartRev == 0:
		w.next = revision + 1
		h.toLiveLocked(w)
	case req.StartRev < compacted:
		h.cancelCompactedLocked(w, compacted)
	case req.StartRev > h.matched:
		w.next = req.StartRev
		h.toLiveLocked(w)
	default:
		h.toReadyLocked(w, req.StartRev)
	}
}

// refusalLocked returns why req cannot be served, "" if it can.
func (s *Stream) refusalLocked(req CreateRequest) string {
	if req.StartRev < 0 {
		return errs.ErrCompacted.Text
	}
	if req.IsEmpty() {
		return reasonEmptyRange
	}
	if w := s.watchers[req.WatchID]; req.WatchID != 0 && w != nil && w.state != gone {
		return reasonDuplicateID
	}
	return ""
}

func (s *Stream) newWatcherLocked(req CreateRequest, revision int64) *watcher {
	id := req.WatchID
	if id == 0 {
		for s.watchers[s.nextID] != nil {
			s.nextID++
		}
		id = s.nextID
		s.nextID++
	}
	w := &watcher{
		stream:     s,
		id:         id,
		keys:       base.KeyRange{Key: bytes.Clone(req.Key), End: bytes.Clone(req.End)},
		noPut:      req.NoPut,
		noDelete:   req.NoDelete,
		prevKV:     req.PrevKV,
		fragment:   req.Fragment,
		notify:     req.ProgressNotify,
		progressAt: max(req.StartRev, revision),
		chain:      -1,
		parkedSlot: -1,
	}
	s.watchers[id] = w
	s.hub.watchers.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.population = len(s.watchers)
	if w.notify {
		s.notifiers = append(s.notifiers, w)
		s.startTimerLocked()
	}
	return w
}

func refused(reason string, revision int64) Response {
	return Response{WatchID: noWatchID, Created: true, Canceled: true, CancelReason: reason, HeaderRevision: revision}
}

// Refuse answers a create that the client has no permission for.
func (s *Stream) Refuse(reason string) {
	s.waitForRoom()
	revision, _ := s.hub.present()
	s.pushAnswer(refused(reason, revision))
}

// Cancel ends the watcher id; the answer is the last response for it. An
// unknown id has no answer.
func (s *Stream) Cancel(id int64) {
	h := s.hub
	s.waitForRoom()
	h.mu.Lock()
	defer h.mu.Unlock()
	w := s.watchers[id]
	if s.closed || w == nil {
		return
	}
	h.toGoneLocked(w)
	delete(s.watchers, id)
	revision, _ := h.present()
	s.pushAnswer(Response{WatchID: id, Canceled: true, HeaderRevision: revision})
}

// Close ends the stream and frees what it holds; Next returns ErrClosed. It
// may be called more than once.
func (s *Stream) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.closeStreamLocked(s)
}

func (h *Hub) closeStreamLocked(s *Stream) {
	if s.closed {
		return
	}
	delete(h.streams, s)
	for _, w := range s.watchers {
		h.toGoneLocked(w)
	}
	s.watchers, s.notifiers = nil, nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for s.queue.len() > 0 {
		s.dropFrontLocked()
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	close(s.done)
	s.room.Broadcast()
}
