package app

import (
	"fmt"
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"go.uber.org/zap"

	"keelson/internal/alarm"
	"keelson/internal/lease"
	"keelson/internal/member"
	"keelson/internal/mvcc"
	"keelson/internal/revlog"
	"keelson/internal/state"
	"keelson/internal/vfs"
	"keelson/internal/wire"
)

// reference is a machine on a disk that never fails, given the same requests
// one by one: what a member's state must be after each of them.
type reference struct {
	t       testing.TB
	machine *state.Machine
	log     *revlog.Log
	index   uint64
}

func newReference(t testing.TB) *reference {
	t.Helper()
	fs := vfs.NewMem()
	must(t, fs.MkdirAll("r"))
	log, err := revlog.Create(revlog.Options{FS: fs, Dir: "r", NoSync: true, Inline: true})
	must(t, err)
	kv, err := mvcc.Open(mvcc.Config{Log: log, Logger: zap.NewNop()}, mvcc.EmptyPosition())
	must(t, err)
	r := &reference{t: t, log: log, machine: &state.Machine{
		KV: kv, Leases: lease.NewStore(2), Members: member.NewStore(1), Alarms: alarm.NewStore(),
	}}
	t.Cleanup(func() {
		kv.Close()
		must(t, log.Close())
	})
	return r
}

// apply carries a request out and returns the refusal, if it is one.
func (r *reference) apply(q request) error {
	r.t.Helper()
	r.index++
	data := wire.AppendRaftRequest(nil, wire.RequestHeader{ID: r.index}, q.kind, q.body(r.t))
	res, err := r.machine.Apply(&raftpb.Entry{Index: &r.index, Term: proto.Uint64(1), Data: data}, func(uint64) bool { return false })
	if err != nil {
		r.t.Fatalf("%v: %v", q, err)
	}
	r.machine.KV.Publish()
	return res.Err
}

// play makes random requests over a small key space.
type play struct {
	rng *rand.Rand
	rev func() int64 // the newest revision, for compactions
}

func (p play) key() []byte { return fmt.Appendf(nil, "key-%02d", p.rng.IntN(40)) }

func (p play) leaseID() int64 { return int64(1 + p.rng.IntN(6)) }

func (p play) put() *pb.PutRequest {
	r := &pb.PutRequest{Key: p.key(), Value: make([]byte, p.rng.IntN(200))}
	for i := range r.Value {
		r.Value[i] = byte(p.rng.Uint32())
	}
	if p.rng.IntN(4) == 0 {
		r.Lease = p.leaseID()
	}
	if p.rng.IntN(20) == 0 {
		r.Value, r.IgnoreValue = nil, true
	}
	return r
}

func (p play) deleteRange() *pb.DeleteRangeRequest {
	r := &pb.DeleteRangeRequest{Key: p.key()}
	if p.rng.IntN(3) == 0 {
		r.RangeEnd = p.key()
	}
	return r
}

func (p play) txn() *pb.TxnRequest {
	r := &pb.TxnRequest{Compare: []*pb.Compare{{
		Key: p.key(), Target: pb.Compare_CREATE, Result: pb.Compare_EQUAL,
		TargetUnion: &pb.Compare_CreateRevision{CreateRevision: 0},
	}}}
	for _, ops := range []*[]*pb.RequestOp{&r.Success, &r.Failure} {
		for range p.rng.IntN(4) {
			if p.rng.IntN(4) == 0 {
				*ops = append(*ops, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: p.deleteRange()}})
				continue
			}
			*ops = append(*ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: p.put()}})
		}
	}
	return r
}

// next is the next request.
func (p play) next() request {
	switch n := p.rng.IntN(100); {
	case n < 55:
		return request{wire.KindPut, p.put()}
	case n < 70:
		// A transaction that writes nothing does not reach the log.
		r := p.txn()
		r.Success = append(r.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("t")}}})
		return request{wire.KindTxn, r}
	case n < 80:
		return request{wire.KindDeleteRange, p.deleteRange()}
	case n < 87:
		return request{wire.KindLeaseGrant, &pb.LeaseGrantRequest{ID: p.leaseID(), TTL: 10_000 + p.rng.Int64N(1000)}}
	case n < 91:
		return request{wire.KindLeaseRevoke, &pb.LeaseRevokeRequest{ID: p.leaseID()}}
	case n < 93:
		return request{wire.KindAlarm, &pb.AlarmRequest{
			Action: pb.AlarmRequest_AlarmAction(1 + p.rng.IntN(2)), MemberID: 7 + p.rng.Uint64N(2), Alarm: pb.AlarmType_NOSPACE}}
	case n < 94:
		return request{wire.KindAlarm, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: 7, Alarm: pb.AlarmType_NOSPACE}}
	default:
		return request{wire.KindCompaction, &pb.CompactionRequest{Revision: max(1, p.rev()-p.rng.Int64N(30)), Physical: p.rng.IntN(2) == 0}}
	}
}
