package watch

import (
	"context"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Response is a WatchResponse without the header's member and term.
type Response struct {
	WatchID         int64
	HeaderRevision  int64 // 0 in the cancel of a compacted watcher
	Created         bool
	Canceled        bool
	Fragment        bool // more events of the same response follow in the next one
	CompactRevision int64
	CancelReason    string
	// Events are marshalled mvccpb.Event messages, shared with other streams
	// and never changed. The outer slice is valid until the next call of Next.
	Events [][]byte
}

const (
	// fragmentOverheadBytes is more than everything in an encoded
	// WatchResponse beside its events: a header of four varints, the id, flags.
	fragmentOverheadBytes = 64
	// responseEventField is the number of the field that holds an event.
	responseEventField = 11
	// scratchKeepEvents is the length up to which Next reuses its slice.
	scratchKeepEvents = 4096
)

// Next returns the stream's next response, waiting for one. The error is
// ctx's, or ErrClosed. One goroutine calls it at a time.
func (s *Stream) Next(ctx context.Context) (Response, error) {
	for {
		var r Response
		var resumed []*watcher
		var tick <-chan time.Time

		s.mu.Lock()
		ok := s.queue.len() > 0
		if ok {
			r, resumed = s.takeLocked()
		}
		if s.timer != nil {
			tick = s.timer.C()
		}
		s.mu.Unlock()

		if len(resumed) > 0 {
			s.hub.resume(resumed)
		}
		if ok {
			select { // a stream that always has something to send keeps its timer, too
			case <-tick:
				s.progressTick()
			default:
			}
			return r, nil
		}
		select {
		case <-s.notify:
		case <-tick:
			s.progressTick()
		case <-ctx.Done():
			return Response{}, ctx.Err()
		case <-s.done:
			return Response{}, ErrClosed
		}
	}
}

// takeLocked takes one response out of the queue, which is not empty.
func (s *Stream) takeLocked() (Response, []*watcher) {
	front := s.queue.front()
	if front.answer != nil {
		r := *front.answer
		s.dropFrontLocked()
		return r, nil
	}
	w, pendingBefore := front.w, s.pendingBytes
	r := Response{WatchID: w.id, HeaderRevision: front.header}
	if cap(s.scratch) > scratchKeepEvents {
		s.scratch = nil
	}
	clear(s.scratch)
	events := s.scratch[:0]
	size := fragmentOverheadBytes
	for last := false; !last; {
		front = s.queue.front()
		size += protowire.SizeTag(responseEventField) + protowire.SizeBytes(len(front.event.bytes))
		if w.fragment && len(events) > 0 && size >= s.hub.cfg.MaxFragmentBytes {
			r.Fragment = true
			break
		}
		events = append(events, front.event.bytes)
		last = front.last
		s.dropFrontLocked()
	}
	s.scratch, r.Events = events, events
	w.sentSinceTick = true
	return r, s.drainedLocked(w, pendingBefore)
}
