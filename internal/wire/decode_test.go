package wire

import (
	"bytes"
	"reflect"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
)

// decoder is one of our decoders beside the generated type it must agree with.
type decoder struct {
	name string
	pb   func() proto.Message
	ours func() unmarshaler
	// want is what ours must decode to when the library decodes to pb.
	want func(proto.Message) unmarshaler
}

type unmarshaler interface{ UnmarshalWire([]byte) error }

func decoders() []decoder {
	return []decoder{
		{"range", func() proto.Message { return new(etcdserverpb.RangeRequest) }, func() unmarshaler { return new(RangeRequest) },
			func(m proto.Message) unmarshaler { return wantRange(m.(*etcdserverpb.RangeRequest)) }},
		{"put", func() proto.Message { return new(etcdserverpb.PutRequest) }, func() unmarshaler { return new(PutRequest) },
			func(m proto.Message) unmarshaler { return wantPut(m.(*etcdserverpb.PutRequest)) }},
		{"deleterange", func() proto.Message { return new(etcdserverpb.DeleteRangeRequest) }, func() unmarshaler { return new(DeleteRangeRequest) },
			func(m proto.Message) unmarshaler { return wantDelete(m.(*etcdserverpb.DeleteRangeRequest)) }},
		{"txn", func() proto.Message { return new(etcdserverpb.TxnRequest) }, func() unmarshaler { return new(TxnRequest) },
			func(m proto.Message) unmarshaler { return wantTxn(m.(*etcdserverpb.TxnRequest)) }},
		{"compaction", func() proto.Message { return new(etcdserverpb.CompactionRequest) }, func() unmarshaler { return new(CompactionRequest) },
			func(m proto.Message) unmarshaler {
				p := m.(*etcdserverpb.CompactionRequest)
				return &CompactionRequest{Revision: p.Revision, Physical: p.Physical}
			}},
		{"watch", func() proto.Message { return new(etcdserverpb.WatchRequest) }, func() unmarshaler { return new(WatchRequest) },
			func(m proto.Message) unmarshaler { return wantWatch(m.(*etcdserverpb.WatchRequest)) }},
		{"leasegrant", func() proto.Message { return new(etcdserverpb.LeaseGrantRequest) }, func() unmarshaler { return new(LeaseGrantRequest) },
			func(m proto.Message) unmarshaler {
				p := m.(*etcdserverpb.LeaseGrantRequest)
				return &LeaseGrantRequest{TTL: p.TTL, ID: base.LeaseID(p.ID)}
			}},
		{"leaserevoke", func() proto.Message { return new(etcdserverpb.LeaseRevokeRequest) }, func() unmarshaler { return new(LeaseRevokeRequest) },
			func(m proto.Message) unmarshaler {
				return &LeaseRevokeRequest{ID: base.LeaseID(m.(*etcdserverpb.LeaseRevokeRequest).ID)}
			}},
		{"leasekeepalive", func() proto.Message { return new(etcdserverpb.LeaseKeepAliveRequest) }, func() unmarshaler { return new(LeaseKeepAliveRequest) },
			func(m proto.Message) unmarshaler {
				return &LeaseKeepAliveRequest{ID: base.LeaseID(m.(*etcdserverpb.LeaseKeepAliveRequest).ID)}
			}},
		{"leasetimetolive", func() proto.Message { return new(etcdserverpb.LeaseTimeToLiveRequest) }, func() unmarshaler { return new(LeaseTimeToLiveRequest) },
			func(m proto.Message) unmarshaler {
				p := m.(*etcdserverpb.LeaseTimeToLiveRequest)
				return &LeaseTimeToLiveRequest{ID: base.LeaseID(p.ID), Keys: p.Keys}
			}},
		{"leaseleases", func() proto.Message { return new(etcdserverpb.LeaseLeasesRequest) }, func() unmarshaler { return new(LeaseLeasesRequest) },
			func(proto.Message) unmarshaler { return new(LeaseLeasesRequest) }},
		{"keyvalue", func() proto.Message { return new(mvccpb.KeyValue) }, func() unmarshaler { return new(KeyValueView) },
			func(m proto.Message) unmarshaler {
				p := m.(*mvccpb.KeyValue)
				return &KeyValueView{Key: p.Key, CreateRevision: p.CreateRevision, ModRevision: p.ModRevision,
					Version: p.Version, Value: p.Value, Lease: base.LeaseID(p.Lease)}
			}},
	}
}

func wantRange(p *etcdserverpb.RangeRequest) *RangeRequest {
	if p == nil {
		return nil
	}
	return &RangeRequest{Key: p.Key, RangeEnd: p.RangeEnd, Limit: p.Limit, Revision: p.Revision,
		SortOrder: int32(p.SortOrder), SortTarget: int32(p.SortTarget),
		Serializable: p.Serializable, KeysOnly: p.KeysOnly, CountOnly: p.CountOnly,
		MinModRevision: p.MinModRevision, MaxModRevision: p.MaxModRevision,
		MinCreateRevision: p.MinCreateRevision, MaxCreateRevision: p.MaxCreateRevision}
}

func wantPut(p *etcdserverpb.PutRequest) *PutRequest {
	if p == nil {
		return nil
	}
	return &PutRequest{Key: p.Key, Value: p.Value, Lease: base.LeaseID(p.Lease),
		PrevKV: p.PrevKv, IgnoreValue: p.IgnoreValue, IgnoreLease: p.IgnoreLease}
}

func wantDelete(p *etcdserverpb.DeleteRangeRequest) *DeleteRangeRequest {
	if p == nil {
		return nil
	}
	return &DeleteRangeRequest{Key: p.Key, RangeEnd: p.RangeEnd, PrevKV: p.PrevKv}
}

func wantTxn(p *etcdserverpb.TxnRequest) *TxnRequest {
	if p == nil {
		return nil
	}
	m := new(TxnRequest)
	for _, c := range p.Compare {
		m.Compare = append(m.Compare, Compare{Result: int32(c.Result), Target: int32(c.Target), Key: c.Key, RangeEnd: c.RangeEnd,
			Version: c.GetVersion(), CreateRevision: c.GetCreateRevision(), ModRevision: c.GetModRevision(),
			Value: c.GetValue(), Lease: base.LeaseID(c.GetLease())})
	}
	ops := func(list []*etcdserverpb.RequestOp) (out []RequestOp) {
		for _, op := range list {
			out = append(out, RequestOp{Range: wantRange(op.GetRequestRange()), Put: wantPut(op.GetRequestPut()),
				DeleteRange: wantDelete(op.GetRequestDeleteRange()), Txn: wantTxn(op.GetRequestTxn())})
		}
		return out
	}
	m.Success, m.Failure = ops(p.Success), ops(p.Failure)
	return m
}

func wantWatch(p *etcdserverpb.WatchRequest) *WatchRequest {
	m := new(WatchRequest)
	if c := p.GetCreateRequest(); c != nil {
		m.Create = &WatchCreateRequest{Key: c.Key, RangeEnd: c.RangeEnd, StartRevision: c.StartRevision,
			ProgressNotify: c.ProgressNotify, PrevKV: c.PrevKv, WatchID: c.WatchId, Fragment: c.Fragment}
		for _, f := range c.Filters {
			m.Create.Filters = append(m.Create.Filters, int32(f))
		}
	}
	if c := p.GetCancelRequest(); c != nil {
		m.Cancel = &WatchCancelRequest{WatchID: c.WatchId}
	}
	m.Progress = p.GetProgressRequest() != nil
	return m
}

// plain forgets what does not matter for equality: Raw, and the difference
// between an empty list and none.
func plain(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			plain(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "Raw" {
				v.Field(i).SetZero()
			}
			plain(v.Field(i))
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
			return
		}
		for i := range v.Len() {
			plain(v.Index(i))
		}
	}
}

// checkDecode holds one decoder against the library on one input.
func checkDecode(t *testing.T, d decoder, input []byte) {
	t.Helper()
	before := bytes.Clone(input)
	pb, ours := d.pb(), d.ours()
	wantErr, gotErr := proto.Unmarshal(input, pb), ours.UnmarshalWire(input)
	if !bytes.Equal(input, before) {
		t.Fatalf("%s: the input was changed", d.name)
	}
	if (wantErr == nil) != (gotErr == nil) || wantErr != nil && wantErr.Error() != gotErr.Error() {
		t.Fatalf("%s of %x\n got error %v\nwant error %v", d.name, input, gotErr, wantErr)
	}
	if wantErr != nil {
		return
	}
	want := d.want(pb)
	plain(reflect.ValueOf(ours))
	plain(reflect.ValueOf(want))
	if !reflect.DeepEqual(ours, want) {
		t.Fatalf("%s of %x\n got %+v\nwant %+v", d.name, input, ours, want)
	}
}

func TestDecodeAgreesWithProto(t *testing.T) {
	g := newGenerator(t, 1)
	for _, d := range decoders() {
		t.Run(d.name, func(t *testing.T) {
			for range 1000 {
				input := g.encoding(t, d.pb())
				checkDecode(t, d, input)
				checkDecode(t, d, g.disturb(input))
			}
		})
	}
}

// TestDecodeCorners holds named corner cases of the wire format against the
// library, for every message.
func TestDecodeCorners(t *testing.T) {
	tag := func(num protowire.Number, typ protowire.Type) []byte { return protowire.AppendTag(nil, num, typ) }
	cases := map[string][]byte{
		"empty":                    {},
		"field number 0":           {0x00, 0x01},
		"largest field number":     append(protowire.AppendVarint(nil, uint64(protowire.MaxValidNumber)<<3), 1),
		"field number too large":   append(protowire.AppendVarint(nil, (uint64(protowire.MaxValidNumber)+1)<<3), 1),
		"tag longer than 10 bytes": bytes.Repeat([]byte{0x80}, 11),
		"tag in long form":         {0x88, 0x80, 0x00, 0x05},
		"varint of 10 bytes":       append([]byte{0x08}, append(bytes.Repeat([]byte{0xff}, 9), 0x01)...),
		"varint overflows":         append([]byte{0x08}, append(bytes.Repeat([]byte{0xff}, 9), 0x02)...),
		"varint cut":               {0x08, 0xff},
		"bytes cut":                {0x0a, 0x05, 'a'},
		"length overflows":         append([]byte{0x0a}, append(bytes.Repeat([]byte{0xff}, 9), 0x01)...),
		"reserved wire type 6":     {0x0e, 0x00},
		"reserved wire type 7":     {0x0f, 0x00},
		"end group without start":  tag(1, protowire.EndGroupType),
		"group not closed":         tag(2, protowire.StartGroupType),
		"group closed by another":  append(tag(2, protowire.StartGroupType), tag(3, protowire.EndGroupType)...),
		"group":                    append(tag(2, protowire.StartGroupType), tag(2, protowire.EndGroupType)...),
		"group over a number that only groups allow": append(append(tag(2, protowire.StartGroupType),
			append(protowire.AppendVarint(nil, uint64(1)<<33), 1)...), tag(2, protowire.EndGroupType)...),
		"groups in groups": append(bytes.Repeat(tag(2, protowire.StartGroupType), 20000),
			bytes.Repeat(tag(2, protowire.EndGroupType), 20000)...),
		"fixed32 cut":       {0x0d, 1, 2, 3},
		"wrong types":       {0x0d, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x18, 3, 0x22, 1, 'x', 0x2a, 1, 1},
		"empty submessages": {0x0a, 0, 0x12, 0, 0x1a, 0, 0x22, 0},
		"packed filters":    {0x0a, 6, 0x2a, 2, 0, 1, 0x28, 1},
		"packed cut":        {0x0a, 4, 0x2a, 2, 0, 0x80},
	}
	for name, input := range cases {
		t.Run(name, func(t *testing.T) {
			for _, d := range decoders() {
				checkDecode(t, d, input)
			}
		})
	}
}

// nested returns a transaction that holds n-1 transactions, one in the other,
// with leaf inside the innermost.
func nested(n int, leaf []byte) []byte {
	// Lengths are known from the inside out, so it is written back to front.
	out := make([]byte, 16*n+len(leaf))
	start := len(out) - copy(out[len(out)-len(leaf):], leaf)
	for range n - 1 {
		for _, tag := range []byte{4<<3 | typeBytes, 2<<3 | typeBytes} {
			prefix := protowire.AppendVarint([]byte{tag}, uint64(len(out)-start))
			start -= len(prefix)
			copy(out[start:], prefix)
		}
	}
	return out[start:]
}

// TestNestingLimit walks around the depth at which the library gives up. A
// level of nesting is two messages: the operation and the transaction in it.
func TestNestingLimit(t *testing.T) {
	txn := decoders()[3]
	leaves := map[string][]byte{
		"none":      nil,
		"compare":   {0x0a, 0},
		"empty op":  {0x12, 0},
		"range op":  {0x12, 2, 0x0a, 0},
		"put op":    {0x12, 2, 0x12, 0},
		"delete op": {0x1a, 2, 0x1a, 0},
		"bad":       {0x12, 2, 0x12, 5},
	}
	for name, leaf := range leaves {
		for n := 4998; n <= 5002; n++ {
			t.Run(name, func(t *testing.T) { checkDecode(t, txn, nested(n, leaf)) })
		}
	}
}

// TestOneofMerges: a member that appears again is merged, another one starts
// afresh, and what was in the first does not come back.
func TestOneofMerges(t *testing.T) {
	put := func(fields ...byte) []byte { return append([]byte{0x12, byte(len(fields))}, fields...) }
	rng := []byte{0x0a, 3, 0x0a, 1, 'r'}
	ops := [][]byte{
		append(put(0x0a, 1, 'k'), put(0x12, 1, 'v')...),
		append(put(0x0a, 1, 'k'), rng...),
		append(append(put(0x0a, 1, 'k'), rng...), put(0x12, 1, 'v')...),
		{0x22, 2, 0x12, 0, 0x22, 2, 0x1a, 0},
	}
	for _, op := range ops {
		checkDecode(t, decoders()[3], append([]byte{0x12, byte(len(op))}, op...))
	}
	for _, compare := range [][]byte{{0x20, 7, 0x3a, 1, 'v'}, {0x3a, 1, 'v', 0x40, 9}, {0x3a, 1, 'v', 0x20, 0}, {0x28, 3, 0x20, 0x80}} {
		checkDecode(t, decoders()[3], append([]byte{0x0a, byte(len(compare))}, compare...))
	}
}

func TestRawIsTheInput(t *testing.T) {
	input := []byte{0x0a, 1, 'k', 0x12, 1, 'v'}
	var put PutRequest
	if err := put.UnmarshalWire(input); err != nil {
		t.Fatal(err)
	}
	if &put.Raw[0] != &input[0] || len(put.Raw) != len(input) || &put.Key[0] != &input[2] {
		t.Fatal("Raw and Key do not alias the input")
	}
	if grown := append(put.Key, 'x'); &grown[0] == &input[2] {
		t.Fatal("appending to the key would write into the received message")
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range [][]byte{{}, {0x0a, 1, 'k', 0x12, 1, 'v'}, {0x0a, 4, 0x08, 1, 0x20, 0, 0x12, 5, 0x12, 3, 0x0a, 1, 'k'}, {0x0a, 6, 0x2a, 2, 0, 1, 0x28, 1}, {0x13, 0x14}, {0x80}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, d := range decoders() {
			checkDecode(t, d, input)
		}
	})
}
