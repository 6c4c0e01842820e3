package ctl

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// fakeServer answers every call with something fixed that depends only on the
// request, and notes the requests that carry the flags of a command. It
// listens in memory under the name demo:2379; every other name refuses connections.
type fakeServer struct {
	pb.UnimplementedKVServer
	pb.UnimplementedWatchServer
	pb.UnimplementedLeaseServer
	pb.UnimplementedClusterServer
	pb.UnimplementedMaintenanceServer

	listener *bufconn.Listener
	mu       struct {
		sync.Mutex
		calls []string
	}
}

const (
	fakeCluster = 0xbabc9795b64f03e3
	fakeMember  = 0x628170c800dbcee // 15 digits, to show which formats pad
	fakeLease   = 0x3ceea202cc836ea3
)

func newFakeServer(t *testing.T) *fakeServer {
	f := &fakeServer{listener: bufconn.Listen(1 << 20)}
	s := grpc.NewServer()
	pb.RegisterKVServer(s, f)
	pb.RegisterWatchServer(s, f)
	pb.RegisterLeaseServer(s, f)
	pb.RegisterClusterServer(s, f)
	pb.RegisterMaintenanceServer(s, f)
	go s.Serve(f.listener) // until Stop
	t.Cleanup(s.Stop)
	return f
}

func (f *fakeServer) dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			if address != "demo:2379" {
				return nil, fmt.Errorf("nobody listens at %s", address)
			}
			return f.listener.DialContext(ctx)
		}),
	}
}

func (f *fakeServer) note(name string, request any) {
	text, err := json.Marshal(request)
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.calls = append(f.mu.calls, name+" "+string(text))
}

// takeCalls returns the requests since the last time.
func (f *fakeServer) takeCalls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.mu.calls
	f.mu.calls = nil
	return calls
}

func fakeHeader(revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: fakeCluster, MemberId: fakeMember, Revision: revision, RaftTerm: 2}
}

func alphaKV() *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte("alpha"), CreateRevision: 2, ModRevision: 9, Version: 8, Value: []byte("four")}
}

func binaryKV() *mvccpb.KeyValue {
	return &mvccpb.KeyValue{
		Key: []byte("bin<&>"), CreateRevision: 10, ModRevision: 11, Version: 2,
		Value: []byte("\xff\x00é\n\"q\""), Lease: fakeLease,
	}
}

func (f *fakeServer) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	f.note("Range", r)
	return fakeRange(r, fakeHeader(12))
}

func fakeRange(r *pb.RangeRequest, header *pb.ResponseHeader) (*pb.RangeResponse, error) {
	resp := &pb.RangeResponse{Header: header}
	switch key := string(r.Key); {
	case key == "":
		return nil, rpctypes.ErrGRPCEmptyKey
	case key == "missing" || r.MaxCreateRevision > 40: // the latter: is anybody before us in the queue?
		return resp, nil
	case r.RangeEnd == nil && strings.Contains(key, "/"):
		resp.Kvs = []*mvccpb.KeyValue{{Key: r.Key, CreateRevision: 47, ModRevision: 47, Version: 1, Lease: fakeLease}}
	case r.RangeEnd == nil:
		resp.Kvs = []*mvccpb.KeyValue{alphaKV()}
	default:
		resp.Kvs = []*mvccpb.KeyValue{alphaKV(), binaryKV()}
	}
	resp.Count = int64(len(resp.Kvs))
	if r.Limit > 0 && r.Limit < resp.Count {
		resp.Kvs, resp.More = resp.Kvs[:r.Limit], true
	}
	if r.CountOnly {
		resp.Kvs = nil
	}
	if r.KeysOnly {
		for _, kv := range resp.Kvs {
			kv.Value = nil
		}
	}
	return resp, nil
}

func (f *fakeServer) RangeStream(r *pb.RangeRequest, s pb.KV_RangeStreamServer) error {
	f.note("RangeStream", r)
	if err := s.Send(&pb.RangeStreamResponse{RangeResponse: &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{alphaKV()}}}); err != nil {
		return err
	}
	return s.Send(&pb.RangeStreamResponse{RangeResponse: &pb.RangeResponse{
		Header: fakeHeader(12), Kvs: []*mvccpb.KeyValue{binaryKV()}, Count: 2,
	}})
}

func (f *fakeServer) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	f.note("Put", r)
	if string(r.Key) == "full" {
		return nil, rpctypes.ErrGRPCNoSpace
	}
	return fakePut(r, fakeHeader(13)), nil
}

func fakePut(r *pb.PutRequest, header *pb.ResponseHeader) *pb.PutResponse {
	resp := &pb.PutResponse{Header: header}
	if r.PrevKv {
		resp.PrevKv = alphaKV()
	}
	return resp
}

func (f *fakeServer) DeleteRange(_ context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	f.note("DeleteRange", r)
	return fakeDelete(r, fakeHeader(14)), nil
}

func fakeDelete(r *pb.DeleteRangeRequest, header *pb.ResponseHeader) *pb.DeleteRangeResponse {
	resp := &pb.DeleteRangeResponse{Header: header}
	if string(r.Key) == "missing" {
		return resp
	}
	resp.Deleted = 2
	if r.PrevKv {
		resp.PrevKvs = []*mvccpb.KeyValue{alphaKV(), binaryKV()}
	}
	return resp
}

// Txn succeeds unless it compares a value with "no".
func (f *fakeServer) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	f.note("Txn", r)
	resp := &pb.TxnResponse{Header: fakeHeader(47), Succeeded: true}
	ops := r.Success
	for _, c := range r.Compare {
		if string(c.GetValue()) == "no" {
			resp.Succeeded, ops = false, r.Failure
		}
	}
	inner := &pb.ResponseHeader{Revision: 47}
	for _, op := range ops {
		out := &pb.ResponseOp{}
		switch o := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			if strings.HasSuffix(string(o.RequestRange.Key), "/") { // lock: who owns it?
				out.Response = &pb.ResponseOp_ResponseRange{ResponseRange: &pb.RangeResponse{Header: inner}}
				break
			}
			answer, err := fakeRange(o.RequestRange, inner)
			if err != nil {
				return nil, err
			}
			out.Response = &pb.ResponseOp_ResponseRange{ResponseRange: answer}
		case *pb.RequestOp_RequestPut:
			out.Response = &pb.ResponseOp_ResponsePut{ResponsePut: fakePut(o.RequestPut, inner)}
		case *pb.RequestOp_RequestDeleteRange:
			out.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: fakeDelete(o.RequestDeleteRange, inner)}
		}
		resp.Responses = append(resp.Responses, out)
	}
	return resp, nil
}

func (f *fakeServer) Compact(_ context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	f.note("Compact", r)
	if r.Revision > 100 {
		return nil, rpctypes.ErrGRPCFutureRev
	}
	return &pb.CompactionResponse{Header: fakeHeader(15)}, nil
}

// Watch sends a put and a delete in one response, then cancels because of a
// compaction; a watch of "compacted" is cancelled at once, one of "quiet" stays silent.
func (f *fakeServer) Watch(s pb.Watch_WatchServer) error {
	for {
		r, err := s.Recv()
		if err != nil {
			return nil // the client has gone
		}
		if r.GetProgressRequest() != nil {
			if err := s.Send(&pb.WatchResponse{Header: fakeHeader(79), WatchId: -1}); err != nil {
				return err
			}
			continue
		}
		create := r.GetCreateRequest()
		if create == nil {
			continue
		}
		f.note("Watch", create)
		for _, resp := range fakeWatch(create) {
			if err := s.Send(resp); err != nil {
				return err
			}
		}
	}
}

func fakeWatch(create *pb.WatchCreateRequest) []*pb.WatchResponse {
	out := []*pb.WatchResponse{{Header: fakeHeader(12), Created: true}}
	if string(create.Key) == "quiet" {
		return out
	}
	if string(create.Key) != "compacted" {
		put := &mvccpb.Event{Type: mvccpb.Event_PUT, Kv: alphaKV()}
		del := &mvccpb.Event{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: []byte("alpha"), ModRevision: 11}}
		if create.PrevKv {
			del.PrevKv = alphaKV()
		}
		out = append(out, &pb.WatchResponse{Header: fakeHeader(12), Events: []*mvccpb.Event{put, del}})
		if create.ProgressNotify {
			out = append(out, &pb.WatchResponse{Header: fakeHeader(13)})
		}
	}
	return append(out, &pb.WatchResponse{Header: &pb.ResponseHeader{ClusterId: fakeCluster, MemberId: fakeMember, RaftTerm: 2}, Canceled: true, CompactRevision: 13})
}

func (f *fakeServer) LeaseGrant(_ context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	f.note("LeaseGrant", r)
	if r.TTL > 9_000_000_000 {
		return nil, rpctypes.ErrGRPCLeaseTTLTooLarge
	}
	return &pb.LeaseGrantResponse{Header: fakeHeader(82), ID: fakeLease, TTL: r.TTL}, nil
}

func (f *fakeServer) LeaseRevoke(_ context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	if r.ID == 1 {
		return nil, rpctypes.ErrGRPCLeaseNotFound
	}
	return &pb.LeaseRevokeResponse{Header: fakeHeader(83)}, nil
}

func (f *fakeServer) LeaseTimeToLive(_ context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	f.note("LeaseTimeToLive", r)
	if r.ID == 1 {
		return &pb.LeaseTimeToLiveResponse{Header: fakeHeader(84), ID: 1, TTL: -1}, nil
	}
	resp := &pb.LeaseTimeToLiveResponse{Header: fakeHeader(84), ID: r.ID, TTL: 499, GrantedTTL: 500}
	if r.Keys {
		resp.Keys = [][]byte{[]byte("leased"), []byte("leased2")}
	}
	return resp, nil
}

func (f *fakeServer) LeaseLeases(context.Context, *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	return &pb.LeaseLeasesResponse{Header: fakeHeader(84), Leases: []*pb.LeaseStatus{{ID: fakeLease}, {ID: 5}}}, nil
}

// LeaseKeepAlive renews every lease but 1. The lease 2 is gone after one renewal.
func (f *fakeServer) LeaseKeepAlive(s pb.Lease_LeaseKeepAliveServer) error {
	for {
		r, err := s.Recv()
		if err != nil {
			return nil // the client has gone
		}
		answers := []int64{500}
		switch r.ID {
		case 1:
			answers = []int64{0}
		case 2:
			answers = []int64{500, 0}
		}
		for _, ttl := range answers {
			if err := s.Send(&pb.LeaseKeepAliveResponse{Header: fakeHeader(84), ID: r.ID, TTL: ttl}); err != nil {
				return err
			}
		}
	}
}

func fakeMembers() []*pb.Member {
	return []*pb.Member{
		{ID: fakeMember, Name: "demo", PeerURLs: []string{"http://demo:2380"}, ClientURLs: []string{"http://demo:2379"}},
		{ID: 0xc80b8041b5834bc7, PeerURLs: []string{"http://new:2380", "http://new2:2380"}, IsLearner: true},
	}
}

func (f *fakeServer) MemberList(_ context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	f.note("MemberList", r)
	return &pb.MemberListResponse{Header: fakeHeader(0), Members: fakeMembers()}, nil
}

func (f *fakeServer) MemberAdd(_ context.Context, r *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	f.note("MemberAdd", r)
	all := fakeMembers()
	added := all[1]
	added.IsLearner = r.IsLearner
	return &pb.MemberAddResponse{Header: fakeHeader(0), Member: added, Members: all}, nil
}

func (f *fakeServer) MemberRemove(_ context.Context, r *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	f.note("MemberRemove", r)
	if r.ID == 5 {
		return nil, rpctypes.ErrGRPCMemberNotFound
	}
	return &pb.MemberRemoveResponse{Header: fakeHeader(0), Members: fakeMembers()[:1]}, nil
}

func (f *fakeServer) MemberUpdate(_ context.Context, r *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	f.note("MemberUpdate", r)
	return &pb.MemberUpdateResponse{Header: fakeHeader(0), Members: fakeMembers()}, nil
}

func (f *fakeServer) MemberPromote(_ context.Context, r *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	f.note("MemberPromote", r)
	if r.ID == 5 {
		return nil, rpctypes.ErrGRPCLearnerNotReady
	}
	return &pb.MemberPromoteResponse{Header: fakeHeader(0), Members: fakeMembers()}, nil
}

func (f *fakeServer) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{
		Header: fakeHeader(85), Version: "3.7.1", DbSize: 344064, Leader: fakeMember, RaftIndex: 149, RaftTerm: 2,
		RaftAppliedIndex: 148, DbSizeInUse: 131072, StorageVersion: "3.7.0", DbSizeQuota: 2147483648,
		Errors:        []string{"memberID:5 alarm:NOSPACE", "more"},
		DowngradeInfo: &pb.DowngradeInfo{Enabled: true, TargetVersion: "3.6.0"},
	}, nil
}

// HashKV refuses revisions above 100.
func (f *fakeServer) HashKV(_ context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	f.note("HashKV", r)
	if r.Revision > 100 {
		return nil, rpctypes.ErrGRPCFutureRev
	}
	return &pb.HashKVResponse{Header: fakeHeader(85), Hash: 256635974, CompactRevision: 13, HashRevision: 85}, nil
}

func (f *fakeServer) Alarm(_ context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	f.note("Alarm", r)
	alarms := []*pb.AlarmMember{{MemberID: fakeMember, Alarm: pb.AlarmType_NOSPACE}, {MemberID: 5, Alarm: pb.AlarmType_CORRUPT}}
	if r.Action == pb.AlarmRequest_DEACTIVATE {
		alarms = []*pb.AlarmMember{{MemberID: r.MemberID, Alarm: r.Alarm}}
	}
	return &pb.AlarmResponse{Header: fakeHeader(86), Alarms: alarms}, nil
}

func (f *fakeServer) Defragment(context.Context, *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	return &pb.DefragmentResponse{Header: fakeHeader(86)}, nil
}

func (f *fakeServer) MoveLeader(_ context.Context, r *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	f.note("MoveLeader", r)
	if r.TargetID == 5 {
		return nil, rpctypes.ErrGRPCBadLeaderTransferee
	}
	return &pb.MoveLeaderResponse{}, nil
}

func (f *fakeServer) Snapshot(_ *pb.SnapshotRequest, s pb.Maintenance_SnapshotServer) error {
	blob := []byte(strings.Repeat("database", 64)) // one sector
	sum := sha256.Sum256(blob)
	if err := s.Send(&pb.SnapshotResponse{Header: fakeHeader(86), RemainingBytes: 32, Blob: blob, Version: "3.7.0"}); err != nil {
		return err
	}
	return s.Send(&pb.SnapshotResponse{Header: fakeHeader(86), Blob: sum[:], Version: "3.7.0"})
}
