package wire

import (
	"bytes"
	"encoding/hex"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// kindFields lists the message fields of the schema that are requests.
func kindFields() (out []protoreflect.FieldDescriptor) {
	fields := new(etcdserverpb.InternalRaftRequest).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if fd := fields.Get(i); fd.Message() != nil && fd.Number() != raftFieldHeader {
			out = append(out, fd)
		}
	}
	return out
}

// TestKindsAreTheSchema: no kind is missing and none is invented, because an
// unknown one stops every etcd member.
func TestKindsAreTheSchema(t *testing.T) {
	inSchema := map[Kind]bool{}
	for _, fd := range kindFields() {
		inSchema[Kind(fd.Number())] = true
	}
	for k := Kind(0); k < 10000; k++ {
		if k.Known() != inSchema[k] {
			t.Errorf("kind %d: known %v, in etcd's schema %v", k, k.Known(), inSchema[k])
		}
	}
}

func TestRaftRequestEqualsProto(t *testing.T) {
	g := newGenerator(t, 5)
	for _, fd := range kindFields() {
		t.Run(string(fd.Name()), func(t *testing.T) {
			for i := range 50 {
				m := new(etcdserverpb.InternalRaftRequest)
				m.Header = new(etcdserverpb.RequestHeader)
				sub := m.ProtoReflect().Mutable(fd).Message()
				if i > 0 {
					g.fill(m.Header.ProtoReflect(), 1)
					g.fill(sub, 4)
				}
				header := RequestHeader{ID: m.Header.ID, Username: m.Header.Username, AuthRevision: m.Header.AuthRevision}
				body := marshal(t, sub.Interface())
				want := marshal(t, m)

				got := AppendRaftRequest(nil, header, Kind(fd.Number()), body)
				if !bytes.Equal(got, want) {
					t.Fatalf("%v\n got %x\nwant %x", m, got, want)
				}
				if n := SizeRaftRequest(header, Kind(fd.Number()), len(body)); n != len(got) {
					t.Fatalf("size %d, want %d", n, len(got))
				}
				parsed, err := ParseRaftRequest(got)
				if err != nil || parsed.Header != header || parsed.Kind != Kind(fd.Number()) || !bytes.Equal(parsed.Body, body) {
					t.Fatalf("parsed %+v, %v", parsed, err)
				}
			}
		})
	}
}

func TestParseRaftRequest(t *testing.T) {
	cases := []struct {
		name, in string // hex
		kind     Kind
		id       uint64
		body     string // hex
		err      bool
	}{
		{name: "empty", in: ""},
		{name: "seen in an etcd log", in: "a206020805a251070a05332e372e30", kind: KindClusterVersionSet, id: 5, body: "0a05332e372e30"},
		{name: "empty request", in: "a206020805c23e00", kind: KindAuthEnable, id: 5},
		{name: "the old id wins", in: "0807a206020805" + "2200", kind: KindPut, id: 7},
		{name: "unknown fields are skipped", in: "8a7d00" + "2200" + "1803", kind: KindPut},
		{name: "a request in two parts", in: "22030a016b" + "2203120176", kind: KindPut, body: "0a016b120176"},
		{name: "a header in two parts", in: "a206020805" + "a206020806" + "2200", kind: KindPut, id: 6},
		{name: "two requests", in: "22002a00", err: true},
		{name: "cut", in: "22030a", err: true},
		{name: "cut header", in: "a2060108", err: true},
		{name: "user name is not UTF-8", in: "a206031201ff", err: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in, err := hex.DecodeString(c.in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseRaftRequest(in)
			if (err != nil) != c.err {
				t.Fatalf("error %v, want one: %v", err, c.err)
			}
			if got.Kind != c.kind || got.Header.ID != c.id || hex.EncodeToString(got.Body) != c.body {
				t.Fatalf("got %+v", got)
			}
		})
	}
}

// TestParseLeavesInputAlone: joining a request in two parts must not write
// over the bytes behind the first part.
func TestParseLeavesInputAlone(t *testing.T) {
	in := []byte{0x22, 3, 0x0a, 1, 'k', 0x22, 3, 0x12, 1, 'v'}
	before := bytes.Clone(in)
	if _, err := ParseRaftRequest(in); err != nil || !bytes.Equal(in, before) {
		t.Fatalf("err %v, input now %x", err, in)
	}
}

func FuzzParseRaftRequest(f *testing.F) {
	for _, seed := range []string{"", "a206020805a251070a05332e372e30", "0807a2060208052200", "22002a00"} {
		b, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := ParseRaftRequest(in)
		if err != nil || got.Kind == 0 {
			return
		}
		// What parses wraps again into something that says the same.
		again, err := ParseRaftRequest(AppendRaftRequest(nil, got.Header, got.Kind, got.Body))
		if err != nil || again.Header != got.Header || again.Kind != got.Kind || !bytes.Equal(again.Body, got.Body) {
			t.Fatalf("%x: %+v became %+v (%v)", in, got, again, err)
		}
		// The library may still refuse the body; where it accepts all, the
		// envelope reads the same.
		pb := new(etcdserverpb.InternalRaftRequest)
		if proto.Unmarshal(in, pb) == nil {
			id := pb.ID
			if id == 0 {
				id = pb.GetHeader().GetID()
			}
			if id != got.Header.ID || pb.GetHeader().GetUsername() != got.Header.Username {
				t.Fatalf("%x: header %+v, library %v", in, got.Header, pb)
			}
		}
	})
}
