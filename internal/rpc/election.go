package rpc

import (
	"bytes"
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/watch"
	"keelson/internal/wire"
)

// What an election refuses with; the texts are etcd's.
var (
	errNotLeader      = errors.New("election: not leader")
	errNoLeader       = errors.New("election: no leader")
	errNoLeaderField  = errors.New(`"leader" field must be provided`)
	errObserveStopped = errors.New("election: observe closed early")
)

// campaign is Election.Campaign: it returns when the caller leads. The header
// is that of the transaction that entered the contest, even if the wait was
// long.
func (s *recipe) campaign(ctx context.Context, r *wire.CampaignRequest) (*wire.Frame, error) {
	lease, err := s.leaseOf(ctx, r.Lease)
	if err != nil {
		return nil, recipeError(err)
	}
	me := wire.LeaderKey{Name: r.Name, Key: contenderKey(r.Name, lease), Lease: lease}
	header, err := s.enter(ctx, &me, r.Value)
	if err != nil {
		return nil, recipeError(err)
	}
	if err := s.awaitTurn(ctx, contenderPrefix(r.Name), me.Rev-1); err != nil {
		if ctx.Err() != nil {
			_, _ = s.withdraw(context.WithoutCancel(ctx), &me)
		}
		return nil, recipeError(err)
	}
	return wire.NewCampaignResponse(headerOf(header), me), nil
}

// enter puts the contender's key, or gives the one it has from before the new
// value, and learns its create revision.
func (s *recipe) enter(ctx context.Context, me *wire.LeaderKey, value []byte) (*pb.ResponseHeader, error) {
	txn, err := s.transact(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{createdAt(me.Key, 0)},
		Success: []*pb.RequestOp{putOp(me.Key, value, me.Lease)},
		Failure: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: me.Key})},
	})
	if err != nil {
		return nil, err
	}
	if me.Rev, err = createRevision(txn); err != nil {
		return nil, err
	}
	if txn.Succeeded || bytes.Equal(txn.Responses[0].GetResponseRange().Kvs[0].Value, value) {
		return txn.Header, nil
	}
	if _, err := s.announce(ctx, me, value); err != nil {
		_, _ = s.withdraw(ctx, me)
		return nil, err
	}
	return txn.Header, nil
}

// announce gives the leader's key a new value, provided it is still the same
// key.
func (s *recipe) announce(ctx context.Context, me *wire.LeaderKey, value []byte) (*pb.ResponseHeader, error) {
	txn, err := s.transact(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{createdAt(me.Key, me.Rev)},
		Success: []*pb.RequestOp{putOp(me.Key, value, me.Lease)},
	})
	if err != nil {
		return nil, err
	}
	if !txn.Succeeded {
		return nil, errNotLeader
	}
	return txn.Header, nil
}

// withdraw deletes the leader's key, provided it is still the same key; that
// it is not is fine, too.
func (s *recipe) withdraw(ctx context.Context, me *wire.LeaderKey) (*pb.ResponseHeader, error) {
	txn, err := s.transact(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{createdAt(me.Key, me.Rev)},
		Success: []*pb.RequestOp{deleteOp(me.Key)},
	})
	if err != nil {
		return nil, err
	}
	return txn.Header, nil
}

// proclaim is Election.Proclaim.
func (s *recipe) proclaim(ctx context.Context, r *wire.ProclaimRequest) (*wire.Frame, error) {
	if r.Leader == nil {
		return nil, recipeError(errNoLeaderField)
	}
	me := *r.Leader
	var err error
	if me.Lease, err = s.leaseOf(ctx, me.Lease); err != nil {
		return nil, recipeError(err)
	}
	header, err := s.announce(ctx, &me, r.Value)
	if err != nil {
		return nil, recipeError(err)
	}
	return wire.NewHeaderResponse(headerOf(header)), nil
}

// resign is Election.Resign.
func (s *recipe) resign(ctx context.Context, r *wire.ResignRequest) (*wire.Frame, error) {
	if r.Leader == nil {
		return nil, recipeError(errNoLeaderField)
	}
	header, err := s.withdraw(ctx, r.Leader)
	if err != nil {
		return nil, recipeError(err)
	}
	return wire.NewHeaderResponse(headerOf(header)), nil
}

// leader is Election.Leader.
func (s *recipe) leader(ctx context.Context, r *wire.LeaderRequest) (*wire.Frame, error) {
	resp, err := s.read(ctx, oldest(contenderPrefix(r.Name)))
	if err != nil {
		return nil, recipeError(err)
	}
	if len(resp.Kvs) == 0 {
		return nil, recipeError(errNoLeader)
	}
	frame, err := leaderResponse(headerOf(resp.Header), resp.Kvs[0])
	if err != nil {
		return nil, recipeError(err)
	}
	return frame, nil
}

// observe is Election.Observe: the leader's value, then each new value, then
// the next leader, until the caller leaves.
func (s *recipe) observe(r *wire.LeaderRequest, ss grpc.ServerStream) error {
	prefix := contenderPrefix(r.Name)
	send := func(h wire.ResponseHeader, kv *mvccpb.KeyValue) error {
		frame, err := leaderResponse(h, kv)
		if err != nil {
			return err
		}
		return ss.SendMsg(frame)
	}
	for {
		err := s.observeOne(ss.Context(), prefix, send)
		switch {
		case err == nil: // that leader is gone
		case ss.Context().Err() != nil:
			return ss.Context().Err()
		default:
			return recipeError(errObserveStopped)
		}
	}
}

// observeOne follows one leader until its key is deleted.
func (s *recipe) observeOne(ctx context.Context, prefix []byte, send func(wire.ResponseHeader, *mvccpb.KeyValue) error) error {
	resp, err := s.read(ctx, oldest(prefix))
	if err != nil {
		return err
	}
	header := headerOf(resp.Header)
	var kv *mvccpb.KeyValue
	if len(resp.Kvs) > 0 {
		kv = resp.Kvs[0]
	} else if header, kv, err = s.awaitFirst(ctx, prefix, header.Revision); err != nil {
		return err
	}
	if err := send(header, kv); err != nil {
		return err
	}
	return s.follow(ctx, watch.CreateRequest{KeyRange: base.KeyRange{Key: kv.Key}, StartRev: header.Revision + 1},
		func(h wire.ResponseHeader, ev *mvccpb.Event) (bool, error) {
			if ev.Type == mvccpb.Event_DELETE {
				return true, nil
			}
			return false, send(h, ev.Kv)
		})
}

// awaitFirst waits for a contender where there is none at revision from. The
// header it returns is at the revision of that put, although the response may
// have held later ones.
func (s *recipe) awaitFirst(ctx context.Context, prefix []byte, from int64) (header wire.ResponseHeader, kv *mvccpb.KeyValue, err error) {
	all := base.KeyRange{Key: prefix, End: prefixEnd(prefix)}
	err = s.follow(ctx, watch.CreateRequest{KeyRange: all, StartRev: from},
		func(h wire.ResponseHeader, ev *mvccpb.Event) (bool, error) {
			if ev.Type == mvccpb.Event_DELETE {
				return false, nil
			}
			h.Revision = ev.Kv.ModRevision
			header, kv = h, ev.Kv
			return true, nil
		})
	return header, kv, err
}

func leaderResponse(h wire.ResponseHeader, kv *mvccpb.KeyValue) (*wire.Frame, error) {
	encoded, err := proto.Marshal(kv)
	if err != nil {
		return nil, err
	}
	return wire.NewLeaderResponse(h, encoded), nil
}
