package state

import (
	"context"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/mvcc"
	"keelson/internal/wire"
)

func (a *apply) put() error {
	if err := a.checkPut(&a.putReq, nil); err != nil {
		return err
	}
	tx := a.KV.Begin()
	prev, err := a.putTx(tx, &a.putReq, a.want)
	tx.End()
	if err != nil {
		return err
	}
	if prev != nil {
		a.res.PrevKVs = [][]byte{prev}
	}
	return nil
}

// checkPut makes the checks a put can fail, before anything is changed. r is
// the state to look keys up in; nil stands for the newest.
func (m *Machine) checkPut(r *wire.PutRequest, in reader) error {
	if r.Lease != 0 {
		if _, ok := m.Leases.Lookup(r.Lease); !ok {
			return errs.ErrLeaseNotFound
		}
	}
	if !r.IgnoreValue && !r.IgnoreLease {
		return nil
	}
	if in == nil {
		tx := m.KV.Begin()
		defer tx.End()
		in = tx
	}
	if _, ok := in.Get(r.Key); !ok {
		return errs.ErrKeyNotFound
	}
	return nil
}

// putTx carries a checked put out and returns the previous pair if the request
// asks for it and someone wants the answer.
func (m *Machine) putTx(tx *mvcc.Tx, r *wire.PutRequest, want bool) (prevKV []byte, err error) {
	want = want && r.PrevKV
	old, existed := tx.Get(r.Key)
	if existed && (want || r.IgnoreValue) {
		if prevKV, _, err = tx.KV(r.Key); err != nil {
			return nil, err
		}
	}
	value, lease := r.Value, r.Lease
	if r.IgnoreValue {
		var kv wire.KeyValueView
		if err := kv.UnmarshalWire(prevKV); err != nil {
			return nil, err
		}
		value = kv.Value
	}
	if r.IgnoreLease {
		lease = old.Lease
	}
	if err := tx.Put(r.Key, value, lease); err != nil {
		return nil, err
	}
	m.Leases.Move(r.Key, old.Lease, lease)
	if !want {
		prevKV = nil
	}
	return prevKV, nil
}

func (a *apply) deleteRange() error {
	var r wire.DeleteRangeRequest
	if err := r.UnmarshalWire(a.body); err != nil {
		return err
	}
	tx := a.KV.Begin()
	prevs, n, err := a.deleteTx(tx, &r, a.want)
	tx.End()
	a.res.Deleted, a.res.PrevKVs = n, prevs
	return err
}

// deleteTx deletes a range and returns how many pairs it held, and the pairs if
// the request asks for them and someone wants the answer.
func (m *Machine) deleteTx(tx *mvcc.Tx, r *wire.DeleteRangeRequest, want bool) (prevs [][]byte, n int64, err error) {
	if want && r.PrevKV {
		held, err := tx.Range(mvcc.RangeOptions{KeyRange: r.Range()})
		if err != nil {
			return nil, 0, err
		}
		prevs = held.KVs
	}
	gone, err := tx.DeleteRange(r.Range())
	for _, d := range gone {
		m.Leases.Move(d.Key, d.Last.Lease, 0)
	}
	return prevs, int64(len(gone)), err
}

// readRange answers a range that travelled through the log; no member of ours
// proposes one.
func (a *apply) readRange() error {
	var r wire.RangeRequest
	if err := r.UnmarshalWire(a.body); err != nil {
		return err
	}
	if !a.want {
		return nil
	}
	tx := a.KV.Begin()
	defer tx.End()
	var err error
	a.res.Range, err = tx.Range(RangeOptions(&r))
	return err
}

// RangeOptions are the options of a range request.
func RangeOptions(r *wire.RangeRequest) mvcc.RangeOptions {
	return mvcc.RangeOptions{
		KeyRange: r.Range(), Limit: r.Limit, Revision: r.Revision,
		SortOrder: r.SortOrder, SortTarget: r.SortTarget,
		KeysOnly: r.KeysOnly, CountOnly: r.CountOnly,
		MinMod: r.MinModRevision, MaxMod: r.MaxModRevision,
		MinCreate: r.MinCreateRevision, MaxCreate: r.MaxCreateRevision,
	}
}

func (a *apply) compact() error {
	var r wire.CompactionRequest
	if err := r.UnmarshalWire(a.body); err != nil {
		return err
	}
	if err := a.KV.Compact(r.Revision); err != nil {
		return err
	}
	a.res.Compaction = Compaction{Accepted: true, Revision: r.Revision, Physical: r.Physical}
	return nil
}

// reader is a state of the key space that a transaction is evaluated against:
// an open write transaction or a view.
type reader interface {
	Get(key []byte) (mvcc.Entry, bool)
	KV(key []byte) (payload []byte, ok bool, err error)
	Entries(kr base.KeyRange, yield func(key []byte, e mvcc.Entry) bool)
	CompactRevision() int64
}

// ranger reads ranges; how differs between a transaction and a view.
type ranger interface {
	Range(mvcc.RangeOptions) (mvcc.RangeResult, error)
}

// viewReader makes a view a ranger.
type viewReader struct {
	*mvcc.View
	ctx context.Context
}

func (v viewReader) Range(o mvcc.RangeOptions) (mvcc.RangeResult, error) {
	return v.View.Range(v.ctx, o)
}
