package watch

import "keelson/internal/base"

// watcherState says who may advance a watcher; see the picture in doc.go.
type watcherState uint8

const (
	fresh    watcherState = iota // being created
	live                         // in Hub.live and Hub.matching; the matcher feeds it
	ready                        // in Hub.ready; waits for a catch-up worker
	scanning                     // belongs to one catch-up pass
	paused                       // in Hub.paused; waits for its queue to drain
	gone                         // cancelled; nothing is queued for it any more
)

// watcher is one watch of one stream.
type watcher struct {
	// Set once.
	stream     *Stream
	id         int64
	keys       base.KeyRange // private copy
	noPut      bool
	noDelete   bool
	prevKV     bool
	fragment   bool
	notify     bool  // wants periodic progress
	progressAt int64 // no progress message for it has a lower revision: its start, or its created header

	// Guarded by Hub.mu.
	state watcherState
	next  int64 // everything of interest below it is queued, nothing from it on
	slot  int   // index in its bucket
	list  *watcherList
	older *watcher // neighbours in list
	newer *watcher
	chain int32 // matcher only: its first event of the revision being matched, -1 if none
	tail  int32 // matcher only: its last one
	lane  *lane // catch-up pass only

	// Guarded by Stream.mu.
	pendingBytes   int  // queued events, counted as if they were not shared
	parkedSlot     int  // index in Stream.parked, -1 when not parked
	sentSinceTick  bool // an event response left since the last progress tick
	progressQueued bool // a progress message of its own is in the queue
}

// wants applies the watcher's filters.
func (w *watcher) wants(ev *Event) bool {
	if ev.Delete {
		return !w.noDelete
	}
	return !w.noPut
}

// watcherList is a list threaded through the watchers, oldest first. A
// watcher is in at most one.
type watcherList struct {
	first, last *watcher
	n           int
}

func (l *watcherList) push(w *watcher) {
	w.list, w.older, w.newer = l, l.last, nil
	if l.last == nil {
		l.first = w
	} else {
		l.last.newer = w
	}
	l.last = w
	l.n++
}

func (l *watcherList) remove(w *watcher) {
	if w.older == nil {
		l.first = w.newer
	} else {
		w.older.newer = w.newer
	}
	if w.newer == nil {
		l.last = w.older
	} else {
		w.newer.older = w.older
	}
	w.list, w.older, w.newer = nil, nil, nil
	l.n--
}

// The transitions. Each is called with Hub.mu held and leaves the watcher in
// exactly the list, set or pass that its new state names.

// leaveLocked takes w out of where its state keeps it.
func (h *Hub) leaveLocked(w *watcher) {
	if w.state == live {
		h.matching.remove(w)
	}
	if w.list != nil {
		w.list.remove(w)
	}
}

func (h *Hub) toLiveLocked(w *watcher) {
	h.leaveLocked(w)
	h.setStateLocked(w, live)
	h.live.push(w)
	h.matching.add(w)
}

// toReadyLocked makes w wait for a worker that reads history from next on.
func (h *Hub) toReadyLocked(w *watcher, next int64) {
	h.leaveLocked(w)
	h.setStateLocked(w, ready)
	w.next = next
	h.ready.push(w)
	h.readyFilled.Signal()
}

// toPausedLocked is for a watcher that was just parked by its stream.
func (h *Hub) toPausedLocked(w *watcher, next int64) {
	h.leaveLocked(w)
	h.setStateLocked(w, paused)
	w.next = next
	h.paused.push(w)
}

// toGoneLocked ends w: nothing more is queued for it. A pass that has it
// drops what it found.
func (h *Hub) toGoneLocked(w *watcher) {
	if w.state == gone {
		return
	}
	h.leaveLocked(w)
	h.setStateLocked(w, gone)
	h.watchers.Add(-1)
	w.stream.unpark(w)
}

func (h *Hub) setStateLocked(w *watcher, to watcherState) {
	if slow(w.state) && !slow(to) {
		h.slowWatchers.Add(-1)
	} else if !slow(w.state) && slow(to) {
		h.slowWatchers.Add(1)
	}
	w.state = to
}

// slow says whether a watcher reads history instead of being fed.
func slow(s watcherState) bool { return s == ready || s == scanning || s == paused }

// resume makes paused watchers ready again; their stream just unparked them.
func (h *Hub) resume(ws []*watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range ws {
		if w.state == paused {
			h.toReadyLocked(w, w.next)
		}
	}
}
