package rpc

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"keelson/internal/wire"
)

// Codec is the message encoding of the services: hot requests decode by their
// own UnmarshalWire, frames are spliced as they are, everything else goes
// through proto. It implements grpc's encoding.CodecV2 under the name "proto",
// so that clients see nothing but protobuf.
type Codec struct {
	observer Observer
}

// NewCodec makes a codec that reports message sizes to o, which may be nil.
func NewCodec(o Observer) Codec { return Codec{observer: orDiscard(o)} }

// Name is the content subtype.
func (Codec) Name() string { return "proto" }

// wireRequest is a request with a decoder of its own. It keeps the bytes.
type wireRequest interface {
	UnmarshalWire(b []byte) error
}

// unaryRequest is what a unary method asks the codec to decode into. A request
// that cannot be decoded is no error of the codec but noted here, because
// grpc-go would send its own words for it, and clients know other ones.
type unaryRequest struct {
	into any
	err  error
}

// Unmarshal decodes data into v. The engine reuses data's memory afterwards,
// so a request that keeps its bytes gets a copy: the one copy between the
// socket and the raft entry.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	c.observer.BytesReceived(data.Len())
	if unary, ok := v.(*unaryRequest); ok {
		unary.err = decode(data, unary.into)
		return nil
	}
	return decode(data, v)
}

func decode(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case wireRequest:
		return m.UnmarshalWire(data.Materialize())
	case proto.Message:
		buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
		defer buf.Free()
		return proto.Unmarshal(buf.ReadOnlyData(), m)
	}
	return fmt.Errorf("cannot decode into %T: neither a wire request nor a proto message", v)
}

// Marshal encodes v. A frame's buffer goes to the engine, which gives it back
// to the pool when the bytes are written; the frame must not be used again.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *wire.Frame:
		c.observer.BytesSent(len(m.Bytes()))
		return mem.BufferSlice{m.Buffer()}, nil
	case proto.Message:
		size := proto.Size(m)
		buf := wire.GetBuffer(size)
		out, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(*buf, m)
		if err != nil {
			wire.PutBuffer(buf)
			return nil, err
		}
		*buf = out
		c.observer.BytesSent(size)
		return mem.BufferSlice{mem.NewBuffer(buf, mem.DefaultBufferPool())}, nil
	}
	return nil, fmt.Errorf("cannot encode %T: neither a frame nor a proto message", v)
}
