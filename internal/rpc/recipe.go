package rpc

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/watch"
	"keelson/internal/wire"
)

// recipe serves Lock and Election as a client would build them: from
// transactions, ranges and watches, with the caller's context and so under the
// caller's identity, through the same checks as every request.
//
// Both rest on one idea. Contenders put a key each, name + "/" + their lease,
// and the one whose key was created first owns the name. The others wait until
// all keys created before theirs are gone.
type recipe struct {
	kv    *kvService
	lease *leaseService
	watch Watch
	info  Info
}

// recipeLeaseTTL is the life, in seconds, of a lease that a recipe takes for a
// caller without one. Nobody renews it unless the caller does.
const recipeLeaseTTL = 60

// recipeError is how an error leaves a recipe. Refusals travel as Unknown with
// their text, because in etcd they have been a client's error objects on the
// way; the end of the caller's own context stays what it is.
func recipeError(err error) error {
	st := toStatus(err)
	if st.Code() == codes.Canceled || st.Code() == codes.DeadlineExceeded {
		return st.Err()
	}
	return status.Error(codes.Unknown, st.Message())
}

// leaseOf returns the caller's lease, or a new one if there is none.
func (s *recipe) leaseOf(ctx context.Context, id base.LeaseID) (base.LeaseID, error) {
	if id != 0 {
		return id, nil
	}
	req := new(wire.LeaseGrantRequest)
	if err := asWire(&pb.LeaseGrantRequest{TTL: recipeLeaseTTL}, req); err != nil {
		return 0, err
	}
	resp, err := s.lease.grant(ctx, req)
	if err != nil {
		return 0, err
	}
	return base.LeaseID(resp.ID), nil
}

// contenderPrefix is what the keys of all contenders start with.
func contenderPrefix(name []byte) []byte { return fmt.Appendf(nil, "%s/", name) }

// contenderKey is the key of the contender that holds lease.
func contenderKey(name []byte, lease base.LeaseID) []byte {
	return fmt.Appendf(contenderPrefix(name), "%x", int64(lease))
}

// prefixEnd is the range end of all keys that start with a contender prefix,
// whose last byte is a slash.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++
	return end
}

// oldest asks for the first created contender.
func oldest(prefix []byte) *pb.RangeRequest {
	return &pb.RangeRequest{Key: prefix, RangeEnd: prefixEnd(prefix), Limit: 1,
		SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_ASCEND}
}

// awaitTurn waits until no key under prefix was created at or before revision
// last. It watches the youngest of them: older ones matter only when that is
// gone.
func (s *recipe) awaitTurn(ctx context.Context, prefix []byte, last int64) error {
	for {
		resp, err := s.read(ctx, &pb.RangeRequest{Key: prefix, RangeEnd: prefixEnd(prefix), Limit: 1,
			SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_DESCEND, MaxCreateRevision: last})
		if err != nil {
			return err
		}
		if len(resp.Kvs) == 0 {
			return nil
		}
		if err := s.awaitDelete(ctx, resp.Kvs[0].Key, resp.Header.Revision); err != nil {
			return err
		}
	}
}

// awaitDelete waits for the deletion of key at or after revision from.
func (s *recipe) awaitDelete(ctx context.Context, key []byte, from int64) error {
	return s.follow(ctx, watch.CreateRequest{KeyRange: base.KeyRange{Key: key}, StartRev: from},
		func(_ wire.ResponseHeader, ev *mvccpb.Event) (bool, error) {
			return ev.Type == mvccpb.Event_DELETE, nil
		})
}

// follow hands the events of one watcher to visit until that is satisfied or
// fails.
func (s *recipe) follow(ctx context.Context, req watch.CreateRequest, visit func(wire.ResponseHeader, *mvccpb.Event) (enough bool, err error)) error {
	stream := s.watch.NewStream(ctx)
	defer stream.Close()
	stream.Create(req)
	for {
		resp, err := stream.Next(ctx)
		if err != nil {
			return watchEnd(ctx, err)
		}
		if err := watcherGone(resp); err != nil {
			return err
		}
		header := s.info.Header()
		header.Revision = resp.HeaderRevision
		for _, encoded := range resp.Events {
			ev := new(mvccpb.Event)
			if err := proto.Unmarshal(encoded, ev); err != nil {
				return fmt.Errorf("watch event: %w", err)
			}
			if enough, err := visit(header, ev); err != nil || enough {
				return err
			}
		}
	}
}

// read runs a linearizable range.
func (s *recipe) read(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	req := new(wire.RangeRequest)
	if err := asWire(r, req); err != nil {
		return nil, err
	}
	frame, err := s.kv.rangeKeys(ctx, req)
	return answer(frame, err, new(pb.RangeResponse))
}

// transact runs a transaction.
func (s *recipe) transact(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	req := new(wire.TxnRequest)
	if err := asWire(r, req); err != nil {
		return nil, err
	}
	frame, err := s.kv.txn(ctx, req)
	return answer(frame, err, new(pb.TxnResponse))
}

// remove deletes one key.
func (s *recipe) remove(ctx context.Context, key []byte) (*pb.DeleteRangeResponse, error) {
	req := new(wire.DeleteRangeRequest)
	if err := asWire(&pb.DeleteRangeRequest{Key: key}, req); err != nil {
		return nil, err
	}
	frame, err := s.kv.deleteRange(ctx, req)
	return answer(frame, err, new(pb.DeleteRangeResponse))
}

// asWire gives a request made here the form, and the raw bytes, of one that
// was received.
func asWire(m proto.Message, into wireRequest) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return into.UnmarshalWire(b)
}

// answer decodes the response of the server and gives the frame back.
func answer[M proto.Message](frame *wire.Frame, err error, into M) (M, error) {
	if err != nil {
		return into, err
	}
	defer frame.Free()
	return into, proto.Unmarshal(frame.Bytes(), into)
}

func headerOf(h *pb.ResponseHeader) wire.ResponseHeader {
	return wire.ResponseHeader{ClusterID: h.GetClusterId(), MemberID: h.GetMemberId(), Revision: h.GetRevision(), RaftTerm: h.GetRaftTerm()}
}

// Operations and conditions of the transactions above.

func createdAt(key []byte, revision int64) *pb.Compare {
	return &pb.Compare{Key: key, Target: pb.Compare_CREATE, Result: pb.Compare_EQUAL,
		TargetUnion: &pb.Compare_CreateRevision{CreateRevision: revision}}
}

func putOp(key, value []byte, lease base.LeaseID) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: value, Lease: int64(lease)}}}
}

func rangeOp(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func deleteOp(key []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key}}}
}

// errShortAnswer is a server that answered a transaction of ours with fewer
// responses than it had operations.
var errShortAnswer = errors.New("transaction answered with too few responses")
