package compat

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

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
	r.each(func(i int, s *side) {
		answerBody, err := call(context.Background(), s.conn, rpcGrant.path, body)
		out[i] = interpret(rpcGrant, answerBody, err)
		granted, ok := out[i].message.(*pb.LeaseGrantResponse)
		if !ok {
			return
		}
		id[i] = granted.ID
		granted.ID = min(granted.ID, 1) // positive: any
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

func opTimeToLive(r *run, g *gen) error {
	_, err := r.must(rpcTimeToLive, &pb.LeaseTimeToLiveRequest{ID: g.lease(), Keys: g.chance(2)})
	return err
}

// tolerateTime makes remaining times equal that are close to each other.
func tolerateTime(out [2]answer) {
	a, okA := out[0].message.(*pb.LeaseTimeToLiveResponse)
	b, okB := out[1].message.(*pb.LeaseTimeToLiveResponse)
	if okA && okB && a.TTL > 10 && b.TTL > 10 && max(a.TTL-b.TTL, b.TTL-a.TTL) <= timeTolerance {
		a.TTL, b.TTL = 1, 1
	}
}

func opLeases(r *run, g *gen) error {
	_, err := r.must(rpcLeases, &pb.LeaseLeasesRequest{})
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
		poll := time.NewTicker(50 * time.Millisecond) // nothing tells when a lease ends
		defer poll.Stop()
		for until := time.Now().Add(callLimit); time.Now().Before(until); <-poll.C {
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
