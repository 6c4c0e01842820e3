package rpc

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/test/bufconn"

	"keelson/internal/base"
	"keelson/internal/wire"
)

// testLimits are the defaults of a member.
func testLimits() Limits {
	return Limits{MaxRequestBytes: 1572864, MaxConcurrentStreams: 1<<32 - 1, KeepAliveMinTime: 5 * time.Second,
		KeepAliveInterval: 2 * time.Hour, KeepAliveTimeout: 20 * time.Second}
}

// fakeMember plays the server: it writes down what it is asked and answers what
// the test told it to. It is healthy unless told otherwise.
type fakeMember struct {
	mu       sync.Mutex
	calls    []string
	incap    bool
	learner  bool
	leadless bool
	lost     func() // registered with the leader monitor

	err      error // what every method fails with
	quotaErr error
	ttl      func(base.LeaseID) (int64, error)
	kv       KV // takes the place of the built-in answers
	watch    Watch
	frames   []*wire.Frame // of RangeStream
}

func (m *fakeMember) called(what string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, what)
	return m.err
}

// took returns the calls since the last took.
func (m *fakeMember) took() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	calls := m.calls
	m.calls = nil
	return calls
}

func (m *fakeMember) Header() wire.ResponseHeader {
	return wire.ResponseHeader{ClusterID: 1, MemberID: 2, Revision: 3, RaftTerm: 4}
}
func (m *fakeMember) HasLeader() bool { return !m.leadless }
func (m *fakeMember) IsLearner() bool { return m.learner }
func (m *fakeMember) IsCapable() bool { return !m.incap }

func (m *fakeMember) Register(lost func()) func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = lost
	return func() {}
}

func (m *fakeMember) CheckQuota(_ context.Context, cost int64) error {
	if m.quotaErr != nil && cost > 0 {
		return m.quotaErr
	}
	return nil
}

func (m *fakeMember) Range(ctx context.Context, r *wire.RangeRequest) (*wire.Frame, error) {
	if m.kv != nil {
		return m.kv.Range(ctx, r)
	}
	kv := wire.AppendKeyValue(nil, r.Key, 1, 2, 3, []byte("value"), 0)
	return wire.NewRangeResponse(m.Header(), [][]byte{kv}, false, 1), m.called("Range")
}

func (m *fakeMember) RangeStream(_ context.Context, _ *wire.RangeRequest, send func(*wire.Frame) error) error {
	for _, f := range m.frames {
		if err := send(f); err != nil {
			return err
		}
	}
	return m.called("RangeStream")
}

func (m *fakeMember) Put(ctx context.Context, r *wire.PutRequest) (*wire.Frame, error) {
	if m.kv != nil {
		return m.kv.Put(ctx, r)
	}
	return wire.NewPutResponse(m.Header(), nil), m.called("Put")
}

func (m *fakeMember) DeleteRange(ctx context.Context, r *wire.DeleteRangeRequest) (*wire.Frame, error) {
	if m.kv != nil {
		return m.kv.DeleteRange(ctx, r)
	}
	return wire.NewDeleteRangeResponse(m.Header(), 1, nil), m.called("DeleteRange")
}

func (m *fakeMember) Txn(ctx context.Context, r *wire.TxnRequest) (*wire.Frame, error) {
	if m.kv != nil {
		return m.kv.Txn(ctx, r)
	}
	return wire.NewTxnResponse(m.Header(), true, nil), m.called("Txn")
}

func (m *fakeMember) Compact(context.Context, *wire.CompactionRequest) (*wire.Frame, error) {
	return wire.NewCompactionResponse(m.Header()), m.called("Compact")
}

func (m *fakeMember) LeaseGrant(_ context.Context, r *wire.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	return &pb.LeaseGrantResponse{Header: &pb.ResponseHeader{MemberId: 2}, ID: 77, TTL: r.TTL}, m.called("LeaseGrant")
}

func (m *fakeMember) LeaseRevoke(context.Context, *wire.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	return &pb.LeaseRevokeResponse{}, m.called("LeaseRevoke")
}

func (m *fakeMember) LeaseRenew(_ context.Context, id base.LeaseID) (int64, error) { return m.ttl(id) }

func (m *fakeMember) LeaseTimeToLive(_ context.Context, r *wire.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	return &pb.LeaseTimeToLiveResponse{ID: int64(r.ID), TTL: 59, GrantedTTL: 60}, m.called("LeaseTimeToLive")
}

func (m *fakeMember) LeaseLeases(context.Context) (*pb.LeaseLeasesResponse, error) {
	return &pb.LeaseLeasesResponse{Leases: []*pb.LeaseStatus{{ID: 5}}}, m.called("LeaseLeases")
}

func (m *fakeMember) MemberAdd(context.Context, *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	return &pb.MemberAddResponse{}, m.called("MemberAdd")
}

func (m *fakeMember) MemberRemove(context.Context, *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	return &pb.MemberRemoveResponse{}, m.called("MemberRemove")
}

func (m *fakeMember) MemberUpdate(context.Context, *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	return &pb.MemberUpdateResponse{}, m.called("MemberUpdate")
}

func (m *fakeMember) MemberList(context.Context, *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	return &pb.MemberListResponse{}, m.called("MemberList")
}

func (m *fakeMember) MemberPromote(context.Context, *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	return &pb.MemberPromoteResponse{}, m.called("MemberPromote")
}

func (m *fakeMember) Alarm(context.Context, *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	return &pb.AlarmResponse{}, m.called("Alarm")
}

func (m *fakeMember) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Version: "3.7.1"}, m.called("Status")
}

func (m *fakeMember) Defragment(context.Context, *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	return &pb.DefragmentResponse{}, m.called("Defragment")
}

func (m *fakeMember) Hash(context.Context, *pb.HashRequest) (*pb.HashResponse, error) {
	return &pb.HashResponse{}, m.called("Hash")
}

func (m *fakeMember) HashKV(context.Context, *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	return &pb.HashKVResponse{CompactRevision: -1}, m.called("HashKV")
}

func (m *fakeMember) Snapshot(_ context.Context, _ *pb.SnapshotRequest, send func(*pb.SnapshotResponse) error) error {
	for _, blob := range []string{"one", "two"} {
		if err := send(&pb.SnapshotResponse{Blob: []byte(blob)}); err != nil {
			return err
		}
	}
	return m.called("Snapshot")
}

func (m *fakeMember) MoveLeader(context.Context, *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	return &pb.MoveLeaderResponse{}, m.called("MoveLeader")
}

func (m *fakeMember) Downgrade(context.Context, *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	return &pb.DowngradeResponse{}, m.called("Downgrade")
}

// counters is an Observer that remembers.
type counters struct {
	mu       sync.Mutex
	seen     map[string]int
	finished chan string // "/service/method code" of each handled call
}

func newCounters() *counters {
	return &counters{seen: map[string]int{}, finished: make(chan string, 100)}
}

func (c *counters) count(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[what] += n
}

func (c *counters) get(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[what]
}

func (c *counters) Method(service, method string, kind MethodKind) MethodObserver {
	c.count("known "+service+" "+string(kind), 1)
	return methodCounters{c, "/" + service + "/" + method}
}
func (c *counters) ClientRequest(kind MethodKind, version string) {
	c.count("client "+string(kind)+" "+version, 1)
}
func (c *counters) BytesReceived(n int) { c.count("bytes received", n) }
func (c *counters) BytesSent(n int)     { c.count("bytes sent", n) }

type methodCounters struct {
	c    *counters
	name string
}

func (m methodCounters) Started() time.Time { m.c.count(m.name+" started", 1); return time.Time{} }
func (m methodCounters) Received()          { m.c.count(m.name+" received", 1) }
func (m methodCounters) Sent()              { m.c.count(m.name+" sent", 1) }
func (m methodCounters) Handled(code codes.Code, _ time.Time) {
	m.c.count(m.name+" "+code.String(), 1)
	m.c.finished <- m.name + " " + code.String()
}

// running is a member served by grpc-go over an in-memory connection.
type running struct {
	member   *fakeMember
	counters *counters
	health   *health.Server
	conn     *grpc.ClientConn
	dial     func(context.Context, string) (net.Conn, error)
}

// serve starts a member's services; everything stops when the test ends.
func serve(t *testing.T, m *fakeMember) *running {
	t.Helper()
	r := &running{member: m, counters: newCounters(), health: health.NewServer()}
	srv := grpc.NewServer(ServerOptions(testLimits(), r.counters)...)
	Register(srv, Deps{KV: m, Lease: m, Watch: m.watch, Cluster: m, Maintenance: m, Info: m, Quota: m, Leader: m,
		Observer: r.counters, MaxTxnOps: 128}, r.health)
	listener := bufconn.Listen(1 << 20)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(listener) // ends by Stop
	}()
	t.Cleanup(func() { srv.Stop(); <-served })

	r.dial = func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	conn, err := grpc.NewClient("passthrough:///member", grpc.WithContextDialer(r.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(1<<30), grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	r.conn = conn
	return r
}

// client is the official client on the same member.
func (r *running) client(t *testing.T) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"passthrough:///member"}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(r.dial)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
