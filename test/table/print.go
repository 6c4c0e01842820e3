package table

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// message prints an answer in the form of the table: fields by number, those
// that belong to a member or to a moment replaced by what must hold for them.
func (s *scene) message(m proto.Message) string {
	switch m := m.(type) {
	case *pb.LeaseTimeToLiveResponse:
		slices.SortFunc(m.Keys, bytes.Compare) // their order is not defined
	case *pb.LeaseLeasesResponse:
		m.Leases = slices.DeleteFunc(m.Leases, func(l *pb.LeaseStatus) bool { return !s.owns(l.ID) })
	}
	if text := s.fields(m.ProtoReflect()); text != "" {
		return text
	}
	return "empty"
}

func (s *scene) owns(lease int64) bool { return lease > s.lease && lease < s.lease+16 }

// fields prints all fields that are set, and any the schema does not know.
func (s *scene) fields(m protoreflect.Message) string {
	var out []string
	all := m.Descriptor().Fields()
	for i := range all.Len() {
		f := all.Get(i)
		if !m.Has(f) {
			continue
		}
		value := m.Get(f)
		switch {
		case f.IsMap():
			entries := value.Map()
			var keys []string
			entries.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				keys = append(keys, fmt.Sprintf("%s{%q %s}", f.Name(), k.String(), s.fields(v.Message())))
				return true
			})
			slices.Sort(keys)
			out = append(out, keys...)
		case f.IsList():
			for j := range value.List().Len() {
				out = append(out, s.field(m, f, value.List().Get(j)))
			}
		default:
			out = append(out, s.field(m, f, value))
		}
	}
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		out = append(out, fmt.Sprintf("unknown:%x", []byte(unknown)))
	}
	return strings.Join(out, " ")
}

func (s *scene) field(in protoreflect.Message, f protoreflect.FieldDescriptor, value protoreflect.Value) string {
	name := string(f.Name())
	if text, masked := s.mask(in.Descriptor().Name(), name, value); masked {
		return name + ":" + text
	}
	switch f.Kind() {
	case protoreflect.MessageKind:
		if f.Message().FullName() == "etcdserverpb.ResponseHeader" {
			return s.header(value.Message())
		}
		return name + "{" + s.fields(value.Message()) + "}"
	case protoreflect.BytesKind:
		return name + ":" + s.quote(value.Bytes())
	case protoreflect.StringKind:
		return name + ":" + s.quote([]byte(value.String()))
	case protoreflect.EnumKind:
		if v := f.Enum().Values().ByNumber(value.Enum()); v != nil {
			return name + ":" + string(v.Name())
		}
		return fmt.Sprintf("%s:%d", name, value.Enum())
	case protoreflect.Int64Kind:
		return name + ":" + s.number(in, name, value.Int())
	}
	return fmt.Sprintf("%s:%v", name, value.Interface())
}

// mask replaces what belongs to the member that answers.
func (s *scene) mask(in protoreflect.Name, name string, value protoreflect.Value) (text string, masked bool) {
	switch {
	case in == "Member" && name == "ID", in == "AlarmMember" && name == "memberID", in == "StatusResponse" && name == "leader":
		if value.Uint() == s.memberID {
			return "<self>", true
		}
	case in == "Member" && strings.HasSuffix(name, "URLs"):
		return "<url>", true
	case in == "StatusResponse" && (strings.HasPrefix(name, "raft") || name == "dbSize" || name == "dbSizeInUse"):
		return "<number>", true
	case in == "StatusResponse" && name == "errors":
		// The text form of protobuf has one space or two, on purpose.
		text := strings.ReplaceAll(value.String(), "  ", " ")
		return strconv.Quote(strings.ReplaceAll(text, strconv.FormatUint(s.memberID, 10), "<self>")), true
	}
	return "", false
}

// header prints what the API promises of a header: all four fields, the
// revision only, or nothing.
func (s *scene) header(m protoreflect.Message) string {
	h := &pb.ResponseHeader{}
	proto.Merge(h, m.Interface())
	revision := "0"
	if h.Revision != 0 {
		revision = s.relative(h.Revision)
	}
	switch {
	case h.ClusterId == s.cluster && h.MemberId == s.memberID && h.RaftTerm != 0:
		return "header{" + revision + "}"
	case h.ClusterId == 0 && h.MemberId == 0 && h.RaftTerm == 0 && h.Revision == 0:
		return "header{}"
	case h.ClusterId == 0 && h.MemberId == 0 && h.RaftTerm == 0:
		return "header{" + revision + " bare}"
	}
	return fmt.Sprintf("header{%s cluster:%x member:%x term:%d}", revision, h.ClusterId, h.MemberId, h.RaftTerm)
}

// number prints an integer by the meaning of its field.
func (s *scene) number(in protoreflect.Message, name string, n int64) string {
	switch {
	case strings.HasSuffix(name, "revision") || name == "rev":
		return s.relative(n)
	case name == "ID" || name == "lease":
		if s.owns(n) {
			return fmt.Sprintf("$L%d", n-s.lease)
		}
		if s.owns(-n) {
			return fmt.Sprintf("-$L%d", -n-s.lease)
		}
		if n > leaseBase*2 {
			return "<chosen>"
		}
	case name == "TTL" && in.Descriptor().Name() == "LeaseTimeToLiveResponse":
		granted := in.Get(in.Descriptor().Fields().ByName("grantedTTL")).Int()
		if n < granted && n > granted-60 && n >= 0 {
			return "<left>"
		}
	}
	return strconv.FormatInt(n, 10)
}

// relative prints a revision by its distance from the one the row began with.
func (s *scene) relative(n int64) string {
	switch {
	case n <= 0:
		return strconv.FormatInt(n, 10)
	case n == s.revision:
		return "R"
	}
	return fmt.Sprintf("R%+d", n-s.revision)
}

// chosenLease matches what the server chose at the end of a lock's key.
var chosenLease = regexp.MustCompile(`/[0-9a-f]{12,16}$`)

// quote prints bytes with the row's own names in their place.
func (s *scene) quote(b []byte) string {
	text := strings.ReplaceAll(string(b), s.prefix, "~")
	for i := int64(1); i < 16; i++ {
		text = strings.ReplaceAll(text, strconv.FormatInt(s.lease+i, 16), fmt.Sprintf("$x%d", i))
	}
	text = chosenLease.ReplaceAllString(text, "/<hex>")
	if len(text) > 200 {
		return fmt.Sprintf("%s...(%d bytes)", strconv.QuoteToASCII(text[:10]), len(text))
	}
	return strconv.QuoteToASCII(text)
}
