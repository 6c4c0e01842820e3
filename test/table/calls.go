package table

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// method is an RPC with makers of its messages.
type method struct {
	path     string
	request  func() proto.Message
	response func() proto.Message
}

func rpc[Q, A any, PQ interface {
	*Q
	proto.Message
}, PA interface {
	*A
	proto.Message
}](path string) method {
	return method{path, func() proto.Message { return PQ(new(Q)) }, func() proto.Message { return PA(new(A)) }}
}

// unaryMethod returns the RPC of a command word.
func unaryMethod(word string) (method, bool) {
	switch word {
	case "range":
		return rpc[pb.RangeRequest, pb.RangeResponse]("/etcdserverpb.KV/Range"), true
	case "put":
		return rpc[pb.PutRequest, pb.PutResponse]("/etcdserverpb.KV/Put"), true
	case "delete":
		return rpc[pb.DeleteRangeRequest, pb.DeleteRangeResponse]("/etcdserverpb.KV/DeleteRange"), true
	case "txn":
		return rpc[pb.TxnRequest, pb.TxnResponse]("/etcdserverpb.KV/Txn"), true
	case "compact":
		return rpc[pb.CompactionRequest, pb.CompactionResponse]("/etcdserverpb.KV/Compact"), true
	case "hashkv":
		return rpc[pb.HashKVRequest, pb.HashKVResponse]("/etcdserverpb.Maintenance/HashKV"), true
	case "grant":
		return rpc[pb.LeaseGrantRequest, pb.LeaseGrantResponse]("/etcdserverpb.Lease/LeaseGrant"), true
	case "revoke":
		return rpc[pb.LeaseRevokeRequest, pb.LeaseRevokeResponse]("/etcdserverpb.Lease/LeaseRevoke"), true
	case "ttl":
		return rpc[pb.LeaseTimeToLiveRequest, pb.LeaseTimeToLiveResponse]("/etcdserverpb.Lease/LeaseTimeToLive"), true
	case "leases":
		return rpc[pb.LeaseLeasesRequest, pb.LeaseLeasesResponse]("/etcdserverpb.Lease/LeaseLeases"), true
	case "memberlist":
		return rpc[pb.MemberListRequest, pb.MemberListResponse]("/etcdserverpb.Cluster/MemberList"), true
	case "status":
		return rpc[pb.StatusRequest, pb.StatusResponse]("/etcdserverpb.Maintenance/Status"), true
	case "alarm":
		return rpc[pb.AlarmRequest, pb.AlarmResponse]("/etcdserverpb.Maintenance/Alarm"), true
	case "defragment":
		return rpc[pb.DefragmentRequest, pb.DefragmentResponse]("/etcdserverpb.Maintenance/Defragment"), true
	case "moveleader":
		return rpc[pb.MoveLeaderRequest, pb.MoveLeaderResponse]("/etcdserverpb.Maintenance/MoveLeader"), true
	case "health":
		return rpc[healthpb.HealthCheckRequest, healthpb.HealthCheckResponse]("/grpc.health.v1.Health/Check"), true
	case "healthlist":
		return rpc[healthpb.HealthListRequest, healthpb.HealthListResponse]("/grpc.health.v1.Health/List"), true
	}
	return lockingMethod(word)
}

// streamMethod returns the RPC of a stream's name.
func streamMethod(name string) (method, bool) {
	switch name {
	case "watch", "watch2":
		return rpc[pb.WatchRequest, pb.WatchResponse]("/etcdserverpb.Watch/Watch"), true
	case "keepalive":
		return rpc[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]("/etcdserverpb.Lease/LeaseKeepAlive"), true
	case "healthwatch":
		return rpc[healthpb.HealthCheckRequest, healthpb.HealthCheckResponse]("/grpc.health.v1.Health/Watch"), true
	case "observe":
		return observeMethod(), true
	}
	return method{}, false
}

func isStream(name string) bool {
	_, ok := streamMethod(name)
	return ok
}

// callOptions take the client's own limits away: the server's are tested.
func callOptions() []grpc.CallOption {
	return []grpc.CallOption{grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)}
}

// unary does one command with one answer.
func (s *scene) unary(ctx context.Context, word, text string) (string, error) {
	switch word {
	case "raw":
		return s.raw(text)
	case "rawstream":
		return s.rawStream(text)
	case "http2":
		return s.http2(text)
	case "rangestream":
		return s.rangeStream(text)
	}
	m, ok := unaryMethod(word)
	if !ok {
		return "", fmt.Errorf("unknown command %q", word)
	}
	request, response := m.request(), m.response()
	if err := prototext.Unmarshal([]byte(text), request); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(ctx, s.metadata), patience)
	defer cancel()
	if err := s.conn.Invoke(ctx, m.path, request, response, callOptions()...); err != nil {
		return s.errorText(err), nil
	}
	return s.message(response), nil
}

// rangeStream merges the answers, because where they are cut is nobody's
// business. The header and the totals may only be in the last one.
func (s *scene) rangeStream(text string) (string, error) {
	request := &pb.RangeRequest{}
	if err := prototext.Unmarshal([]byte(text), request); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(s.outgoing(), patience)
	defer cancel()
	in, err := pb.NewKVClient(s.conn).RangeStream(ctx, request, callOptions()...)
	if err != nil {
		return s.errorText(err), nil
	}
	var whole pb.RangeResponse
	ended := false
	for {
		part, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return s.message(&whole), nil
		}
		if err != nil {
			return s.errorText(err), nil
		}
		if ended {
			return "a message after the one with the header", nil
		}
		r := part.GetRangeResponse()
		ended = r.GetHeader() != nil
		if !ended && (r.GetMore() || r.GetCount() != 0) {
			return "totals before the last message", nil
		}
		proto.Merge(&whole, r)
	}
}

// byteCodec sends and receives messages as bytes.
type byteCodec struct{}

func (byteCodec) Name() string { return "proto" }

func (byteCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (byteCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// raw sends bytes that need not be a message.
func (s *scene) raw(text string) (string, error) {
	path, quoted, _ := strings.Cut(text, " ")
	body, err := strconv.Unquote(quoted)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(s.outgoing(), patience)
	defer cancel()
	var answer []byte
	if err := s.conn.Invoke(ctx, path, []byte(body), &answer, grpc.ForceCodecV2(byteCodec{})); err != nil {
		return s.errorText(err), nil
	}
	for _, word := range []string{"range", "put", "delete", "txn", "compact", "grant"} {
		if m, _ := unaryMethod(word); m.path == path {
			response := m.response()
			if err := proto.Unmarshal(answer, response); err != nil {
				return "", err
			}
			return s.message(response), nil
		}
	}
	return "ok", nil
}

// rawStream opens a stream, sends bytes as its only message, or none, and tells
// how it ends. It is for streams that end when half-closed or fail.
func (s *scene) rawStream(text string) (string, error) {
	path, quoted, some := strings.Cut(text, " ")
	ctx, cancel := context.WithTimeout(s.outgoing(), patience)
	defer cancel()
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	in, err := s.conn.NewStream(ctx, desc, path, append(callOptions(), grpc.ForceCodecV2(byteCodec{}))...)
	if err != nil {
		return s.errorText(err), nil
	}
	if some {
		body, err := strconv.Unquote(quoted)
		if err != nil {
			return "", err
		}
		if err := in.SendMsg([]byte(body)); err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
	}
	if err := in.CloseSend(); err != nil {
		return "", err
	}
	for {
		var answer []byte
		if err := in.RecvMsg(&answer); err != nil {
			return s.endText(err), nil
		}
	}
}

// stream is an open stream and what came from it.
type stream struct {
	grpc.ClientStream
	method method
	came   chan received
}

type received struct {
	message proto.Message
	err     error // io.EOF after an orderly end
}

// send sends on a stream, which is opened if it is not yet.
func (s *scene) send(name, text string) error {
	m, _ := streamMethod(name)
	request := m.request()
	if err := prototext.Unmarshal([]byte(text), request); err != nil {
		return err
	}
	st := s.streams[name]
	if st == nil {
		desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
		in, err := s.conn.NewStream(s.outgoing(), desc, m.path, callOptions()...)
		if err != nil {
			return err
		}
		st = &stream{in, m, make(chan received)}
		s.streams[name] = st
		go st.pump(s.ctx)
	}
	if err := st.SendMsg(request); err != nil && !errors.Is(err, io.EOF) { // io.EOF: receiving tells why
		return err
	}
	if name == "observe" || name == "healthwatch" {
		return st.CloseSend() // they take one request
	}
	return nil
}

// pump hands over what comes, one by one, until the stream or the row ends.
func (st *stream) pump(ctx context.Context) {
	for {
		message := st.method.response()
		err := st.RecvMsg(message)
		select {
		case st.came <- received{message, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// receive awaits n messages. Sorted is for messages of several watchers, which
// have no order among themselves.
func (s *scene) receive(name string, n int, sorted bool) ([]string, error) {
	st := s.streams[name]
	if st == nil {
		return nil, fmt.Errorf("stream %s is not open", name)
	}
	var got []string
	for range n {
		r, err := st.next()
		if err != nil {
			return nil, fmt.Errorf("%w; before it came:\n%s", err, strings.Join(got, "\n"))
		}
		if r.err != nil {
			got = append(got, s.endText(r.err))
			break
		}
		got = append(got, s.message(r.message))
	}
	if sorted {
		slices.Sort(got)
	}
	return got, nil
}

func (st *stream) next() (received, error) {
	select {
	case r := <-st.came:
		return r, nil
	case <-time.After(patience):
		return received{}, errors.New("nothing came")
	}
}

// awaitEnd returns what still comes from a stream and how it ends.
func (s *scene) awaitEnd(name string) ([]string, error) {
	var got []string
	for {
		r, err := s.streams[name].next()
		if err != nil {
			return nil, err
		}
		if r.err != nil {
			return append(got, s.endText(r.err)), nil
		}
		got = append(got, s.message(r.message))
	}
}

func (s *scene) endText(err error) string {
	if errors.Is(err, io.EOF) {
		return "end"
	}
	return s.errorText(err)
}

// errorText is the form of an error in the table. The protobuf library puts
// a no-break space into its errors in some builds and not in others.
func (s *scene) errorText(err error) string {
	st := status.Convert(err)
	return s.statusText(st.Code(), st.Message())
}

func (s *scene) statusText(code codes.Code, message string) string {
	message = strings.ReplaceAll(message, "\u00a0", " ")
	return fmt.Sprintf("error %v: %s", code, strings.ReplaceAll(message, s.prefix, "~"))
}
