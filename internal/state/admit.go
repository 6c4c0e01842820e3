package state

import (
	"errors"

	"keelson/internal/alarm"
	"keelson/internal/errs"
	"keelson/internal/wire"
)

// Costs of requests against the space quota, in bytes.
const (
	putOverhead = 256
	leaseCost   = 64
)

// admit refuses what raised alarms forbid. The alarms are replicated, so every
// member refuses the same entries. CORRUPT is looked at first.
func (a *apply) admit() error {
	var err error
	if a.res.Cost, err = a.cost(); err != nil {
		return err
	}
	if a.Alarms.Active(alarm.Corrupt) && stopsOnCorrupt(a.res.Kind) {
		return errs.ErrCorrupt
	}
	if a.res.Cost > 0 && a.Alarms.Active(alarm.NoSpace) {
		return errs.ErrNoSpace
	}
	return nil
}

func stopsOnCorrupt(k wire.Kind) bool {
	switch k {
	case wire.KindPut, wire.KindRange, wire.KindDeleteRange, wire.KindTxn,
		wire.KindCompaction, wire.KindLeaseGrant, wire.KindLeaseRevoke:
		return true
	}
	return false
}

// cost decodes the requests that have one.
func (a *apply) cost() (int64, error) {
	switch a.res.Kind {
	case wire.KindPut:
		if err := a.putReq.UnmarshalWire(a.body); err != nil {
			return 0, err
		}
		return PutCost(&a.putReq), nil
	case wire.KindTxn:
		if err := a.txnReq.UnmarshalWire(a.body); err != nil {
			return 0, err
		}
		return TxnCost(&a.txnReq), nil
	case wire.KindLeaseGrant:
		return leaseCost, nil
	}
	return 0, nil
}

// PutCost is what a put counts against the space quota.
func PutCost(r *wire.PutRequest) int64 { return int64(putOverhead + len(r.Key) + len(r.Value)) }

// TxnCost is what a transaction counts: the puts of its dearer branch, nested
// ones included.
func TxnCost(r *wire.TxnRequest) int64 { return max(branchCost(r.Success), branchCost(r.Failure)) }

func branchCost(ops []wire.RequestOp) (sum int64) {
	for i := range ops {
		switch op := &ops[i]; {
		case op.Put != nil:
			sum += PutCost(op.Put)
		case op.Txn != nil:
			sum += TxnCost(op.Txn)
		}
	}
	return sum
}

// isRefusal tells a refused request from a fault.
func isRefusal(err error) bool {
	var e *errs.Error
	return errors.As(err, &e)
}
