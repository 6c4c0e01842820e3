package rpc

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/watch"
	"keelson/internal/wire"
)

// memKV is a key space just good enough for locks and elections: the ranges,
// transactions and watches that recipes use, and nothing else.
type memKV struct {
	mu      sync.Mutex
	rev     int64
	keys    map[string]wire.KeyValueView
	events  []memEvent
	changed chan struct{} // closed and replaced at each change
	waiting chan string   // the first key of each watcher, as it is made
	lapsed  base.LeaseID  // a lease that does not exist any more
}

type memEvent struct {
	rev      int64
	isDelete bool
	kv       wire.KeyValueView
}

func newMemKV() *memKV {
	return &memKV{rev: 1, keys: map[string]wire.KeyValueView{}, changed: make(chan struct{}), waiting: make(chan string, 100)}
}

func (s *memKV) header() wire.ResponseHeader {
	return wire.ResponseHeader{MemberID: 2, Revision: s.rev}
}

func (s *memKV) changeLocked(ev memEvent) {
	s.rev++
	ev.rev, ev.kv.ModRevision = s.rev, s.rev
	if ev.isDelete {
		delete(s.keys, string(ev.kv.Key))
	} else {
		if ev.kv.CreateRevision = s.keys[string(ev.kv.Key)].CreateRevision; ev.kv.CreateRevision == 0 {
			ev.kv.CreateRevision = s.rev
		}
		s.keys[string(ev.kv.Key)] = ev.kv
	}
	s.events = append(s.events, ev)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *memKV) rangeLocked(r *wire.RangeRequest) (kvs [][]byte) {
	var found []wire.KeyValueView
	for _, kv := range s.keys {
		if r.Range().Contains(kv.Key) && (r.MaxCreateRevision == 0 || kv.CreateRevision <= r.MaxCreateRevision) {
			found = append(found, kv)
		}
	}
	slices.SortFunc(found, func(a, b wire.KeyValueView) int {
		if r.SortOrder == 2 {
			a, b = b, a
		}
		return int(a.CreateRevision - b.CreateRevision)
	})
	if r.Limit > 0 && int64(len(found)) > r.Limit {
		found = found[:r.Limit]
	}
	for _, kv := range found {
		kvs = append(kvs, wire.AppendKeyValue(nil, kv.Key, kv.CreateRevision, kv.ModRevision, 1, kv.Value, kv.Lease))
	}
	return kvs
}

func (s *memKV) Range(_ context.Context, r *wire.RangeRequest) (*wire.Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kvs := s.rangeLocked(r)
	return wire.NewRangeResponse(s.header(), kvs, false, int64(len(kvs))), nil
}

func (s *memKV) DeleteRange(_ context.Context, r *wire.DeleteRangeRequest) (*wire.Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.keys[string(r.Key)]; !ok {
		return wire.NewDeleteRangeResponse(s.header(), 0, nil), nil
	}
	s.changeLocked(memEvent{isDelete: true, kv: wire.KeyValueView{Key: r.Key}})
	return wire.NewDeleteRangeResponse(s.header(), 1, nil), nil
}

// Txn compares create revisions only.
func (s *memKV) Txn(_ context.Context, r *wire.TxnRequest) (*wire.Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ops, succeeded := r.Success, true
	for _, c := range r.Compare {
		if s.keys[string(c.Key)].CreateRevision != c.CreateRevision {
			ops, succeeded = r.Failure, false
		}
	}
	var responses []byte
	for _, op := range ops {
		switch {
		case op.Range != nil:
			kvs := s.rangeLocked(op.Range)
			responses = wire.AppendRangeOp(responses, s.rev, kvs, false, int64(len(kvs)))
		case op.Put != nil:
			if op.Put.Lease == s.lapsed && s.lapsed != 0 {
				return nil, errs.ErrLeaseNotFound
			}
			s.changeLocked(memEvent{kv: wire.KeyValueView{Key: op.Put.Key, Value: op.Put.Value, Lease: op.Put.Lease}})
			responses = wire.AppendPutOp(responses, s.rev, nil)
		case op.DeleteRange != nil:
			s.changeLocked(memEvent{isDelete: true, kv: wire.KeyValueView{Key: op.DeleteRange.Key}})
			responses = wire.AppendDeleteRangeOp(responses, s.rev, 1, nil)
		}
	}
	return wire.NewTxnResponse(s.header(), succeeded, responses), nil
}

func (s *memKV) Put(context.Context, *wire.PutRequest) (*wire.Frame, error) { panic("not used") }
func (s *memKV) Compact(context.Context, *wire.CompactionRequest) (*wire.Frame, error) {
	panic("not used")
}
func (s *memKV) RangeStream(context.Context, *wire.RangeRequest, func(*wire.Frame) error) error {
	panic("not used")
}

func (s *memKV) NewStream(context.Context) WatchStream { return &memStream{store: s} }

// memStream is a stream with one watcher.
type memStream struct {
	store   *memKV
	req     watch.CreateRequest
	created bool
	next    int // in store.events
}

func (w *memStream) Create(r watch.CreateRequest) {
	w.req = r
	w.store.waiting <- string(r.Key)
}
func (w *memStream) Cancel(int64) {}
func (w *memStream) Progress()    {}
func (w *memStream) Close()       {}

func (w *memStream) Next(ctx context.Context) (watch.Response, error) {
	for {
		w.store.mu.Lock()
		changed := w.store.changed
		for ; w.next < len(w.store.events); w.next++ {
			ev := w.store.events[w.next]
			if ev.rev < w.req.StartRev || !w.req.Contains(ev.kv.Key) {
				continue
			}
			w.next++
			kv := wire.AppendKeyValue(nil, ev.kv.Key, ev.kv.CreateRevision, ev.rev, 1, ev.kv.Value, ev.kv.Lease)
			encoded := wire.AppendEvent(nil, ev.isDelete, kv, bytes.Clone(ev.kv.Key), ev.rev, nil)
			w.store.mu.Unlock()
			return watch.Response{HeaderRevision: ev.rev, Events: [][]byte{encoded}}, nil
		}
		created := w.created
		w.created = true
		w.store.mu.Unlock()
		if !created {
			return watch.Response{Created: true}, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return watch.Response{}, ctx.Err()
		}
	}
}
