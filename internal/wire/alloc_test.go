package wire

import (
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

func putInput(tb testing.TB) []byte {
	tb.Helper()
	return marshal(tb, &etcdserverpb.PutRequest{Key: make([]byte, 40), Value: make([]byte, 512), Lease: 7})
}

// updateTxn is what kube-apiserver sends for an update: put when the key is as
// it was, else read it.
func updateTxn(tb testing.TB) []byte {
	tb.Helper()
	key := make([]byte, 40)
	return marshal(tb, &etcdserverpb.TxnRequest{
		Compare: []*etcdserverpb.Compare{{Target: etcdserverpb.Compare_MOD, Key: key, TargetUnion: &etcdserverpb.Compare_ModRevision{ModRevision: 1234}}},
		Success: []*etcdserverpb.RequestOp{{Request: &etcdserverpb.RequestOp_RequestPut{RequestPut: &etcdserverpb.PutRequest{Key: key, Value: make([]byte, 512)}}}},
		Failure: []*etcdserverpb.RequestOp{{Request: &etcdserverpb.RequestOp_RequestRange{RequestRange: &etcdserverpb.RangeRequest{Key: key}}}},
	})
}

func TestDecodeAllocations(t *testing.T) {
	put := putInput(t)
	rng := marshal(t, &etcdserverpb.RangeRequest{Key: make([]byte, 40), RangeEnd: make([]byte, 40), Limit: 500, Revision: 99})
	txn := updateTxn(t)
	kv := AppendKeyValue(nil, make([]byte, 40), 1, 2, 3, make([]byte, 512), 4)
	cases := []struct {
		name string
		max  float64
		run  func() error
	}{
		{"put", 0, func() error { var m PutRequest; return m.UnmarshalWire(put) }},
		{"range", 0, func() error { var m RangeRequest; return m.UnmarshalWire(rng) }},
		{"keyvalue", 0, func() error { var m KeyValueView; return m.UnmarshalWire(kv) }},
		// Three lists and the two requests in them.
		{"txn", 5, func() error { var m TxnRequest; return m.UnmarshalWire(txn) }},
	}
	for _, c := range cases {
		if got := testing.AllocsPerRun(100, func() {
			if c.run() != nil {
				t.Fatal("refused")
			}
		}); got > c.max {
			t.Errorf("%s: %v allocations, at most %v allowed", c.name, got, c.max)
		}
	}
}

func TestEncodeAllocations(t *testing.T) {
	kvs := make([][]byte, 500)
	for i := range kvs {
		kvs[i] = AppendKeyValue(nil, make([]byte, 40), 1, 2, 3, make([]byte, 512), 0)
	}
	h := ResponseHeader{ClusterID: 1 << 60, MemberID: 1 << 61, Revision: 5, RaftTerm: 2}
	put := make([]byte, 552)
	dst := make([]byte, 0, 1024)
	cases := []struct {
		name string
		max  float64
		run  func()
	}{
		{"put response", 2, func() { NewPutResponse(h, nil).Free() }},
		// The frame itself; the buffer comes from the pool (and sometimes not).
		{"range response", 2, func() { NewRangeResponse(h, kvs, true, 5000).Free() }},
		{"raft request", 0, func() { AppendRaftRequest(dst, RequestHeader{ID: 1 << 62}, KindPut, put) }},
		{"event", 0, func() { AppendEvent(dst, false, put, nil, 0, nil) }},
	}
	for _, c := range cases {
		if got := testing.AllocsPerRun(100, c.run); got > c.max {
			t.Errorf("%s: %v allocations, at most %v allowed", c.name, got, c.max)
		}
	}
}
