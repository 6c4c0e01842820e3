package e2e

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// rawCodec sends and receives bytes as they are, so that a test can say things
// no generated message can.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, errors.New("not bytes")
	}
	return *b, nil
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return errors.New("not bytes")
	}
	*b = append([]byte(nil), data...)
	return nil
}

// rawCall makes one call with a message of plain bytes.
func rawCall(ctx context.Context, c *grpc.ClientConn, method string, request []byte) (answer []byte, err error) {
	err = c.Invoke(ctx, method, &request, &answer, grpc.ForceCodec(rawCodec{}))
	return answer, err
}

// statusOf is the status of a call that failed.
func statusOf(err error) (*status.Status, bool) {
	if err == nil {
		return nil, false
	}
	return status.FromError(err)
}

// wantStatus checks code and text of an error.
func wantStatus(t *testing.T, what string, err error, code codes.Code, text string) {
	t.Helper()
	if s, ok := statusOf(err); !ok || s.Code() != code || s.Message() != text {
		t.Errorf("%s: %v, want %v %q", what, err, code, text)
	}
}

// fields builds a message: strings, byte slices and nested messages by number.
type fields []byte

func (f fields) bytes(n protowire.Number, b []byte) fields {
	return protowire.AppendBytes(protowire.AppendTag(f, n, protowire.BytesType), b)
}

func (f fields) text(n protowire.Number, s string) fields { return f.bytes(n, []byte(s)) }

func (f fields) int(n protowire.Number, v int64) fields {
	return protowire.AppendVarint(protowire.AppendTag(f, n, protowire.VarintType), uint64(v))
}

// field finds a length-delimited field of an answer.
func field(t *testing.T, message []byte, want protowire.Number) []byte {
	t.Helper()
	for rest := message; len(rest) > 0; {
		n, typ, size := protowire.ConsumeTag(rest)
		if size < 0 {
			t.Fatalf("bad message %x", message)
		}
		rest = rest[size:]
		if n == want && typ == protowire.BytesType {
			b, _ := protowire.ConsumeBytes(rest)
			return b
		}
		if size = protowire.ConsumeFieldValue(n, typ, rest); size < 0 {
			t.Fatalf("bad message %x", message)
		}
		rest = rest[size:]
	}
	return nil
}
