package rpc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"keelson/internal/errs"
	"keelson/internal/wire"
)

// rawCodec sends and receives bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (r *running) invokeRaw(ctx context.Context, method string, request []byte) ([]byte, error) {
	var response []byte
	err := r.conn.Invoke(ctx, method, &request, &response, grpc.ForceCodecV2(rawCodec{}))
	return response, err
}

func wantStatus(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if st := status.Convert(err); st.Code() != code || st.Message() != text {
		t.Errorf("got %v %q\nwant %v %q", st.Code(), st.Message(), code, text)
	}
}

func wantError(t *testing.T, err error, want *errs.Error) {
	t.Helper()
	wantStatus(t, err, codes.Code(want.Code), want.Text)
}

// TestEveryMethodArrives calls each unary method once.
func TestEveryMethodArrives(t *testing.T) {
	r := serve(t, &fakeMember{})
	ctx := t.Context()
	kv, lease, cluster, mt := pb.NewKVClient(r.conn), pb.NewLeaseClient(r.conn), pb.NewClusterClient(r.conn), pb.NewMaintenanceClient(r.conn)
	key := []byte("k")
	calls := []struct {
		want string
		call func() (any, error)
	}{
		{"Range", func() (any, error) { return kv.Range(ctx, &pb.RangeRequest{Key: key}) }},
		{"Put", func() (any, error) { return kv.Put(ctx, &pb.PutRequest{Key: key}) }},
		{"DeleteRange", func() (any, error) { return kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key}) }},
		{"Txn", func() (any, error) { return kv.Txn(ctx, &pb.TxnRequest{}) }},
		{"Compact", func() (any, error) { return kv.Compact(ctx, &pb.CompactionRequest{}) }},
		{"LeaseGrant", func() (any, error) { return lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{}) }},
		{"LeaseRevoke", func() (any, error) { return lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{}) }},
		{"LeaseTimeToLive", func() (any, error) { return lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{}) }},
		{"LeaseLeases", func() (any, error) { return lease.LeaseLeases(ctx, &pb.LeaseLeasesRequest{}) }},
		{"MemberAdd", func() (any, error) { return cluster.MemberAdd(ctx, &pb.MemberAddRequest{}) }},
		{"MemberRemove", func() (any, error) { return cluster.MemberRemove(ctx, &pb.MemberRemoveRequest{}) }},
		{"MemberUpdate", func() (any, error) { return cluster.MemberUpdate(ctx, &pb.MemberUpdateRequest{}) }},
		{"MemberList", func() (any, error) { return cluster.MemberList(ctx, &pb.MemberListRequest{}) }},
		{"MemberPromote", func() (any, error) { return cluster.MemberPromote(ctx, &pb.MemberPromoteRequest{}) }},
		{"Alarm", func() (any, error) { return mt.Alarm(ctx, &pb.AlarmRequest{}) }},
		{"Status", func() (any, error) { return mt.Status(ctx, &pb.StatusRequest{}) }},
		{"Defragment", func() (any, error) { return mt.Defragment(ctx, &pb.DefragmentRequest{}) }},
		{"Hash", func() (any, error) { return mt.Hash(ctx, &pb.HashRequest{}) }},
		{"HashKV", func() (any, error) { return mt.HashKV(ctx, &pb.HashKVRequest{}) }},
		{"MoveLeader", func() (any, error) { return mt.MoveLeader(ctx, &pb.MoveLeaderRequest{}) }},
		{"Downgrade", func() (any, error) { return mt.Downgrade(ctx, &pb.DowngradeRequest{}) }},
	}
	for _, c := range calls {
		if _, err := c.call(); err != nil {
			t.Errorf("%s: %v", c.want, err)
		}
		if got := r.member.took(); !reflect.DeepEqual(got, []string{c.want}) {
			t.Errorf("%s arrived as %v", c.want, got)
		}
	}
}

func TestOfficialClient(t *testing.T) {
	c := serve(t, &fakeMember{}).client(t)
	ctx := t.Context()
	get, err := c.Get(ctx, "some key")
	if err != nil || len(get.Kvs) != 1 || string(get.Kvs[0].Key) != "some key" || get.Header.Revision != 3 {
		t.Fatalf("get: %v, %v", get, err)
	}
	if put, err := c.Put(ctx, "k", "v"); err != nil || put.Header.MemberId != 2 || put.Header.RaftTerm != 4 {
		t.Fatalf("put: %v, %v", put, err)
	}
	if _, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Version("k"), "=", 0)).Then(clientv3.OpPut("k", "v"), clientv3.OpPut("k", "w")).Commit(); err != rpctypes.ErrDuplicateKey { //nolint:errorlint // the client promises this value
		t.Fatalf("txn: %v", err)
	}
	if _, err := c.Get(ctx, ""); err != rpctypes.ErrEmptyKey { //nolint:errorlint // the client promises this value
		t.Fatalf("get without key: %v", err)
	}
}

// TestMalformed: what is not protobuf is refused with the texts of etcd. The
// library's own words follow, so only their start is held here; package wire
// holds the rest.
func TestMalformed(t *testing.T) {
	r := serve(t, &fakeMember{})
	ctx := t.Context()
	bad := []byte{0x0a, 0x7f, 'x'}
	for _, method := range []string{"/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put", "/etcdserverpb.KV/DeleteRange",
		"/etcdserverpb.KV/Txn", "/etcdserverpb.KV/Compact", "/etcdserverpb.Lease/LeaseGrant", "/etcdserverpb.Lease/LeaseLeases",
		"/etcdserverpb.Cluster/MemberAdd", "/etcdserverpb.Maintenance/Status", "/v3lockpb.Lock/Lock", "/v3electionpb.Election/Leader",
		"/grpc.health.v1.Health/Check"} {
		_, err := r.invokeRaw(ctx, method, bad)
		st := status.Convert(err)
		if st.Code() != codes.Internal || !strings.HasPrefix(st.Message(), "grpc: error unmarshalling request: proto:") {
			t.Errorf("%s: %v %q", method, st.Code(), st.Message())
		}
	}
	// A string that is not UTF-8.
	_, err := r.invokeRaw(ctx, "/etcdserverpb.Cluster/MemberAdd", []byte{0x0a, 1, 0xff})
	if st := status.Convert(err); st.Code() != codes.Internal || !strings.Contains(st.Message(), "invalid UTF-8") {
		t.Errorf("invalid UTF-8: %v", err)
	}
	if calls := r.member.took(); len(calls) != 0 {
		t.Errorf("malformed requests reached the server: %v", calls)
	}
	// Unknown fields are not malformed.
	if _, err := r.invokeRaw(ctx, "/etcdserverpb.KV/Put", []byte{0x0a, 1, 'k', 0xf8, 0x07, 1}); err != nil {
		t.Errorf("unknown field: %v", err)
	}
}

func TestMessageSizeLimit(t *testing.T) {
	r := serve(t, &fakeMember{})
	kv := pb.NewKVClient(r.conn)
	const limit = 1572864 + 512<<10
	fits := &pb.PutRequest{Key: []byte("k"), Value: make([]byte, limit-3-4)}
	if _, err := kv.Put(t.Context(), fits); err != nil {
		t.Errorf("a message of the limit: %v", err)
	}
	fits.Value = append(fits.Value, 'x')
	_, err := kv.Put(t.Context(), fits)
	wantStatus(t, err, codes.ResourceExhausted, fmt.Sprintf("grpc: received message larger than max (%d vs. %d)", limit+1, limit))
}

// TestOrderOfChecks: of two things wrong, the one that is checked first is
// told. Each row adds the next check of 0.1 to those before.
func TestOrderOfChecks(t *testing.T) {
	m := &fakeMember{err: errs.ErrLeaseNotFound}
	r := serve(t, m)
	kv := pb.NewKVClient(r.conn)
	md := func(pairs ...string) context.Context {
		return metadata.NewOutgoingContext(t.Context(), metadata.Pairs(pairs...))
	}
	bad := &pb.PutRequest{} // no key
	put := func(ctx context.Context, req *pb.PutRequest) error { _, err := kv.Put(ctx, req); return err }

	wantError(t, put(t.Context(), &pb.PutRequest{Key: []byte("k")}), errs.ErrLeaseNotFound)
	wantError(t, put(t.Context(), bad), errs.ErrEmptyKey)
	m.quotaErr = errs.ErrNoSpace
	wantError(t, put(t.Context(), bad), errs.ErrNoSpace)
	m.leadless = true
	wantError(t, put(md("hasleader", "true"), bad), errs.ErrNoLeader)
	wantError(t, put(md("hasleader", "false"), bad), errs.ErrNoSpace)
	m.learner = true
	wantError(t, put(md("hasleader", "true"), bad), errs.ErrNotSupportedForLearner)
	m.incap = true
	wantError(t, put(md("hasleader", "true"), bad), errs.ErrNotCapable)
	if r.member.took(); r.counters.get("/etcdserverpb.KV/Put started") != 4 {
		t.Errorf("%d calls were counted, want the 4 that passed the gate", r.counters.get("/etcdserverpb.KV/Put started"))
	}
}

// TestGateClientVersion calls the gate itself: a client library refuses to
// send such a value.
func TestGateClientVersion(t *testing.T) {
	m := &fakeMember{leadless: true}
	c := newCounters()
	g := &gate{info: m, leader: m, observer: c}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"client-api-version": {"\xff"}, "hasleader": {"true"}})
	wantError(t, toStatus(g.admitUnary(ctx, nil)).Err(), errs.ErrInvalidClientAPIVersion)
	_, _, err := g.admitStream(ctx, BidiStream, false)
	wantError(t, toStatus(err).Err(), errs.ErrInvalidClientAPIVersion)

	ctx = metadata.NewIncomingContext(t.Context(), metadata.MD{"client-api-version": {"3.7", "\xff"}, "hasleader": {"false", "true"}})
	if err := g.admitUnary(ctx, nil); err != nil || c.get("client unary 3.7") != 1 {
		t.Errorf("only first values count, got %v", err)
	}
	if err := g.admitUnary(t.Context(), nil); err != nil || c.get("client unary unknown") != 1 {
		t.Errorf("a client that says nothing: %v", err)
	}
}

func TestLearnerServes(t *testing.T) {
	m := &fakeMember{learner: true}
	r := serve(t, m)
	ctx := t.Context()
	kv, mt := pb.NewKVClient(r.conn), pb.NewMaintenanceClient(r.conn)
	if _, err := mt.Status(ctx, &pb.StatusRequest{}); err != nil {
		t.Errorf("status: %v", err)
	}
	if _, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k"), Serializable: true}); err != nil {
		t.Errorf("serializable range: %v", err)
	}
	_, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
	wantError(t, err, errs.ErrNotSupportedForLearner)
	_, err = pb.NewClusterClient(r.conn).MemberList(ctx, &pb.MemberListRequest{})
	wantError(t, err, errs.ErrNotSupportedForLearner)
	_, err = healthpb.NewHealthClient(r.conn).Check(ctx, &healthpb.HealthCheckRequest{})
	wantError(t, err, errs.ErrNotSupportedForLearner)
	stream, err := kv.RangeStream(ctx, &pb.RangeRequest{Key: []byte("k"), Serializable: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantError(t, err, errs.ErrNotSupportedForLearner)
	snapshot, err := mt.Snapshot(ctx, &pb.SnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var blobs bytes.Buffer
	for {
		part, err := snapshot.Recv()
		if err == io.EOF { //nolint:errorlint // as the stream interface documents
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		blobs.Write(part.Blob)
	}
	if blobs.String() != "onetwo" {
		t.Errorf("snapshot: %q", blobs.String())
	}
}

// TestValidationOverTheWire sends one request against each rule; the rules
// themselves are tested in validate_test.go.
func TestValidationOverTheWire(t *testing.T) {
	r := serve(t, &fakeMember{})
	ctx := t.Context()
	kv := pb.NewKVClient(r.conn)
	k := []byte("k")
	_, err := kv.Range(ctx, &pb.RangeRequest{Key: k, SortTarget: 7})
	wantError(t, err, errs.ErrInvalidSortOption)
	_, err = kv.DeleteRange(ctx, &pb.DeleteRangeRequest{})
	wantError(t, err, errs.ErrEmptyKey)
	_, err = kv.Put(ctx, &pb.PutRequest{Key: k, Value: k, IgnoreValue: true})
	wantError(t, err, errs.ErrValueProvided)
	_, err = kv.Put(ctx, &pb.PutRequest{Key: k, Lease: -1, IgnoreLease: true})
	wantError(t, err, errs.ErrLeaseProvided)
	_, err = kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{{}}}) // unset oneof
	wantError(t, err, errs.ErrKeyNotFound)
	_, err = kv.Txn(ctx, &pb.TxnRequest{Success: make([]*pb.RequestOp, 129)})
	wantError(t, err, errs.ErrTooManyOps)
	for _, c := range []struct {
		req  *pb.RangeRequest
		want *errs.Error
	}{
		{&pb.RangeRequest{}, errs.ErrEmptyKey},
		{&pb.RangeRequest{Key: k, SortOrder: 2}, errs.ErrStreamSort},
		{&pb.RangeRequest{Key: k, MaxModRevision: 2}, errs.ErrStreamFilter},
	} {
		stream, err := kv.RangeStream(ctx, c.req)
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantError(t, err, c.want)
	}
	if calls := r.member.took(); len(calls) != 0 {
		t.Errorf("invalid requests reached the server: %v", calls)
	}
}

func TestRangeStream(t *testing.T) {
	m := &fakeMember{}
	header := m.Header()
	kv := wire.AppendKeyValue(nil, []byte("k"), 1, 1, 1, nil, 0)
	m.frames = []*wire.Frame{
		wire.NewRangeStreamResponse(nil, [][]byte{kv}, false, 0),
		wire.NewRangeStreamResponse(&header, [][]byte{kv}, true, 9),
	}
	r := serve(t, m)
	stream, err := pb.NewKVClient(r.conn).RangeStream(t.Context(), &pb.RangeRequest{Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil || first.RangeResponse.Header != nil || len(first.RangeResponse.Kvs) != 1 {
		t.Fatalf("%v, %v", first, err)
	}
	last, err := stream.Recv()
	if err != nil || last.RangeResponse.Header.GetRevision() != 3 || !last.RangeResponse.More || last.RangeResponse.Count != 9 {
		t.Fatalf("%v, %v", last, err)
	}
	if _, err := stream.Recv(); err != io.EOF { //nolint:errorlint // as the stream interface documents
		t.Fatalf("got %v, want the end", err)
	}
}

// TestEmptyAuthStore: authentication is off and there is nobody; a client that
// has credentials may go on without using them.
func TestEmptyAuthStore(t *testing.T) {
	r := serve(t, &fakeMember{})
	auth := pb.NewAuthClient(r.conn)
	st, err := auth.AuthStatus(t.Context(), &pb.AuthStatusRequest{})
	if err != nil || st.Enabled || st.AuthRevision != 1 {
		t.Errorf("status %v, %v", st, err)
	}
	if users, err := auth.UserList(t.Context(), &pb.AuthUserListRequest{}); err != nil || len(users.Users) != 0 {
		t.Errorf("users %v, %v", users, err)
	}
	_, err = auth.Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "u", Password: "p"})
	wantError(t, err, errs.ErrAuthNotEnabled)
	_, err = auth.AuthEnable(t.Context(), &pb.AuthEnableRequest{})
	wantError(t, err, errs.ErrRootUserNotExist)
	_, err = auth.RoleGet(t.Context(), &pb.AuthRoleGetRequest{Role: "r"})
	wantError(t, err, errs.ErrRoleNotFound)
	_, err = auth.UserAdd(t.Context(), &pb.AuthUserAddRequest{Name: "u"})
	wantError(t, err, errNoUsers)
}

// TestUnregistered: what is not served says so.
func TestUnregistered(t *testing.T) {
	r := serve(t, &fakeMember{})
	_, err := r.invokeRaw(t.Context(), "/etcdserverpb.KV/Nonsense", nil)
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("unknown method: %v", err)
	}
}

func TestHealth(t *testing.T) {
	r := serve(t, &fakeMember{})
	ctx := t.Context()
	c := healthpb.NewHealthClient(r.conn)
	if resp, err := c.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("check: %v, %v", resp, err)
	}
	_, err := c.Check(ctx, &healthpb.HealthCheckRequest{Service: "etcdserverpb.KV"})
	wantStatus(t, err, codes.NotFound, "unknown service")
	if list, err := c.List(ctx, &healthpb.HealthListRequest{}); err != nil || len(list.Statuses) != 1 {
		t.Errorf("list: %v, %v", list, err)
	}
	stream, err := c.Watch(ctx, &healthpb.HealthCheckRequest{Service: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := stream.Recv(); err != nil || resp.Status != healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		t.Errorf("watch: %v, %v", resp, err)
	}
}

func TestCounters(t *testing.T) {
	m := &fakeMember{}
	r := serve(t, m)
	kv := pb.NewKVClient(r.conn)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "client-api-version", "3.7")
	if _, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	m.err = errs.ErrNoSpace
	if _, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("k")}); err == nil {
		t.Fatal("not refused")
	}
	want := map[string]int{
		"/etcdserverpb.KV/Put started": 2, "/etcdserverpb.KV/Put received": 2, "/etcdserverpb.KV/Put sent": 1,
		"/etcdserverpb.KV/Put OK": 1, "/etcdserverpb.KV/Put ResourceExhausted": 1, "client unary 3.7": 2,
		"bytes received": 6, "bytes sent": 2 + 8,
		"known etcdserverpb.KV unary": 5, "known etcdserverpb.KV server_stream": 1, "known etcdserverpb.Watch bidi_stream": 1,
	}
	for what, n := range want {
		if got := r.counters.get(what); got != n {
			t.Errorf("%s: %d, want %d", what, got, n)
		}
	}
}
