package wire

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Wire types, the low three bits of a tag.
const (
	typeVarint = 0
	typeI64    = 1
	typeBytes  = 2
	typeGroup  = 3
	typeEnd    = 4
	typeI32    = 5
)

// maxDepth is how many messages may be nested in each other, as in proto.
const maxDepth = protowire.DefaultRecursionLimit

// reader walks the fields of one message.
type reader struct {
	b []byte // what is left
}

// field is one field of a message. A message's decoder switches over tag:
// a known number with another wire type than the schema's falls through, which
// is protobuf's rule (such a field is treated as unknown).
type field struct {
	tag uint64 // number<<3 | wire type
	num uint64 // value of a varint field
	sub []byte // value of a length-delimited field; aliases the input
}

// int and bool read a varint as the scalar kinds of the schema do.
func (f *field) int() int64   { return int64(f.num) }
func (f *field) enum() int32  { return int32(f.num) }
func (f *field) isTrue() bool { return f.num != 0 }

// next reads one field, tag and value. The value's shape is checked even when
// nobody wants it. Call it while len(r.b) > 0.
func (r *reader) next(f *field) error {
	tag, err := r.varint()
	if err != nil {
		return err
	}
	if n := tag >> 3; n < uint64(protowire.MinValidNumber) || n > uint64(protowire.MaxValidNumber) {
		return errMalformed{}
	}
	f.tag = tag
	switch tag & 7 {
	case typeVarint:
		f.num, err = r.varint()
		return err
	case typeBytes:
		f.sub, err = r.bytes()
		return err
	}
	// Fixed-size values, groups and reserved wire types: nothing of ours uses
	// them, they are only skipped. An end-group tag has no value to skip and
	// is refused here, because no group was opened at this level.
	n := protowire.ConsumeFieldValue(protowire.Number(tag>>3), protowire.Type(tag&7), r.b)
	if n < 0 {
		return errMalformed{}
	}
	r.b = r.b[n:]
	return nil
}

func (r *reader) varint() (uint64, error) {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := uint64(r.b[0])
		r.b = r.b[1:]
		return v, nil
	}
	v, n := protowire.ConsumeVarint(r.b)
	if n < 0 {
		return 0, errMalformed{}
	}
	r.b = r.b[n:]
	return v, nil
}

func (r *reader) bytes() ([]byte, error) {
	n, err := r.varint()
	if err != nil {
		return nil, err
	}
	if n > uint64(len(r.b)) {
		return nil, errMalformed{}
	}
	// The capacity is cut, so that appending to a field never writes into the
	// neighbour that follows it.
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v, nil
}

// enums appends the values of a repeated enum field, packed or not.
func (f *field) enums(dst []int32) ([]int32, error) {
	if f.tag&7 == typeVarint {
		return append(dst, f.enum()), nil
	}
	packed := reader{b: f.sub}
	for len(packed.b) > 0 {
		v, err := packed.varint()
		if err != nil {
			return dst, err
		}
		dst = append(dst, int32(v))
	}
	return dst, nil
}
