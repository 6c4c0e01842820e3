package compat

import (
	"bytes"
	"math"
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// gen builds requests from a step's random numbers. The alphabets are small so
// that requests meet each other's keys, and contain what is likely to be
// handled wrongly.
type gen struct {
	*rand.Rand
	r *run
}

func pick[T any](g *gen, list ...T) T { return list[g.IntN(len(list))] }

// chance is true in one of n cases.
func (g *gen) chance(n int) bool { return g.IntN(n) == 0 }

func (g *gen) key() []byte {
	if g.chance(80) {
		return nil
	}
	if g.chance(12) {
		return pick(g, []byte{0}, []byte{0xff}, []byte{0xff, 0xff}, []byte{0, 0}, []byte("a\x00"), []byte("é"), bytes.Repeat([]byte("k"), 300))
	}
	return []byte(pick(g, "a", "aa", "ab", "b", "ba", "c", "ca", "cb", "d", "da", "e", "f", "g", "h", "i", "j", "k", "l"))
}

// realKey is never empty, for requests whose point is elsewhere.
func (g *gen) realKey() []byte {
	for {
		if key := g.key(); len(key) > 0 {
			return key
		}
	}
}

func (g *gen) rangeEnd() []byte {
	switch g.IntN(10) {
	case 0, 1, 2, 3:
		return nil
	case 4:
		return []byte{0}
	case 5:
		return []byte{0xff}
	case 6:
		return []byte("z")
	}
	return g.key()
}

func (g *gen) value() []byte {
	switch {
	case g.chance(200):
		return bytes.Repeat([]byte("v"), 400_000)
	case g.chance(30):
		return bytes.Repeat([]byte("v"), 5000)
	}
	return pick(g, nil, []byte("1"), []byte("2"), []byte("22"), []byte{0}, []byte{0xff, 0xfe})
}

// revision is mostly one that exists or the edge of what does.
func (g *gen) revision() int64 {
	switch n := g.IntN(100); {
	case n < 35:
		return 0
	case n < 70:
		return g.r.current - int64(g.IntN(20))
	case n < 85:
		return g.r.compacted + int64(g.IntN(4)) - 1
	case n < 94:
		return g.r.current + int64(g.IntN(4))
	case n < 97:
		return pick[int64](g, -1, -2, math.MinInt64)
	}
	return pick[int64](g, math.MaxInt64, 1, 2, math.MaxInt32)
}

// filter is a bound on revisions; most requests have none.
func (g *gen) filter() int64 {
	if g.IntN(4) > 0 {
		return 0
	}
	return g.revision()
}

func (g *gen) limit() int64 {
	return pick[int64](g, 0, 0, 0, 0, 1, 2, 3, 5, 11, 1000, -1, math.MaxInt64, math.MinInt64)
}

func (g *gen) lease() int64 {
	return pick[int64](g, 1, 2, 3, 4, -7, math.MaxInt64, math.MinInt64, 0x7bcdef0123456789)
}

func (g *gen) rangeRequest() *pb.RangeRequest {
	q := &pb.RangeRequest{Key: g.key(), RangeEnd: g.rangeEnd(), Limit: g.limit(), Revision: g.revision(),
		Serializable: g.chance(2), KeysOnly: g.chance(4), CountOnly: g.chance(6)}
	if g.chance(2) {
		q.SortOrder = pb.RangeRequest_SortOrder(g.IntN(3))
		q.SortTarget = pb.RangeRequest_SortTarget(g.IntN(5))
		if g.chance(40) {
			q.SortOrder = pick[pb.RangeRequest_SortOrder](g, 3, -1, math.MaxInt32, math.MinInt32)
		}
		if g.chance(40) {
			q.SortTarget = pick[pb.RangeRequest_SortTarget](g, 5, -1, math.MaxInt32, math.MinInt32)
		}
	}
	if g.chance(3) {
		q.MinModRevision, q.MaxModRevision = g.filter(), g.filter()
		q.MinCreateRevision, q.MaxCreateRevision = g.filter(), g.filter()
	}
	return q
}

func (g *gen) putRequest() *pb.PutRequest {
	q := &pb.PutRequest{Key: g.key(), Value: g.value(), PrevKv: g.chance(3)}
	if g.chance(4) {
		q.Lease = g.lease()
	}
	if g.chance(8) {
		q.IgnoreValue = true
		if g.IntN(3) > 0 {
			q.Value = nil
		}
	}
	if g.chance(8) {
		q.IgnoreLease = true
		if g.IntN(3) > 0 {
			q.Lease = 0
		}
	}
	return q
}

func (g *gen) deleteRequest() *pb.DeleteRangeRequest {
	q := &pb.DeleteRangeRequest{Key: g.key(), PrevKv: g.chance(3)}
	if g.chance(3) {
		q.RangeEnd = g.rangeEnd()
	}
	return q
}

func (g *gen) compare() *pb.Compare {
	c := &pb.Compare{Key: g.key(), Result: pb.Compare_CompareResult(g.IntN(4)), Target: pb.Compare_CompareTarget(g.IntN(5))}
	number := func() int64 {
		return pick(g, 0, 1, 2, 3, g.r.current, g.r.current-1, g.r.current-5, g.lease(), -1)
	}
	union := c.Target
	if g.chance(12) {
		union = pb.Compare_CompareTarget(g.IntN(6))
	}
	switch union {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: number()}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: number()}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: number()}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: g.value()}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: number()}
	}
	if g.chance(5) {
		c.RangeEnd = g.rangeEnd()
	}
	if g.chance(40) {
		c.Result = pick[pb.Compare_CompareResult](g, 4, -1, math.MaxInt32)
	}
	if g.chance(40) {
		c.Target = pick[pb.Compare_CompareTarget](g, 5, -1, math.MaxInt32)
	}
	return c
}

// txnRequest is a transaction with up to depth levels below it.
func (g *gen) txnRequest(depth int) *pb.TxnRequest {
	q := &pb.TxnRequest{}
	for range g.IntN(3) {
		q.Compare = append(q.Compare, g.compare())
	}
	readOnly := g.chance(5)
	q.Success = g.ops(g.IntN(5), depth, readOnly)
	q.Failure = g.ops(g.IntN(4), depth, readOnly)
	if g.chance(60) {
		g.inflate(q)
	}
	return q
}

func (g *gen) ops(count, depth int, readOnly bool) []*pb.RequestOp {
	var out []*pb.RequestOp
	for range count {
		out = append(out, g.requestOp(depth, readOnly))
	}
	return out
}

func (g *gen) requestOp(depth int, readOnly bool) *pb.RequestOp {
	if g.chance(60) {
		return pick(g, &pb.RequestOp{}, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{}}},
			&pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{}}})
	}
	n := g.IntN(10)
	switch {
	case readOnly || n < 3:
		q := g.rangeRequest()
		if g.IntN(3) > 0 {
			q.Revision = 0
		}
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: q}}
	case n < 6 || depth == 0 && n < 8:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.putRequest()}}
	case n < 8:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: g.txnRequest(depth - 1)}}
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: g.deleteRequest()}}
}

// inflate brings one list of a transaction to or over the limit of 128.
func (g *gen) inflate(q *pb.TxnRequest) {
	count := pick(g, 126, 127, 128, 129, 200)
	switch g.IntN(3) {
	case 0:
		for len(q.Compare) < count {
			q.Compare = append(q.Compare, &pb.Compare{Key: []byte("a"), Result: pb.Compare_NOT_EQUAL,
				Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: -5}})
		}
	case 1:
		for len(q.Success) < count {
			q.Success = append(q.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
				RequestPut: &pb.PutRequest{Key: append([]byte("many"), byte(len(q.Success))), Value: []byte("m")}}})
		}
	case 2:
		for len(q.Failure) < count {
			q.Failure = append(q.Failure, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
				RequestDeleteRange: &pb.DeleteRangeRequest{Key: append([]byte("many"), byte(len(q.Failure)))}}})
		}
	}
}
