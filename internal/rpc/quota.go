package rpc

import "keelson/internal/wire"

// What a request may cost of the space quota, in bytes. These are etcd's
// numbers: members of both makes must refuse alike.
const (
	putOverheadBytes = 256
	leaseCostBytes   = 64
)

func putCost(r *wire.PutRequest) int64 {
	return putOverheadBytes + int64(len(r.Key)) + int64(len(r.Value))
}

// txnCost is the dearer of the two branches, since either may run.
func txnCost(r *wire.TxnRequest) int64 {
	return max(opsCost(r.Success), opsCost(r.Failure))
}

func opsCost(ops []wire.RequestOp) (cost int64) {
	for i := range ops {
		switch op := &ops[i]; {
		case op.Put != nil:
			cost += putCost(op.Put)
		case op.Txn != nil:
			cost += txnCost(op.Txn)
		}
	}
	return cost
}
