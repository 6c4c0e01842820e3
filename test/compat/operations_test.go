package compat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// operation is one kind of step. It returns a *difference, or nil.
type operation struct {
	name   string
	weight int
	do     func(r *run, g *gen) error
}

// operations lists all kinds; a weight is a share in about 1000.
func operations() []operation {
	return []operation{
		{"range", 140, opRange},
		{"range stream", 40, opRangeStream},
		{"put", 160, opPut},
		{"delete range", 60, opDelete},
		{"txn", 200, opTxn},
		{"compact", 18, opCompact},
		{"hash", 40, opHashKV},
		{"grant", 35, opGrant},
		{"grant short", 4, opGrantShort},
		{"revoke", 20, opRevoke},
		{"keep alive", 15, opKeepAlive},
		{"time to live", 25, opTimeToLive},
		{"leases", 10, opLeases},
		{"watch", 80, opWatchCreate},
		{"cancel watch", 25, opWatchCancel},
		{"progress", 25, opWatchProgress},
		{"malformed watch", 4, opWatchMalformed},
		{"members", 5, opMemberList},
		{"status", 5, opStatus},
		{"alarm", 6, opAlarm},
		{"mutated", 40, opMutated},
		{"garbage", 15, opGarbage},
		{"metadata", 5, opMetadata},
		{"unknown method", 2, opUnknownMethod},
		{"oversize", 3, opOversize},
		{"big events", 2, opBigEvents},
		{"lock", 5, opLock},
		{"election", 4, opElection},
		{"cluster", 10, opCluster},
		{"bad text", 2, opBadText},
		{"restart", 3, opRestart},
		{"expiry", 1, opExpiry},
	}
}

// perform does one step.
func (r *run) perform(s step) error {
	g := &gen{Rand: s.random(), r: r}
	kinds := operations()
	total := 0
	for _, kind := range kinds {
		total += kind.weight
	}
	n := g.IntN(total)
	for _, kind := range kinds {
		if n -= kind.weight; n < 0 {
			return kind.do(r, g)
		}
	}
	return nil
}

func opRange(r *run, g *gen) error {
	_, err := r.must(rpcRange, g.rangeRequest())
	return err
}

func opPut(r *run, g *gen) error {
	_, err := r.must(rpcPut, g.putRequest())
	return err
}

func opDelete(r *run, g *gen) error {
	_, err := r.must(rpcDelete, g.deleteRequest())
	return err
}

func opTxn(r *run, g *gen) error {
	_, err := r.must(rpcTxn, g.txnRequest(2))
	return err
}

// opRangeStream compares the chunks' merger, and that a header, a count and
// the word "more" come with the last chunk only.
func opRangeStream(r *run, g *gen) error {
	request := g.rangeRequest()
	if g.IntN(4) > 0 {
		request.SortOrder, request.SortTarget = 0, 0
		request.MinModRevision, request.MaxModRevision, request.MinCreateRevision, request.MaxCreateRevision = 0, 0, 0, 0
	}
	if request.SortOrder == 0 && request.SortTarget != 0 {
		request.SortTarget = 0 // docs/compat.md: stream with another target
	}
	body, _ := proto.Marshal(request)
	var out [2]answer
	r.each(func(i int, s *side) { out[i] = streamRange(s, body) })
	r.requests++
	r.note(rpcRangeStream, messageText(request), out)
	return r.equal(rpcRangeStream.path, out)
}

func streamRange(s *side, request []byte) answer {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	stream, err := openStream(ctx, s.conn, rpcRangeStream.path)
	if err != nil {
		return answer{err: err}
	}
	if err := stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) {
		return answer{err: err}
	}
	stream.CloseSend()
	merged := &pb.RangeResponse{}
	for {
		var body []byte
		err := stream.RecvMsg(&body)
		if errors.Is(err, io.EOF) {
			if merged.Header == nil {
				return answer{err: errors.New("stream ended without a header")}
			}
			normaliseHeader(merged.Header)
			return answer{message: merged}
		}
		if err != nil {
			return answer{err: err}
		}
		var chunk pb.RangeStreamResponse
		if err := proto.Unmarshal(body, &chunk); err != nil {
			return answer{err: err}
		}
		if merged.Header != nil {
			return answer{err: errors.New("a chunk after the one with the header")}
		}
		if chunk.RangeResponse != nil {
			proto.Merge(merged, chunk.RangeResponse)
		}
	}
}

// opCompact first lets all watchers catch up and all compactions finish:
// whether a watcher reads history before a compaction takes it is a race, and
// so is which compaction finds the previous one finished.
func opCompact(r *run, g *gen) error {
	request := &pb.CompactionRequest{Physical: g.IntN(3) > 0}
	switch g.IntN(8) {
	case 0:
		request.Revision = g.revision()
	case 1:
		request.Revision = pick(g, 0, -1, math.MinInt64, math.MaxInt64, r.current+1, r.compacted, r.compacted-1)
	default:
		request.Revision = max(r.compacted, r.current-int64(g.IntN(30)))
	}
	return r.compact(request)
}

func (r *run) compact(request *pb.CompactionRequest) error {
	if err := r.settle(); err != nil {
		return err
	}
	if err := r.finishCompaction(); err != nil {
		return err
	}
	a, err := r.must(rpcCompact, request)
	if a.err == nil {
		r.compacted = max(r.compacted, request.Revision)
		r.compactedZero = r.compactedZero || request.Revision == 0
		r.compacting = !request.Physical
	}
	return err
}

// finishCompaction waits for a compaction in the background: a physical one at
// a revision that is compacted already is refused only after the running one is done.
func (r *run) finishCompaction() error {
	if !r.compacting {
		return nil
	}
	r.compacting = false
	_, err := r.must(rpcCompact, &pb.CompactionRequest{Revision: r.compacted, Physical: true})
	return err
}

func opHashKV(r *run, g *gen) error {
	if err := r.finishCompaction(); err != nil {
		return err
	}
	return r.hash(g.revision())
}

// hash asks for a hash. After a compaction at 0 etcd answers 0 with the hash
// of nothing (docs/compat.md, row H2), so the current revision is named then.
func (r *run) hash(revision int64) error {
	if revision == 0 && r.compactedZero {
		revision = r.current
	}
	if 0 < revision && revision <= r.forgotten {
		return nil // docs/compat.md, row H3: Keelson still knows hashes of compactions before a restart
	}
	_, err := r.must(rpcHashKV, &pb.HashKVRequest{Revision: revision})
	return err
}

// opGrant uses long times only: when a lease ends must not decide what the
// next request finds.
func opGrant(r *run, g *gen) error {
	ttl := pick[int64](g, 5000, 6000, 100_000, 9_000_000_000, 9_000_000_001, math.MaxInt64)
	_, err := r.must(rpcGrant, &pb.LeaseGrantRequest{TTL: ttl, ID: g.lease()})
	return err
}

// opGrantShort grants with a time that is raised to the minimum, or an ID that
// the server chooses, and revokes the lease before it can end.
func opGrantShort(r *run, g *gen) error {
	request := &pb.LeaseGrantRequest{TTL: pick[int64](g, 0, 1, -1, math.MinInt64, 5000), ID: pick[int64](g, 0, 99)}
	body, _ := proto.Marshal(request)
	var out [2]answer
	var id [2]int64
	var positive [2]bool
	r.each(func(i int, s *side) {
		answerBody, err := call(context.Background(), s.conn, rpcGrant.path, body)
		out[i] = interpret(rpcGrant, answerBody, err)
		granted, ok := out[i].message.(*pb.LeaseGrantResponse)
		if !ok {
			return
		}
		id[i], positive[i] = granted.ID, granted.ID > 0
		granted.ID = min(granted.ID, 1)
		revoke, _ := proto.Marshal(&pb.LeaseRevokeRequest{ID: id[i]})
		call(context.Background(), s.conn, rpcRevoke.path, revoke)
	})
	r.requests += 2
	r.note(rpcGrant, messageText(request), out)
	return r.equal(rpcGrant.path, out)
}

func opRevoke(r *run, g *gen) error {
	id := g.lease()
	if g.chance(10) {
		id = 0
	}
	_, err := r.must(rpcRevoke, &pb.LeaseRevokeRequest{ID: id})
	return err
}

// opKeepAlive sends several renewals on one stream and half-closes it.
func opKeepAlive(r *run, g *gen) error {
	var requests [][]byte
	ids := make([]int64, 1+g.IntN(3))
	for i := range ids {
		ids[i] = g.lease()
		body, _ := proto.Marshal(&pb.LeaseKeepAliveRequest{ID: ids[i]})
		requests = append(requests, body)
	}
	if g.chance(20) {
		requests = append(requests, []byte{0x0a, 0xff})
	}
	return r.exchange(rpcKeepAlive, requests)
}

// exchange sends messages on a fresh stream, half-closes it and compares
// everything that comes back, the final status too.
func (r *run) exchange(m method, requests [][]byte) error {
	var said [2]string
	r.each(func(i int, s *side) {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		stream, err := openStream(ctx, s.conn, m.path)
		for _, request := range requests {
			if err == nil {
				err = stream.SendMsg(request)
			}
		}
		if err == nil {
			err = stream.CloseSend()
		}
		var text strings.Builder
		for stream != nil {
			var body []byte
			if err = stream.RecvMsg(&body); err != nil {
				break
			}
			text.WriteString(interpret(m, body, nil).text() + "; ")
		}
		if errors.Is(err, io.EOF) {
			said[i] = text.String() + "end"
			return
		}
		said[i] = text.String() + errorText(err)
	})
	r.requests++
	r.notef("%s %d messages %x\n      etcd:    %s\n      keelson: %s", m.path, len(requests), requests, short(said[0]), short(said[1]))
	if said[0] != said[1] {
		return &difference{m.path, said[0], said[1]}
	}
	return nil
}

// timeTolerance is how far remaining times may lie apart, in seconds. A restart
// of etcd gives every lease its full time again (docs/compat.md, row L1); no
// pair of servers lives longer than this.
const timeTolerance = 300

// opTimeToLive compares the remaining time with some tolerance.
func opTimeToLive(r *run, g *gen) error {
	request := &pb.LeaseTimeToLiveRequest{ID: g.lease(), Keys: g.chance(2)}
	out := r.ask(rpcTimeToLive, request)
	a, okA := out[0].message.(*pb.LeaseTimeToLiveResponse)
	b, okB := out[1].message.(*pb.LeaseTimeToLiveResponse)
	if okA && okB && a.TTL > 10 && b.TTL > 10 && max(a.TTL-b.TTL, b.TTL-a.TTL) <= timeTolerance {
		a.TTL, b.TTL = 1, 1
	}
	return r.equal(rpcTimeToLive.path, out)
}

func opLeases(r *run, g *gen) error {
	_, err := r.must(rpcLeases, &pb.LeaseLeasesRequest{})
	return err
}

func opMemberList(r *run, g *gen) error {
	_, err := r.must(rpcMemberList, &pb.MemberListRequest{Linearizable: g.chance(2)})
	return err
}

func opStatus(r *run, g *gen) error {
	_, err := r.must(rpcStatus, &pb.StatusRequest{})
	return err
}

// opAlarm raises and disarms alarms of members that do not exist, and tries a
// few requests while they are raised.
func opAlarm(r *run, g *gen) error {
	kind := pick(g, pb.AlarmType_NONE, pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT)
	member := pick[uint64](g, 1, 7)
	set := func(action pb.AlarmRequest_AlarmAction) error {
		_, err := r.must(rpcAlarm, &pb.AlarmRequest{Action: action, MemberID: member, Alarm: kind})
		return err
	}
	steps := []func(*run, *gen) error{
		func(*run, *gen) error { return set(pb.AlarmRequest_ACTIVATE) },
		opPut, opTxn, opDelete, opGrant, opRevoke, opRange, opStatus,
		func(*run, *gen) error { return set(pb.AlarmRequest_GET) },
		func(*run, *gen) error { return set(pb.AlarmRequest_DEACTIVATE) },
		func(*run, *gen) error { return set(pb.AlarmRequest_DEACTIVATE) },
	}
	var first error
	for i, do := range steps {
		if first != nil && i < len(steps)-2 {
			continue // the alarm is disarmed in any case
		}
		if err := do(r, g); err != nil && first == nil {
			first = err
		}
	}
	return first
}

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

// opExpiry waits for a lease to end by itself. Its keys go in one revision.
func opExpiry(r *run, g *gen) error {
	const id = 1234
	if _, err := r.must(rpcGrant, &pb.LeaseGrantRequest{TTL: 1, ID: id}); err != nil {
		return err
	}
	for range 1 + g.IntN(3) {
		if _, err := r.must(rpcPut, &pb.PutRequest{Key: g.realKey(), Value: []byte("short"), Lease: id}); err != nil {
			return err
		}
	}
	r.each(func(i int, s *side) {
		body, _ := proto.Marshal(&pb.LeaseTimeToLiveRequest{ID: id})
		for until := time.Now().Add(callLimit); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
			out, err := call(context.Background(), s.conn, rpcTimeToLive.path, body)
			if a, ok := interpret(rpcTimeToLive, out, err).message.(*pb.LeaseTimeToLiveResponse); ok && a.TTL == -1 {
				return
			}
		}
	})
	if _, err := r.must(rpcTimeToLive, &pb.LeaseTimeToLiveRequest{ID: id}); err != nil {
		return err
	}
	_, err := r.must(rpcRange, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
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
