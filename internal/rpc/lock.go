package rpc

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"keelson/internal/wire"
)

// errSessionExpired: the lease ran out while its owner waited for the lock.
var errSessionExpired = errors.New("mutex: session is expired")

// lock is v3lockpb.Lock.Lock: it returns when the caller owns the name.
func (s *recipe) lock(ctx context.Context, r *wire.LockRequest) (*wire.Frame, error) {
	lease, err := s.leaseOf(ctx, r.Lease)
	if err != nil {
		return nil, recipeError(err)
	}
	key := contenderKey(r.Name, lease)
	header, err := s.acquire(ctx, contenderPrefix(r.Name), key, putOp(key, nil, lease))
	if err != nil {
		return nil, recipeError(err)
	}
	return wire.NewLockResponse(headerOf(header), key), nil
}

// acquire enters key among the contenders and waits for its turn. A key that
// is there already belongs to the same lease, which keeps its place.
func (s *recipe) acquire(ctx context.Context, prefix, key []byte, enter *pb.RequestOp) (*pb.ResponseHeader, error) {
	txn, err := s.transact(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{createdAt(key, 0)},
		Success: []*pb.RequestOp{enter, rangeOp(oldest(prefix))},
		Failure: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: key}), rangeOp(oldest(prefix))},
	})
	if err != nil {
		return nil, err
	}
	mine, err := createRevision(txn)
	if err != nil {
		return nil, err
	}
	if len(txn.Responses) != 2 {
		return nil, errShortAnswer
	}
	if owners := txn.Responses[1].GetResponseRange().GetKvs(); len(owners) == 0 || owners[0].CreateRevision == mine {
		return txn.Header, nil
	}
	if err := s.awaitTurn(ctx, prefix, mine-1); err != nil {
		s.giveUp(ctx, key)
		return nil, err
	}
	still, err := s.read(ctx, &pb.RangeRequest{Key: key})
	if err != nil {
		s.giveUp(ctx, key)
		return nil, err
	}
	if len(still.Kvs) == 0 {
		return nil, errSessionExpired
	}
	return still.Header, nil
}

// createRevision is the create revision of the contender's key after a
// transaction that put the key, or read it because it existed.
func createRevision(txn *pb.TxnResponse) (int64, error) {
	if txn.Succeeded {
		return txn.Header.GetRevision(), nil
	}
	if len(txn.Responses) == 0 || len(txn.Responses[0].GetResponseRange().GetKvs()) == 0 {
		return 0, errShortAnswer
	}
	return txn.Responses[0].GetResponseRange().Kvs[0].CreateRevision, nil
}

// giveUp takes a contender's key away after its wait failed, most often because
// the caller left. It keeps the caller's identity but not the ended context;
// the server bounds the request by its own timeout. If it fails the key goes
// with its lease.
func (s *recipe) giveUp(ctx context.Context, key []byte) {
	_, _ = s.remove(context.WithoutCancel(ctx), key)
}

// unlock is v3lockpb.Lock.Unlock: a plain delete. Nobody checks who asks.
func (s *recipe) unlock(ctx context.Context, r *wire.UnlockRequest) (*wire.Frame, error) {
	resp, err := s.remove(ctx, r.Key)
	if err != nil {
		return nil, recipeError(err)
	}
	return wire.NewHeaderResponse(headerOf(resp.Header)), nil
}
