package watch

import (
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of mvccpb.Event and of the two mvccpb.KeyValue fields the hub
// must know.
const (
	eventTypeField   = 1
	eventKVField     = 2
	eventPrevKVField = 3

	kvKeyField = 1
	kvModField = 3

	eventTypeDelete = 1
)

// encoded is one mvccpb.Event as it goes over the wire. The bytes are shared
// by every response that carries the event and are never changed. refs counts
// the queue entries (and the encoder itself while it works), so that the hub
// knows how many bytes all queues together keep alive.
type encoded struct {
	bytes []byte
	refs  atomic.Int32
}

// encode makes ev's bytes, with prev (a marshalled KeyValue) unless it is nil.
// The caller holds one reference and releases it.
func (h *Hub) encode(ev *Event, prev []byte) *encoded {
	e := &encoded{bytes: appendEvent(nil, ev, prev)}
	e.refs.Store(1)
	h.queuedBytes.Add(int64(len(e.bytes)))
	return e
}

func (h *Hub) release(e *encoded) {
	if e.refs.Add(-1) == 0 {
		h.queuedBytes.Add(-int64(len(e.bytes)))
	}
}

// appendEvent appends the mvccpb.Event. A delete carries only the key and the
// revision that deleted it, which its stored record does not have.
func appendEvent(dst []byte, ev *Event, prev []byte) []byte {
	kvBytes := len(ev.KV)
	if ev.Delete {
		kvBytes = protowire.SizeTag(kvKeyField) + protowire.SizeBytes(len(ev.Key)) +
			protowire.SizeTag(kvModField) + protowire.SizeVarint(uint64(ev.Rev.Main))
	}
	if dst == nil {
		size := 2 + protowire.SizeTag(eventKVField) + protowire.SizeBytes(kvBytes)
		if prev != nil {
			size += protowire.SizeTag(eventPrevKVField) + protowire.SizeBytes(len(prev))
		}
		dst = make([]byte, 0, size)
	}
	if ev.Delete {
		dst = protowire.AppendTag(dst, eventTypeField, protowire.VarintType)
		dst = protowire.AppendVarint(dst, eventTypeDelete)
	}
	dst = protowire.AppendTag(dst, eventKVField, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(kvBytes))
	if ev.Delete {
		dst = protowire.AppendTag(dst, kvKeyField, protowire.BytesType)
		dst = protowire.AppendBytes(dst, ev.Key)
		dst = protowire.AppendTag(dst, kvModField, protowire.VarintType)
		dst = protowire.AppendVarint(dst, uint64(ev.Rev.Main))
	} else {
		dst = append(dst, ev.KV...)
	}
	if prev != nil {
		dst = protowire.AppendTag(dst, eventPrevKVField, protowire.BytesType)
		dst = protowire.AppendBytes(dst, prev)
	}
	return dst
}

// reader reads previous values for a stretch of work. Its view is taken when
// first needed, unless the stretch has one from the start.
type reader struct {
	source Source
	view   SourceView
}

// previousValue reads what prev_kv shows for ev: nothing for a creation, and
// nothing once the revision before the event is compacted, even while the
// record is still there. The bytes live until the view is released.
func (r *reader) previousValue(ev *Event) ([]byte, error) {
	if ev.Prev.IsZero() {
		return nil, nil
	}
	if r.view == nil {
		r.view = r.source.Acquire()
	}
	if ev.Rev.Main-1 < r.view.CompactRevision() {
		return nil, nil
	}
	kv, ok, err := r.view.KVAt(ev.Prev)
	if err != nil || !ok {
		return nil, err
	}
	return kv, nil
}

func (r *reader) release() {
	if r.view != nil {
		r.view.Release()
		r.view = nil
	}
}

// sharedEvent is an event's encodings, made when the first watcher wants them.
type sharedEvent struct {
	plain, withPrev *encoded
}

// forWatcher returns the encoding of ev that w asked for, with a reference for
// the caller.
func (s *sharedEvent) forWatcher(h *Hub, w *watcher, ev *Event, r *reader) (*encoded, error) {
	e := &s.plain
	if w.prevKV {
		e = &s.withPrev
	}
	if *e == nil {
		var prev []byte
		if w.prevKV {
			var err error
			if prev, err = r.previousValue(ev); err != nil {
				return nil, err
			}
		}
		*e = h.encode(ev, prev)
	}
	(*e).refs.Add(1)
	return *e, nil
}

// release ends the encoder's own references and returns how many bytes it
// encoded.
func (s *sharedEvent) release(h *Hub) (bytes int) {
	for _, e := range [...]*encoded{s.plain, s.withPrev} {
		if e != nil {
			bytes += len(e.bytes)
			h.release(e)
		}
	}
	return bytes
}
