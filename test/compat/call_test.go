package compat

import (
	"context"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// callLimit ends a call that would hang; no call of ours may take that long.
const callLimit = 30 * time.Second

// rawCodec sends and receives message bytes as they are, so that requests need
// not be valid and nothing is lost from an answer.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = rawCodec{}

// dial connects to a server without any of clientv3's retries.
func dial(target string) (*grpc.ClientConn, error) {
	return grpc.NewClient(strings.TrimPrefix(target, "http://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)))
}

// call sends one unary request in bytes.
func call(ctx context.Context, conn *grpc.ClientConn, method string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var answer []byte
	err := conn.Invoke(ctx, method, request, &answer, grpc.ForceCodecV2(rawCodec{}))
	return answer, err
}

// openStream opens a stream of any shape that carries bytes.
func openStream(ctx context.Context, conn *grpc.ClientConn, method string) (grpc.ClientStream, error) {
	desc := &grpc.StreamDesc{StreamName: method, ServerStreams: true, ClientStreams: true}
	return conn.NewStream(ctx, desc, method, grpc.ForceCodecV2(rawCodec{}))
}

// method is one RPC with the types of its messages.
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

var (
	rpcRange       = rpc[pb.RangeRequest, pb.RangeResponse]("/etcdserverpb.KV/Range")
	rpcRangeStream = rpc[pb.RangeRequest, pb.RangeStreamResponse]("/etcdserverpb.KV/RangeStream")
	rpcPut         = rpc[pb.PutRequest, pb.PutResponse]("/etcdserverpb.KV/Put")
	rpcDelete      = rpc[pb.DeleteRangeRequest, pb.DeleteRangeResponse]("/etcdserverpb.KV/DeleteRange")
	rpcTxn         = rpc[pb.TxnRequest, pb.TxnResponse]("/etcdserverpb.KV/Txn")
	rpcCompact     = rpc[pb.CompactionRequest, pb.CompactionResponse]("/etcdserverpb.KV/Compact")
	rpcWatch       = rpc[pb.WatchRequest, pb.WatchResponse]("/etcdserverpb.Watch/Watch")
	rpcGrant       = rpc[pb.LeaseGrantRequest, pb.LeaseGrantResponse]("/etcdserverpb.Lease/LeaseGrant")
	rpcRevoke      = rpc[pb.LeaseRevokeRequest, pb.LeaseRevokeResponse]("/etcdserverpb.Lease/LeaseRevoke")
	rpcKeepAlive   = rpc[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]("/etcdserverpb.Lease/LeaseKeepAlive")
	rpcTimeToLive  = rpc[pb.LeaseTimeToLiveRequest, pb.LeaseTimeToLiveResponse]("/etcdserverpb.Lease/LeaseTimeToLive")
	rpcLeases      = rpc[pb.LeaseLeasesRequest, pb.LeaseLeasesResponse]("/etcdserverpb.Lease/LeaseLeases")
	rpcMemberList  = rpc[pb.MemberListRequest, pb.MemberListResponse]("/etcdserverpb.Cluster/MemberList")
	rpcStatus      = rpc[pb.StatusRequest, pb.StatusResponse]("/etcdserverpb.Maintenance/Status")
	rpcAlarm       = rpc[pb.AlarmRequest, pb.AlarmResponse]("/etcdserverpb.Maintenance/Alarm")
	rpcHashKV      = rpc[pb.HashKVRequest, pb.HashKVResponse]("/etcdserverpb.Maintenance/HashKV")
)

// answer is what one server said to one request, made comparable.
type answer struct {
	message proto.Message // nil after an error
	err     error
}

// interpret decodes an answer and removes from it what may differ.
func interpret(m method, body []byte, err error) answer {
	if err != nil {
		return answer{err: err}
	}
	message := m.response()
	if err := proto.Unmarshal(body, message); err != nil {
		return answer{err: fmt.Errorf("undecodable answer: %w", err)}
	}
	normalise(message)
	return answer{message: message}
}

// text is the answer for people.
func (a answer) text() string {
	if a.err != nil {
		return errorText(a.err)
	}
	return messageText(a.message)
}

// same compares errors by code and text, messages by all they contain.
func (a answer) same(b answer) bool {
	if a.err != nil || b.err != nil {
		return a.err != nil && b.err != nil && errorText(a.err) == errorText(b.err)
	}
	return proto.Equal(a.message, b.message)
}

// errorText is a code and a message. The protobuf library puts a no-break
// space into its errors in some builds and not in others, on purpose.
func errorText(err error) string {
	s := status.Convert(err)
	return fmt.Sprintf("%v: %s", s.Code(), strings.ReplaceAll(s.Message(), "\u00a0", " "))
}

// messageText prints all of a message, unknown fields too, in a stable form.
func messageText(m proto.Message) string {
	text := prototext.MarshalOptions{EmitUnknown: true, AllowPartial: true}.Format(m)
	return strings.ReplaceAll(text, "  ", " ")
}

// normalise replaces what belongs to a member and not to its data: a value
// that is set becomes 1. The revision stays.
func normalise(m proto.Message) {
	if h, ok := m.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		normaliseHeader(h.GetHeader())
	}
	switch m := m.(type) {
	case *pb.LeaseTimeToLiveResponse:
		// The order of keys is not defined.
		sortBytes(m.Keys)
	case *pb.LeaseLeasesResponse:
		sortLeases(m.Leases)
	case *pb.AlarmResponse:
		sortAlarms(m.Alarms)
	case *pb.MemberListResponse:
		for _, member := range m.Members {
			member.ID = min(member.ID, 1)
			for i := range member.PeerURLs {
				member.PeerURLs[i] = "url"
			}
			for i := range member.ClientURLs {
				member.ClientURLs[i] = "url"
			}
		}
	case *pb.StatusResponse:
		// Sizes, the position in the log and the term are the member's own business.
		m.Leader, m.RaftTerm = min(m.Leader, 1), min(m.RaftTerm, 1)
		m.RaftIndex, m.RaftAppliedIndex = min(m.RaftIndex, 1), min(m.RaftAppliedIndex, 1)
		m.DbSize, m.DbSizeInUse = min(m.DbSize, 1), min(m.DbSizeInUse, 1)
		for i := range m.Errors {
			m.Errors[i] = strings.ReplaceAll(m.Errors[i], "  ", " ")
		}
		sortStrings(m.Errors)
	}
}

func normaliseHeader(h *pb.ResponseHeader) {
	if h == nil {
		return
	}
	h.ClusterId, h.MemberId, h.RaftTerm = min(h.ClusterId, 1), min(h.MemberId, 1), min(h.RaftTerm, 1)
}
