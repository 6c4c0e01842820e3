package rpc

import (
	"keelson/internal/errs"
	"keelson/internal/wire"
)

// Range orders and targets: the enums' last known values.
const (
	sortNone       = 0
	sortAscend     = 1
	lastSortOrder  = 2 // DESCEND
	sortByKey      = 0
	lastSortTarget = 4 // VALUE
)

func checkRange(r *wire.RangeRequest) error {
	switch {
	case len(r.Key) == 0:
		return errs.ErrEmptyKey
	case r.SortOrder < sortNone || r.SortOrder > lastSortOrder,
		r.SortTarget < sortByKey || r.SortTarget > lastSortTarget:
		return errs.ErrInvalidSortOption
	}
	return nil
}

func checkRangeStream(r *wire.RangeRequest) error {
	if err := checkRange(r); err != nil {
		return err
	}
	byKey := r.SortOrder == sortNone || r.SortOrder == sortAscend && r.SortTarget == sortByKey
	switch {
	case !byKey:
		return errs.ErrStreamSort
	case r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0:
		return errs.ErrStreamFilter
	}
	return nil
}

func checkPut(r *wire.PutRequest) error {
	switch {
	case len(r.Key) == 0:
		return errs.ErrEmptyKey
	case r.IgnoreValue && len(r.Value) != 0:
		return errs.ErrValueProvided
	case r.IgnoreLease && r.Lease != 0:
		return errs.ErrLeaseProvided
	}
	return nil
}

func checkDeleteRange(r *wire.DeleteRangeRequest) error {
	if len(r.Key) == 0 {
		return errs.ErrEmptyKey
	}
	return nil
}

// checkTxn holds a transaction against all rules that need no state.
func checkTxn(r *wire.TxnRequest, maxOps int) error {
	if err := checkTxnOps(r, maxOps); err != nil {
		return err
	}
	if err := checkDuplicates(r.Success); err != nil {
		return err
	}
	return checkDuplicates(r.Failure)
}

// checkTxnOps checks every compare and operation. A nested transaction may use
// what its parent's longest list leaves of maxOps, which also bounds nesting.
func checkTxnOps(r *wire.TxnRequest, maxOps int) error {
	n := max(len(r.Compare), len(r.Success), len(r.Failure))
	if n > maxOps {
		return errs.ErrTooManyOps
	}
	for i := range r.Compare {
		if len(r.Compare[i].Key) == 0 {
			return errs.ErrEmptyKey
		}
	}
	for _, ops := range [...][]wire.RequestOp{r.Success, r.Failure} {
		for i := range ops {
			if err := checkOp(&ops[i], maxOps-n); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkOp(op *wire.RequestOp, maxOps int) error {
	switch {
	case op.Range != nil:
		return checkRange(op.Range)
	case op.Put != nil:
		return checkPut(op.Put)
	case op.DeleteRange != nil:
		return checkDeleteRange(op.DeleteRange)
	case op.Txn != nil:
		return checkTxnOps(op.Txn, maxOps)
	}
	return errs.ErrKeyNotFound // an operation without content; etcd's choice of words
}
