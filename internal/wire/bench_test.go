package wire

import (
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

func BenchmarkDecodePut(b *testing.B) {
	in := putInput(b)
	b.ReportAllocs()
	for b.Loop() {
		var m PutRequest
		if err := m.UnmarshalWire(in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodePutProto is the library on the same bytes, to compare with.
func BenchmarkDecodePutProto(b *testing.B) {
	in := putInput(b)
	b.ReportAllocs()
	for b.Loop() {
		var m etcdserverpb.PutRequest
		if err := proto.Unmarshal(in, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeTxn(b *testing.B) {
	in := updateTxn(b)
	b.ReportAllocs()
	for b.Loop() {
		var m TxnRequest
		if err := m.UnmarshalWire(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPutResponse(b *testing.B) {
	h := ResponseHeader{ClusterID: 1 << 60, MemberID: 1 << 61, Revision: 5, RaftTerm: 2}
	b.ReportAllocs()
	for b.Loop() {
		NewPutResponse(h, nil).Free()
	}
}

func BenchmarkRangeResponse500(b *testing.B) {
	kvs := make([][]byte, 500)
	for i := range kvs {
		kvs[i] = AppendKeyValue(nil, make([]byte, 40), 1, 2, 3, make([]byte, 512), 0)
	}
	h := ResponseHeader{ClusterID: 1 << 60, MemberID: 1 << 61, Revision: 5, RaftTerm: 2}
	b.ReportAllocs()
	for b.Loop() {
		NewRangeResponse(h, kvs, true, 52600).Free()
	}
}
