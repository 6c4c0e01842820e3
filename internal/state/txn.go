package state

import (
	"bytes"
	"cmp"
	"context"

	"keelson/internal/errs"
	"keelson/internal/mvcc"
	"keelson/internal/wire"
)

// A transaction runs in three steps. Which branches run is decided for the
// whole tree first, against the state before: nested compares do not see what
// the outer branch writes. Then everything on that path that can fail is
// checked, so that it fails as a whole. Then the operations run in order, each
// seeing what the ones before it wrote.

func (a *apply) txn() error {
	tx := a.KV.Begin()
	defer tx.End()
	t := txn{Machine: a.Machine, want: a.want, read: tx}
	if err := t.decide(&a.txnReq); err != nil {
		return err
	}
	if err := t.check(&a.txnReq, tx.BaseRev()); err != nil {
		return err
	}
	t.ranges, t.write = tx, tx
	t.rev = tx.Rev
	t.restart()
	responses, err := t.run(&a.txnReq, nil)
	if err != nil {
		return err
	}
	a.res.Succeeded, a.res.Responses = t.path[0], responses
	return nil
}

// ReadTxn evaluates a transaction that only reads, on a view. It returns the
// encoded responses.
func (m *Machine) ReadTxn(ctx context.Context, v *mvcc.View, r *wire.TxnRequest) (succeeded bool, responses []byte, err error) {
	t := txn{Machine: m, want: true, read: v, ranges: viewReader{v, ctx}, rev: v.Revision}
	if err := t.decide(r); err != nil {
		return false, nil, err
	}
	if err := t.check(r, v.Revision()); err != nil {
		return false, nil, err
	}
	t.restart()
	responses, err = t.run(r, nil)
	return t.path[0], responses, err
}

// IsReadOnly reports whether every operation of both branches is a range. A
// nested transaction makes it a write, whatever is inside.
func IsReadOnly(r *wire.TxnRequest) bool {
	for _, ops := range [...][]wire.RequestOp{r.Success, r.Failure} {
		for i := range ops {
			if ops[i].Range == nil {
				return false
			}
		}
	}
	return true
}

// IsSerializable reports whether every range of a read-only transaction may be
// answered without asking the others.
func IsSerializable(r *wire.TxnRequest) bool {
	for _, ops := range [...][]wire.RequestOp{r.Success, r.Failure} {
		for i := range ops {
			if rr := ops[i].Range; rr == nil || !rr.Serializable {
				return false
			}
		}
	}
	return true
}

// txn is one evaluation. path holds the outcome of each transaction of the
// tree on the way that is taken, outer before inner, in order; next walks it.
type txn struct {
	*Machine
	want   bool
	read   reader
	ranges ranger
	write  *mvcc.Tx // nil on a view
	rev    func() int64

	path []bool
	next int
}

func (t *txn) restart() { t.next = 0 }

// branch returns the operations that run, by the outcome decided before.
func (t *txn) branch(r *wire.TxnRequest) (ops []wire.RequestOp, succeeded bool) {
	succeeded = t.path[t.next]
	t.next++
	if succeeded {
		return r.Success, true
	}
	return r.Failure, false
}

func (t *txn) decide(r *wire.TxnRequest) error {
	succeeded := true
	for i := range r.Compare {
		ok, err := t.holds(&r.Compare[i])
		if err != nil {
			return err
		}
		if !ok {
			succeeded = false
			break
		}
	}
	t.path = append(t.path, succeeded)
	ops := r.Failure
	if succeeded {
		ops = r.Success
	}
	for i := range ops {
		if ops[i].Txn == nil {
			continue
		}
		if err := t.decide(ops[i].Txn); err != nil {
			return err
		}
	}
	return nil
}

// holds evaluates one compare: over a range it must hold for every key there.
// Where there is no key, values compare to nothing at all and everything else
// compares to zero.
func (t *txn) holds(c *wire.Compare) (bool, error) {
	if c.Range().IsSingle() {
		e, ok := t.read.Get(c.Key)
		if !ok {
			return c.Target != wire.CompareValue && compareNumber(c, mvcc.Entry{}), nil
		}
		return t.holdsFor(c, c.Key, e)
	}
	found, holds := false, true
	var err error
	t.read.Entries(c.Range(), func(key []byte, e mvcc.Entry) bool {
		found = true
		holds, err = t.holdsFor(c, key, e)
		return holds && err == nil
	})
	switch {
	case err != nil:
		return false, err
	case !found:
		return c.Target != wire.CompareValue && compareNumber(c, mvcc.Entry{}), nil
	}
	return holds, nil
}

func (t *txn) holdsFor(c *wire.Compare, key []byte, e mvcc.Entry) (bool, error) {
	if c.Target != wire.CompareValue {
		return compareNumber(c, e), nil
	}
	payload, _, err := t.read.KV(key)
	if err != nil {
		return false, err
	}
	var kv wire.KeyValueView
	if err := kv.UnmarshalWire(payload); err != nil {
		return false, err
	}
	return outcome(c.Result, bytes.Compare(kv.Value, c.Value)), nil
}

// compareNumber compares what a key has with what was given. An unknown target
// counts as equal.
func compareNumber(c *wire.Compare, e mvcc.Entry) bool {
	order := 0
	switch c.Target {
	case wire.CompareVersion:
		order = cmp.Compare(e.Version, c.Version)
	case wire.CompareCreate:
		order = cmp.Compare(e.Create, c.CreateRevision)
	case wire.CompareMod:
		order = cmp.Compare(e.Mod.Main, c.ModRevision)
	case wire.CompareLease:
		order = cmp.Compare(e.Lease, c.Lease)
	}
	return outcome(c.Result, order)
}

// outcome applies the operator; an unknown one holds.
func outcome(result int32, order int) bool {
	switch result {
	case wire.CompareEqual:
		return order == 0
	case wire.CompareNotEqual:
		return order != 0
	case wire.CompareGreater:
		return order > 0
	case wire.CompareLess:
		return order < 0
	}
	return true
}

// check finds out whether anything on the path fails. rev is the revision
// before the transaction: a range at the one it will make is in the future.
func (t *txn) check(r *wire.TxnRequest, rev int64) error {
	t.restart()
	return t.checkBranch(r, rev)
}

func (t *txn) checkBranch(r *wire.TxnRequest, rev int64) error {
	ops, _ := t.branch(r)
	for i := range ops {
		var err error
		switch op := &ops[i]; {
		case op.Range != nil:
			switch at := op.Range.Revision; {
			case at == 0:
			case at > rev:
				err = errs.ErrFutureRev
			case at < t.read.CompactRevision():
				err = errs.ErrCompacted
			}
		case op.Put != nil:
			err = t.checkPut(op.Put, t.read)
		case op.Txn != nil:
			err = t.checkBranch(op.Txn, rev)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// run carries the path out and appends the encoded responses.
func (t *txn) run(r *wire.TxnRequest, responses []byte) ([]byte, error) {
	ops, _ := t.branch(r)
	for i := range ops {
		var err error
		switch op := &ops[i]; {
		case op.Range != nil:
			responses, err = t.runRange(op.Range, responses)
		case op.Put != nil:
			var prev []byte
			prev, err = t.putTx(t.write, op.Put, t.want)
			if err == nil && t.want {
				responses = wire.AppendPutOp(responses, t.rev(), prev)
			}
		case op.DeleteRange != nil:
			var prevs [][]byte
			var n int64
			prevs, n, err = t.deleteTx(t.write, op.DeleteRange, t.want)
			if err == nil && t.want {
				responses = wire.AppendDeleteRangeOp(responses, t.rev(), n, prevs)
			}
		case op.Txn != nil:
			succeeded := t.path[t.next]
			var inner []byte
			inner, err = t.run(op.Txn, nil)
			if err == nil && t.want {
				responses = wire.AppendTxnOp(responses, succeeded, inner)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return responses, nil
}

func (t *txn) runRange(r *wire.RangeRequest, responses []byte) ([]byte, error) {
	if !t.want {
		return responses, nil
	}
	res, err := t.ranges.Range(RangeOptions(r))
	if err != nil {
		return nil, err
	}
	return wire.AppendRangeOp(responses, t.rev(), res.KVs, res.More, res.Count), nil
}
