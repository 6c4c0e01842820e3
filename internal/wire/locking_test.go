package wire

import (
	"bytes"
	"reflect"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"keelson/internal/base"
)

// lockingSchema describes the messages of Lock and Election, whose generated
// types cannot be imported, as the reference (api.md 1.2) lists them.
func lockingSchema(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()
	bytesField, int64Field := descriptorpb.FieldDescriptorProto_TYPE_BYTES, descriptorpb.FieldDescriptorProto_TYPE_INT64
	field := func(name string, num int32, typ descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{Name: &name, Number: &num, Type: &typ,
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	}
	sub := func(name string, num int32, of string) *descriptorpb.FieldDescriptorProto {
		f := field(name, num, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE)
		f.TypeName = &of
		return f
	}
	message := func(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: &name, Field: fields}
	}
	header := sub("header", 1, ".etcdserverpb.ResponseHeader")
	leader := func(num int32) *descriptorpb.FieldDescriptorProto { return sub("leader", num, ".locking.LeaderKey") }
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("locking.proto"), Package: proto.String("locking"), Syntax: proto.String("proto3"),
		Dependency: []string{etcdserverpb.File_rpc_proto.Path(), "kv.proto"},
		MessageType: []*descriptorpb.DescriptorProto{
			message("LockRequest", field("name", 1, bytesField), field("lease", 2, int64Field)),
			message("LockResponse", header, field("key", 2, bytesField)),
			message("UnlockRequest", field("key", 1, bytesField)),
			message("HeaderResponse", header),
			message("CampaignRequest", field("name", 1, bytesField), field("lease", 2, int64Field), field("value", 3, bytesField)),
			message("CampaignResponse", header, leader(2)),
			message("LeaderKey", field("name", 1, bytesField), field("key", 2, bytesField), field("rev", 3, int64Field), field("lease", 4, int64Field)),
			message("ProclaimRequest", leader(1), field("value", 2, bytesField)),
			message("ResignRequest", leader(1)),
			message("LeaderRequest", field("name", 1, bytesField)),
			message("LeaderResponse", header, sub("kv", 2, ".mvccpb.KeyValue")),
		},
	}
	fd, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// dynamic reads fields of a message without a generated type by name.
type dynamic struct{ m protoreflect.Message }

func (d dynamic) get(name string) protoreflect.Value {
	return d.m.Get(d.m.Descriptor().Fields().ByName(protoreflect.Name(name)))
}
func (d dynamic) bytes(name string) []byte       { return d.get(name).Bytes() }
func (d dynamic) int(name string) int64          { return d.get(name).Int() }
func (d dynamic) lease(name string) base.LeaseID { return base.LeaseID(d.int(name)) }
func (d dynamic) sub(name string) dynamic        { return dynamic{d.get(name).Message()} }

// leaderKey is nil when the field is absent.
func (d dynamic) leaderKey() *LeaderKey {
	k := d.sub("leader")
	if !k.m.IsValid() {
		return nil
	}
	return &LeaderKey{Name: k.bytes("name"), Key: k.bytes("key"), Rev: k.int("rev"), Lease: k.lease("lease")}
}

func (d dynamic) header() ResponseHeader {
	h := d.sub("header")
	return ResponseHeader{ClusterID: h.get("cluster_id").Uint(), MemberID: h.get("member_id").Uint(),
		Revision: h.int("revision"), RaftTerm: h.get("raft_term").Uint()}
}

func TestLockingRequestsAgreeWithProto(t *testing.T) {
	schema := lockingSchema(t)
	g := newGenerator(t, 6)
	cases := map[string]struct {
		ours func() unmarshaler
		want func(dynamic) unmarshaler
	}{
		"LockRequest": {func() unmarshaler { return new(LockRequest) }, func(d dynamic) unmarshaler {
			return &LockRequest{Name: d.bytes("name"), Lease: d.lease("lease")}
		}},
		"UnlockRequest": {func() unmarshaler { return new(UnlockRequest) }, func(d dynamic) unmarshaler {
			return &UnlockRequest{Key: d.bytes("key")}
		}},
		"CampaignRequest": {func() unmarshaler { return new(CampaignRequest) }, func(d dynamic) unmarshaler {
			return &CampaignRequest{Name: d.bytes("name"), Lease: d.lease("lease"), Value: d.bytes("value")}
		}},
		"ProclaimRequest": {func() unmarshaler { return new(ProclaimRequest) }, func(d dynamic) unmarshaler {
			return &ProclaimRequest{Leader: d.leaderKey(), Value: d.bytes("value")}
		}},
		"ResignRequest": {func() unmarshaler { return new(ResignRequest) }, func(d dynamic) unmarshaler {
			return &ResignRequest{Leader: d.leaderKey()}
		}},
		"LeaderRequest": {func() unmarshaler { return new(LeaderRequest) }, func(d dynamic) unmarshaler {
			return &LeaderRequest{Name: d.bytes("name")}
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			md := schema.Messages().ByName(protoreflect.Name(name))
			d := decoder{name: name, ours: c.ours,
				pb:   func() proto.Message { return dynamicpb.NewMessage(md) },
				want: func(m proto.Message) unmarshaler { return c.want(dynamic{m.ProtoReflect()}) }}
			for range 300 {
				input := g.encoding(t, d.pb())
				checkDecode(t, d, input)
				checkDecode(t, d, g.disturb(input))
			}
		})
	}
}

func TestLockingResponsesEqualProto(t *testing.T) {
	schema := lockingSchema(t)
	g := newGenerator(t, 7)
	cases := map[string]func(dynamic) *Frame{
		"LockResponse":   func(d dynamic) *Frame { return NewLockResponse(d.header(), d.bytes("key")) },
		"HeaderResponse": func(d dynamic) *Frame { return NewHeaderResponse(d.header()) },
		"CampaignResponse": func(d dynamic) *Frame {
			return NewCampaignResponse(d.header(), *d.leaderKey())
		},
		"LeaderResponse": func(d dynamic) *Frame {
			return NewLeaderResponse(d.header(), append([]byte{}, marshal(t, d.sub("kv").m.Interface())...))
		},
	}
	for name, encode := range cases {
		t.Run(name, func(t *testing.T) {
			md := schema.Messages().ByName(protoreflect.Name(name))
			for range 200 {
				m := dynamicpb.NewMessage(md)
				g.fill(m, 3)
				for i := range md.Fields().Len() { // every sub-message is present
					if fd := md.Fields().Get(i); fd.Message() != nil {
						m.Mutable(fd)
					}
				}
				frame, want := encode(dynamic{m}), marshal(t, m)
				if !bytes.Equal(frame.Bytes(), want) {
					t.Fatalf("%v\n got %x\nwant %x", m, frame.Bytes(), want)
				}
			}
		})
	}
}

func TestResignForgetsTheFormerLeader(t *testing.T) {
	m := ResignRequest{Leader: &LeaderKey{Rev: 1}}
	if err := m.UnmarshalWire(nil); err != nil || !reflect.DeepEqual(m, ResignRequest{}) {
		t.Fatalf("%+v, %v", m, err)
	}
}
