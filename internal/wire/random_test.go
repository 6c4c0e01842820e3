package wire

import (
	"math"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// generator makes random messages and random damage. Everything follows from
// the seed, which failures print.
type generator struct{ *rand.Rand }

func newGenerator(t *testing.T, seed uint64) generator {
	t.Helper()
	t.Logf("seed %d", seed)
	return generator{rand.New(rand.NewPCG(seed, 1))}
}

// fill sets a random part of m's fields, sub-messages to the given depth.
func (g generator) fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		isMessage := fd.Kind() == protoreflect.MessageKind
		if g.IntN(3) == 0 || isMessage && depth == 0 {
			continue
		}
		switch {
		case fd.IsList() && isMessage:
			for range g.IntN(4) {
				g.fill(m.Mutable(fd).List().AppendMutable().Message(), depth-1)
			}
		case fd.IsList():
			for range g.IntN(4) {
				m.Mutable(fd).List().Append(g.scalar(fd))
			}
		case isMessage:
			g.fill(m.Mutable(fd).Message(), depth-1)
		default:
			m.Set(fd, g.scalar(fd))
		}
	}
}

func (g generator) scalar(fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(g.IntN(2) == 0)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(g.bytes())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"", "x", "größe", "etcdserver: no"}[g.IntN(4)])
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(g.integer())))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(g.integer())
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(g.integer()))
	}
	panic("no random value for " + fd.Kind().String())
}

func (g generator) integer() int64 {
	choices := []int64{0, 1, -1, 5, 127, 128, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64, g.Int64()}
	return choices[g.IntN(len(choices))]
}

func (g generator) bytes() []byte {
	b := make([]byte, []int{0, 1, 3, 40, 127, 128, 300}[g.IntN(7)])
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// encoding is a valid encoding of m, or two after each other, which merge.
func (g generator) encoding(t *testing.T, m proto.Message) []byte {
	t.Helper()
	var out []byte
	for range 1 + g.IntN(2) {
		proto.Reset(m)
		g.fill(m.ProtoReflect(), 4)
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

// disturb adds what a decoder must skip or refuse: unknown fields, groups,
// wrong wire types, long varints, flipped bytes, cut ends.
func (g generator) disturb(b []byte) []byte {
	switch g.IntN(8) {
	case 0: // intact
	case 1:
		b = append(protowire.AppendVarint(b, uint64(g.IntN(16)<<3|typeGroup)), g.bytes()...)
	case 2:
		num := protowire.Number(1 + g.IntN(12))
		b = protowire.AppendTag(b, num, protowire.StartGroupType)
		b = protowire.AppendTag(b, 3, protowire.VarintType)
		b = protowire.AppendVarint(b, 7)
		b = protowire.AppendTag(b, num, protowire.EndGroupType)
	case 3:
		b = protowire.AppendTag(b, protowire.Number(1+g.IntN(12)), protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, 9)
	case 4:
		b = protowire.AppendTag(b, protowire.Number(1+g.IntN(12)), protowire.VarintType)
		b = append(b, 0x81, 0x80, 0x80, 0x00) // 1, not in its shortest form
	case 5:
		b = protowire.AppendTag(b, protowire.Number(1+g.IntN(12)), protowire.BytesType)
		b = protowire.AppendBytes(b, g.bytes())
	case 6:
		if len(b) > 0 {
			b[g.IntN(len(b))] = byte(g.Uint32())
		}
	case 7:
		if len(b) > 0 {
			b = b[:g.IntN(len(b))]
		}
	}
	return b
}
