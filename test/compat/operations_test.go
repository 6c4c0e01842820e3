package compat

import (
	"context"
	"errors"
	"io"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
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
		{"auth", 5, opAuth},
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
