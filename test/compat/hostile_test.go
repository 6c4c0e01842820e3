package compat

import (
	"bytes"
	"context"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// opMutated damages a valid request.
func opMutated(r *run, g *gen) error {
	var m method
	var request proto.Message
	switch g.IntN(6) {
	case 0:
		m, request = rpcRange, g.rangeRequest()
	case 1:
		m, request = rpcPut, g.putRequest()
	case 2:
		m, request = rpcDelete, g.deleteRequest()
	case 3, 4:
		m, request = rpcTxn, g.txnRequest(2)
	case 5:
		m, request = rpcTimeToLive, &pb.LeaseTimeToLiveRequest{ID: 1 << 40, Keys: true}
	}
	body, _ := proto.Marshal(request)
	return r.bytes(m, g.mutate(body))
}

func (r *run) bytes(m method, body []byte) error {
	out := r.raw(m, body)
	request := m.request()
	if proto.Unmarshal(body, request) == nil {
		r.note(m, messageText(request), out)
	} else {
		r.notef("%s raw %x\n      etcd:    %s\n      keelson: %s", m.path, body[:min(len(body), 300)], short(out[0].text()), short(out[1].text()))
	}
	return r.equal(m.path+" with raw bytes", out)
}

// mutate changes a few bytes.
func (g *gen) mutate(body []byte) []byte {
	for range 1 + g.IntN(3) {
		if len(body) == 0 {
			return []byte{byte(g.IntN(256))}
		}
		at := g.IntN(min(len(body), 400))
		switch g.IntN(6) {
		case 0:
			body = body[:at]
		case 1:
			body = append(bytes.Clone(body[:at]), append([]byte{byte(g.IntN(256))}, body[at:]...)...)
		case 2:
			body = append(bytes.Clone(body), body[at:]...)
		case 3: // a field that nobody knows
			body = append(bytes.Clone(body), pick(g, []byte{0xf8, 0x3f, 1}, []byte{0xfa, 0x3f, 2, 'x', 'y'}, []byte{0xfb, 0x3f, 0xfc, 0x3f}, []byte{0xfb, 0x3f})...)
		default:
			body = bytes.Clone(body)
			body[at] ^= 1 << g.IntN(8)
		}
	}
	return body
}

// opGarbage sends random bytes to all kinds of methods.
func opGarbage(r *run, g *gen) error {
	m := pick(g, rpcRange, rpcPut, rpcDelete, rpcTxn, rpcCompact, rpcGrant, rpcRevoke, rpcTimeToLive, rpcLeases, rpcMemberList, rpcStatus, rpcHashKV)
	body := make([]byte, g.IntN(12))
	for i := range body {
		body[i] = pick(g, byte(g.IntN(256)), 0x08, 0x0a, 0x12, 0x01, 0x00, 0x7f, 0x80, 0xff)
	}
	if request := m.request(); proto.Unmarshal(body, request) == nil {
		switch q := request.(type) {
		case *pb.CompactionRequest:
			return r.compact(q)
		case *pb.LeaseGrantRequest:
			return nil // might be a lease that ends at any moment
		case *pb.HashKVRequest:
			if err := r.finishCompaction(); err != nil {
				return err
			}
			return r.hash(q.Revision)
		}
	}
	return r.bytes(m, body)
}

// opMetadata sends request metadata that the server reads.
func opMetadata(r *run, g *gen) error {
	pairs := pick(g, []string{"hasleader", "true"}, []string{"client-api-version", "3.7"}, []string{"client-api-version-bin", "\xff"},
		[]string{"token", "nonsense"}, []string{"authorization", "Bearer x"}, []string{"hasleader", "\x7f"})
	body, _ := proto.Marshal(g.rangeRequest())
	var out [2]answer
	r.each(func(i int, s *side) {
		ctx := metadata.NewOutgoingContext(context.Background(), metadata.Pairs(pairs...))
		answerBody, err := call(ctx, s.conn, rpcRange.path, body)
		out[i] = interpret(rpcRange, answerBody, err)
	})
	r.requests++
	r.note(rpcRange, strings.Join(pairs, "="), out)
	return r.equal("metadata "+strings.Join(pairs, "="), out)
}

func opUnknownMethod(r *run, g *gen) error {
	m := rpcRange
	m.path = pick(g, "/etcdserverpb.KV/Nope", "/etcdserverpb.Nope/Range", "/v3lockpb.Lock/", "/x/y/z", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
	return r.bytes(m, nil)
}

// opOversize is about both limits: the replicated form (1.5 MiB; its exact size
// includes a random request ID, so the last bytes before it are left out) and
// the message (2 MiB, exact).
func opOversize(r *run, g *gen) error {
	const request, message = 1_572_864, 2_097_152
	request1 := &pb.PutRequest{Key: []byte("big")}
	overhead := 5 + 4
	size := pick(g, request-200, request, request+10, message-overhead, message-overhead+1, message+1000, 3*message)
	request1.Value = make([]byte, size)
	out := r.ask(rpcPut, request1)
	if err := r.equal(rpcPut.path+" oversize", out); err != nil {
		return err
	}
	_, err := r.must(rpcDelete, &pb.DeleteRangeRequest{Key: []byte("big")})
	return err
}

// opBigEvents makes watch responses large enough to be cut into fragments.
func opBigEvents(r *run, g *gen) error {
	for _, key := range []string{"f1", "f2", "f3", "f4"} {
		if _, err := r.must(rpcPut, &pb.PutRequest{Key: []byte(key), Value: bytes.Repeat([]byte(key), 500_000/2)}); err != nil {
			return err
		}
	}
	txn := &pb.TxnRequest{}
	for _, key := range []string{"f1", "f2", "f3", "f4"} {
		txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte(key), Value: bytes.Repeat([]byte("x"), 300_000)}}})
	}
	if _, err := r.must(rpcTxn, txn); err != nil {
		return err
	}
	_, err := r.must(rpcDelete, &pb.DeleteRangeRequest{Key: []byte("f1"), RangeEnd: []byte("f9")})
	return err
}
