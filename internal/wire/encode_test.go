package wire

import (
	"bytes"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
)

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// marshalKV encodes an optional key-value: nil stays nil.
func marshalKV(t *testing.T, kv *mvccpb.KeyValue) []byte {
	t.Helper()
	if kv == nil {
		return nil
	}
	return append([]byte{}, marshal(t, kv)...)
}

func marshalKVs(t *testing.T, list []*mvccpb.KeyValue) (out [][]byte) {
	t.Helper()
	for _, kv := range list {
		out = append(out, marshalKV(t, kv))
	}
	return out
}

func headerOf(h *etcdserverpb.ResponseHeader) ResponseHeader {
	return ResponseHeader{ClusterID: h.GetClusterId(), MemberID: h.GetMemberId(), Revision: h.GetRevision(), RaftTerm: h.GetRaftTerm()}
}

// opsOf encodes the responses of a transaction with our functions, after
// trimming the inner headers to what they may carry.
func opsOf(t *testing.T, list []*etcdserverpb.ResponseOp) (out []byte) {
	t.Helper()
	revisionOnly := func(h *etcdserverpb.ResponseHeader) *etcdserverpb.ResponseHeader {
		return &etcdserverpb.ResponseHeader{Revision: h.GetRevision()}
	}
	for _, op := range list {
		if r := op.GetResponseRange(); r != nil {
			r.Header = revisionOnly(r.Header)
			out = AppendRangeOp(out, r.Header.Revision, marshalKVs(t, r.Kvs), r.More, r.Count)
		} else if r := op.GetResponsePut(); r != nil {
			r.Header = revisionOnly(r.Header)
			out = AppendPutOp(out, r.Header.Revision, marshalKV(t, r.PrevKv))
		} else if r := op.GetResponseDeleteRange(); r != nil {
			r.Header = revisionOnly(r.Header)
			out = AppendDeleteRangeOp(out, r.Header.Revision, r.Deleted, marshalKVs(t, r.PrevKvs))
		} else {
			r := op.GetResponseTxn()
			if r == nil {
				r = new(etcdserverpb.TxnResponse)
				op.Response = &etcdserverpb.ResponseOp_ResponseTxn{ResponseTxn: r}
			}
			r.Header = new(etcdserverpb.ResponseHeader)
			out = AppendTxnOp(out, r.Succeeded, opsOf(t, r.Responses))
		}
	}
	return out
}

// encoder makes a Frame of the same content as the generated message.
type encoder struct {
	name string
	pb   func() proto.Message
	ours func(*testing.T, proto.Message) *Frame
}

func encoders() []encoder {
	header := func() *etcdserverpb.ResponseHeader { return new(etcdserverpb.ResponseHeader) }
	return []encoder{
		{"range", func() proto.Message { return &etcdserverpb.RangeResponse{Header: header()} }, func(t *testing.T, m proto.Message) *Frame {
			p := m.(*etcdserverpb.RangeResponse)
			return NewRangeResponse(headerOf(p.Header), marshalKVs(t, p.Kvs), p.More, p.Count)
		}},
		{"rangestream", func() proto.Message {
			return &etcdserverpb.RangeStreamResponse{RangeResponse: new(etcdserverpb.RangeResponse)}
		}, func(t *testing.T, m proto.Message) *Frame {
			p := m.(*etcdserverpb.RangeStreamResponse).RangeResponse
			var h *ResponseHeader
			if p.Header != nil {
				some := headerOf(p.Header)
				h = &some
			}
			return NewRangeStreamResponse(h, marshalKVs(t, p.Kvs), p.More, p.Count)
		}},
		{"put", func() proto.Message { return &etcdserverpb.PutResponse{Header: header()} }, func(t *testing.T, m proto.Message) *Frame {
			p := m.(*etcdserverpb.PutResponse)
			return NewPutResponse(headerOf(p.Header), marshalKV(t, p.PrevKv))
		}},
		{"deleterange", func() proto.Message { return &etcdserverpb.DeleteRangeResponse{Header: header()} }, func(t *testing.T, m proto.Message) *Frame {
			p := m.(*etcdserverpb.DeleteRangeResponse)
			return NewDeleteRangeResponse(headerOf(p.Header), p.Deleted, marshalKVs(t, p.PrevKvs))
		}},
		{"compaction", func() proto.Message { return &etcdserverpb.CompactionResponse{Header: header()} }, func(_ *testing.T, m proto.Message) *Frame {
			return NewCompactionResponse(headerOf(m.(*etcdserverpb.CompactionResponse).Header))
		}},
		{"txn", func() proto.Message { return &etcdserverpb.TxnResponse{Header: header()} }, func(t *testing.T, m proto.Message) *Frame {
			p := m.(*etcdserverpb.TxnResponse)
			return NewTxnResponse(headerOf(p.Header), p.Succeeded, opsOf(t, p.Responses))
		}},
		{"watch", func() proto.Message { return &etcdserverpb.WatchResponse{Header: header()} }, func(t *testing.T, m proto.Message) *Frame {
			p := m.(*etcdserverpb.WatchResponse)
			w := WatchResponse{Header: headerOf(p.Header), WatchID: p.WatchId, Created: p.Created, Canceled: p.Canceled,
				Fragment: p.Fragment, CompactRevision: p.CompactRevision, CancelReason: p.CancelReason}
			for _, e := range p.Events {
				w.Events = append(w.Events, marshal(t, e))
			}
			if frame := w.Frame(); len(frame.Bytes()) != w.Size() {
				t.Fatalf("Size says %d, encoded are %d bytes", w.Size(), len(frame.Bytes()))
			}
			return w.Frame()
		}},
		{"leasegrant", func() proto.Message { return &etcdserverpb.LeaseGrantResponse{Header: header()} }, func(_ *testing.T, m proto.Message) *Frame {
			p := m.(*etcdserverpb.LeaseGrantResponse)
			p.Error = ""
			return NewLeaseGrantResponse(headerOf(p.Header), base.LeaseID(p.ID), p.TTL)
		}},
		{"leasekeepalive", func() proto.Message { return &etcdserverpb.LeaseKeepAliveResponse{Header: header()} }, func(_ *testing.T, m proto.Message) *Frame {
			p := m.(*etcdserverpb.LeaseKeepAliveResponse)
			return NewLeaseKeepAliveResponse(headerOf(p.Header), base.LeaseID(p.ID), p.TTL)
		}},
	}
}

func TestEncodeEqualsProto(t *testing.T) {
	g := newGenerator(t, 2)
	for _, e := range encoders() {
		t.Run(e.name, func(t *testing.T) {
			for i := range 600 {
				m := e.pb()
				if i > 0 { // the first one is as empty as it can be
					g.fill(m.ProtoReflect(), 4)
				}
				frame := e.ours(t, m)
				want := marshal(t, m)
				if got := frame.Bytes(); !bytes.Equal(got, want) {
					t.Fatalf("%v\n got %x\nwant %x", m, got, want)
				}
				frame.Free()
			}
		})
	}
}

func TestKeyValueEqualsProto(t *testing.T) {
	g := newGenerator(t, 3)
	for range 1000 {
		kv := new(mvccpb.KeyValue)
		g.fill(kv.ProtoReflect(), 1)
		lease := base.LeaseID(kv.Lease)
		got := AppendKeyValue(nil, kv.Key, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Value, lease)
		if want := marshal(t, kv); !bytes.Equal(got, want) {
			t.Fatalf("%v\n got %x\nwant %x", kv, got, want)
		}
		if n := SizeKeyValue(kv.Key, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Value, lease); n != len(got) {
			t.Fatalf("%v: size %d, want %d", kv, n, len(got))
		}
	}
}

func TestEventEqualsProto(t *testing.T) {
	g := newGenerator(t, 4)
	for range 1000 {
		kv, prev := new(mvccpb.KeyValue), (*mvccpb.KeyValue)(nil)
		g.fill(kv.ProtoReflect(), 1)
		if g.IntN(2) == 0 {
			prev = new(mvccpb.KeyValue)
			g.fill(prev.ProtoReflect(), 1)
		}
		want := &mvccpb.Event{Kv: kv, PrevKv: prev}
		isDelete := g.IntN(2) == 0
		if isDelete {
			want.Type = mvccpb.Event_DELETE
			want.Kv = &mvccpb.KeyValue{Key: kv.Key, ModRevision: kv.ModRevision}
		}
		payload, prevPayload := marshalKV(t, kv), marshalKV(t, prev)
		got := AppendEvent(nil, isDelete, payload, kv.Key, kv.ModRevision, prevPayload)
		if want := marshal(t, want); !bytes.Equal(got, want) {
			t.Fatalf("delete %v, %v, before %v\n got %x\nwant %x", isDelete, kv, prev, got, want)
		}
		if n := SizeEvent(isDelete, payload, kv.Key, kv.ModRevision, prevPayload); n != len(got) {
			t.Fatalf("size %d, want %d", n, len(got))
		}
	}
}

// TestStoredRecordVector is the record of the reference (api.md 7.7): HashKV
// sums these bytes, so they must be etcd's.
func TestStoredRecordVector(t *testing.T) {
	got := AppendKeyValue(nil, []byte("foo"), 2, 2, 1, []byte("bar"), 0)
	want := []byte("\x0a\x03foo\x10\x02\x18\x02\x20\x01\x2a\x03bar")
	if !bytes.Equal(got, want) {
		t.Fatalf("got %x, want %x", got, want)
	}
}

// TestFrames: small and large frames, given back or passed on.
func TestFrames(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 1024, 1025, 5000, 3 << 20} {
		value := bytes.Repeat([]byte{'v'}, n)
		kv := AppendKeyValue(nil, []byte("k"), 1, 1, 1, value, 0)
		frame := NewRangeResponse(ResponseHeader{Revision: 1}, [][]byte{kv}, false, 1)
		want := bytes.Clone(frame.Bytes())
		buffer := frame.Buffer()
		if !bytes.Equal(buffer.ReadOnlyData(), want) {
			t.Fatalf("%d bytes: the buffer differs from the frame", n)
		}
		buffer.Free()
		again := NewRangeResponse(ResponseHeader{Revision: 1}, [][]byte{kv}, false, 1)
		if !bytes.Equal(again.Bytes(), want) {
			t.Fatalf("%d bytes: a reused buffer changed the message", n)
		}
		again.Free()
	}
}
