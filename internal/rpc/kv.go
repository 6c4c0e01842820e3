package rpc

import (
	"context"

	"google.golang.org/grpc"

	"keelson/internal/wire"
)

// kvService is etcdserverpb.KV: quota first, then the rules that need no
// state, then the server.
type kvService struct {
	kv        KV
	quota     Quota
	maxTxnOps int
}

func (s *kvService) rangeKeys(ctx context.Context, r *wire.RangeRequest) (*wire.Frame, error) {
	if err := checkRange(r); err != nil {
		return nil, err
	}
	return s.kv.Range(ctx, r)
}

func (s *kvService) rangeStream(r *wire.RangeRequest, ss grpc.ServerStream) error {
	if err := checkRangeStream(r); err != nil {
		return err
	}
	return s.kv.RangeStream(ss.Context(), r, func(f *wire.Frame) error { return ss.SendMsg(f) })
}

func (s *kvService) put(ctx context.Context, r *wire.PutRequest) (*wire.Frame, error) {
	if err := s.quota.CheckQuota(ctx, putCost(r)); err != nil {
		return nil, err
	}
	if err := checkPut(r); err != nil {
		return nil, err
	}
	return s.kv.Put(ctx, r)
}

func (s *kvService) deleteRange(ctx context.Context, r *wire.DeleteRangeRequest) (*wire.Frame, error) {
	if err := checkDeleteRange(r); err != nil {
		return nil, err
	}
	return s.kv.DeleteRange(ctx, r)
}

func (s *kvService) txn(ctx context.Context, r *wire.TxnRequest) (*wire.Frame, error) {
	if cost := txnCost(r); cost > 0 {
		if err := s.quota.CheckQuota(ctx, cost); err != nil {
			return nil, err
		}
	}
	if err := checkTxn(r, s.maxTxnOps); err != nil {
		return nil, err
	}
	return s.kv.Txn(ctx, r)
}
