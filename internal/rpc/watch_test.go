package rpc

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/watch"
	"keelson/internal/wire"
)

// fakeStreams hands out one stream that the test drives.
type fakeStreams struct{ stream *fakeStream }

func (f *fakeStreams) NewStream(context.Context) WatchStream { return f.stream }

// fakeStream writes down requests and sends what the test queues.
type fakeStream struct {
	requests  chan string
	created   chan watch.CreateRequest
	responses chan watch.Response
	fail      chan error // what Next fails with
	closed    chan struct{}
}

func newFakeStream() *fakeStream {
	return &fakeStream{requests: make(chan string, 10), created: make(chan watch.CreateRequest, 10),
		responses: make(chan watch.Response, 10), fail: make(chan error, 1), closed: make(chan struct{})}
}

func (s *fakeStream) Create(r watch.CreateRequest) { s.requests <- "create"; s.created <- r }
func (s *fakeStream) Cancel(id int64)              { s.requests <- fmt.Sprintf("cancel %d", id) }
func (s *fakeStream) Progress()                    { s.requests <- "progress" }
func (s *fakeStream) Close()                       { close(s.closed) }
func (s *fakeStream) Next(ctx context.Context) (watch.Response, error) {
	select {
	case r := <-s.responses:
		return r, nil
	case err := <-s.fail:
		return watch.Response{}, err
	case <-ctx.Done():
		return watch.Response{}, ctx.Err()
	}
}

// openWatch starts a member with a fake stream and a client's stream to it.
func openWatch(t *testing.T, ctx context.Context) (*running, *fakeStream, pb.Watch_WatchClient) {
	t.Helper()
	fake := newFakeStream()
	r := serve(t, &fakeMember{watch: &fakeStreams{stream: fake}})
	stream, err := pb.NewWatchClient(r.conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return r, fake, stream
}

func TestWatchRequestsArriveInOrder(t *testing.T) {
	_, fake, stream := openWatch(t, t.Context())
	requests := []*pb.WatchRequest{
		{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("b"),
			StartRevision: 5, ProgressNotify: true, PrevKv: true, WatchId: 9, Fragment: true,
			Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE, 7, pb.WatchCreateRequest_NODELETE}}}},
		{}, // an empty union is ignored
		{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}},
		{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: 9}}},
	}
	for _, req := range requests {
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"create", "progress", "cancel 9"} {
		if got := <-fake.requests; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	want := watch.CreateRequest{KeyRange: base.KeyRange{Key: []byte("a"), End: []byte("b")}, StartRev: 5, ProgressNotify: true,
		PrevKV: true, WatchID: 9, Fragment: true, NoDelete: true}
	if got := <-fake.created; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestWatchResponses(t *testing.T) {
	_, fake, stream := openWatch(t, t.Context())
	kv := wire.AppendKeyValue(nil, []byte("k"), 2, 8, 3, []byte("v"), 0)
	events := [][]byte{wire.AppendEvent(nil, false, kv, nil, 0, nil), wire.AppendEvent(nil, true, nil, []byte("k"), 9, kv)}
	fake.responses <- watch.Response{WatchID: 4, HeaderRevision: 9, Fragment: true, Events: events}
	fake.responses <- watch.Response{WatchID: -1, Created: true, Canceled: true, CancelReason: "why", HeaderRevision: 9}
	fake.responses <- watch.Response{WatchID: 4, Canceled: true, CompactRevision: 7}

	got, err := stream.Recv()
	if err != nil || got.WatchId != 4 || !got.Fragment || got.Created || len(got.Events) != 2 || got.Events[1].PrevKv.GetVersion() != 3 {
		t.Fatalf("%v, %v", got, err)
	}
	if h := got.Header; h.ClusterId != 1 || h.MemberId != 2 || h.Revision != 9 || h.RaftTerm != 4 {
		t.Errorf("header %v", h)
	}
	if got, err = stream.Recv(); err != nil || got.WatchId != -1 || !got.Created || !got.Canceled || got.CancelReason != "why" {
		t.Fatalf("%v, %v", got, err)
	}
	if got, err = stream.Recv(); err != nil || got.CompactRevision != 7 || got.Header.Revision != 0 || got.Header.MemberId != 2 {
		t.Fatalf("%v, %v", got, err)
	}
}

// TestWatchSurvivesHalfClose: the client may stop asking and go on listening.
func TestWatchSurvivesHalfClose(t *testing.T) {
	_, fake, stream := openWatch(t, t.Context())
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: 1}}}); err != nil {
		t.Fatal(err)
	}
	<-fake.requests
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	fake.responses <- watch.Response{WatchID: 1, HeaderRevision: 2}
	if got, err := stream.Recv(); err != nil || got.WatchId != 1 {
		t.Fatalf("after half-close: %v, %v", got, err)
	}
	fake.fail <- watch.ErrClosed
	_, err := stream.Recv()
	wantError(t, err, errs.ErrStopped)
	<-fake.closed
}

// TestWatchEnds: the code a stream ends with, as the member counts it (a
// client that cancelled makes up its own).
func TestWatchEnds(t *testing.T) {
	const method = "/etcdserverpb.Watch/Watch "
	t.Run("client cancels", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, fake, stream := openWatch(t, ctx)
		fake.responses <- watch.Response{}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-fake.closed
		if got := <-r.counters.finished; got != method+"Canceled" {
			t.Errorf("ended as %s", got)
		}
	})
	t.Run("leader is lost", func(t *testing.T) {
		r, fake, stream := openWatch(t, metadata.AppendToOutgoingContext(t.Context(), "hasleader", "true"))
		fake.responses <- watch.Response{}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		r.member.mu.Lock()
		lost := r.member.lost
		r.member.mu.Unlock()
		lost()
		_, err := stream.Recv()
		wantError(t, err, errs.ErrNoLeader)
		<-fake.closed
	})
	t.Run("no leader at the start", func(t *testing.T) {
		fake := newFakeStream()
		r := serve(t, &fakeMember{leadless: true, watch: &fakeStreams{stream: fake}})
		stream, err := pb.NewWatchClient(r.conn).Watch(metadata.AppendToOutgoingContext(t.Context(), "hasleader", "true"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantError(t, err, errs.ErrNoLeader)
	})
	t.Run("malformed request", func(t *testing.T) {
		fake := newFakeStream()
		r := serve(t, &fakeMember{watch: &fakeStreams{stream: fake}})
		stream, err := r.conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
			"/etcdserverpb.Watch/Watch", grpc.ForceCodecV2(rawCodec{}))
		if err != nil {
			t.Fatal(err)
		}
		bad := []byte{0x0a, 0x7f}
		if err := stream.SendMsg(&bad); err != nil {
			t.Fatal(err)
		}
		err = stream.RecvMsg(&bad)
		if st := status.Convert(err); st.Code() != codes.Internal || !strings.HasPrefix(st.Message(), "grpc: failed to unmarshal the received message: proto:") {
			t.Errorf("got %v", err)
		}
		<-fake.closed
	})
}

func TestWatchEndMapping(t *testing.T) {
	ended := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		return ctx
	}
	malformed := status.Error(codes.Internal, "grpc: failed to unmarshal")
	cases := []struct {
		name string
		ctx  context.Context
		err  error
		want error
	}{
		{"client cancelled", ended(context.Canceled), io.ErrUnexpectedEOF, errs.ErrWatchCanceled},
		{"engine says cancelled", t.Context(), status.Error(codes.Canceled, "context canceled"), errs.ErrWatchCanceled},
		{"deadline", ended(context.DeadlineExceeded), context.Canceled, context.DeadlineExceeded},
		{"leader lost", ended(errs.ErrNoLeader), context.Canceled, errs.ErrNoLeader},
		{"malformed request", ended(malformed), context.Canceled, malformed},
		{"stopped", t.Context(), watch.ErrClosed, errs.ErrStopped},
		{"refused", t.Context(), errs.ErrCorrupt, errs.ErrCorrupt},
	}
	for _, c := range cases {
		if got := watchEnd(c.ctx, c.err); got.Error() != c.want.Error() {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestKeepAlive(t *testing.T) {
	m := &fakeMember{}
	m.ttl = func(id base.LeaseID) (int64, error) {
		switch id {
		case 1:
			return 60, nil
		case 2:
			return 0, fmt.Errorf("renew: %w", errs.ErrLeaseNotFound)
		}
		return 0, errs.ErrTimeoutWaitAppliedIndex
	}
	r := serve(t, m)
	open := func() pb.Lease_LeaseKeepAliveClient {
		stream, err := pb.NewLeaseClient(r.conn).LeaseKeepAlive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	renew := func(stream pb.Lease_LeaseKeepAliveClient, id int64) (*pb.LeaseKeepAliveResponse, error) {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
		return stream.Recv()
	}

	stream := open()
	if resp, err := renew(stream, 1); err != nil || resp.ID != 1 || resp.TTL != 60 || resp.Header.Revision != 3 {
		t.Fatalf("%v, %v", resp, err)
	}
	if resp, err := renew(stream, 2); err != nil || resp.ID != 2 || resp.TTL != 0 {
		t.Fatalf("unknown lease: %v, %v", resp, err)
	}
	// Requests that are on the way when the client closes are answered.
	for range 3 {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if resp, err := stream.Recv(); err != nil || resp.TTL != 60 {
			t.Fatalf("%v, %v", resp, err)
		}
	}
	if _, err := stream.Recv(); err != io.EOF { //nolint:errorlint // as the stream interface documents
		t.Fatalf("after half-close: %v", err)
	}

	_, err := renew(open(), 3)
	wantError(t, err, errs.ErrTimeoutWaitAppliedIndex)
}

// TestKeepAliveLeaderLost: a stream that waits for the client ends, too.
func TestKeepAliveLeaderLost(t *testing.T) {
	m := &fakeMember{ttl: func(base.LeaseID) (int64, error) { return 1, nil }}
	r := serve(t, m)
	stream, err := pb.NewLeaseClient(r.conn).LeaseKeepAlive(metadata.AppendToOutgoingContext(t.Context(), "hasleader", "true"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	lost := m.lost
	m.mu.Unlock()
	lost()
	_, err = stream.Recv()
	wantError(t, err, errs.ErrNoLeader)
}
