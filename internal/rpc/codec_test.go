package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"keelson/internal/errs"
	"keelson/internal/wire"
)

// TestCodecCopies: the engine reuses its read buffer, the request must not.
func TestCodecCopies(t *testing.T) {
	in := []byte{0x0a, 1, 'k', 0x12, 1, 'v'}
	var put wire.PutRequest
	if err := NewCodec(nil).Unmarshal(mem.BufferSlice{mem.SliceBuffer(in[:4]), mem.SliceBuffer(in[4:])}, &put); err != nil {
		t.Fatal(err)
	}
	clear(in)
	if string(put.Key) != "k" || string(put.Value) != "v" || len(put.Raw) != 6 {
		t.Errorf("got %+v", put)
	}
}

func TestCodecMarshal(t *testing.T) {
	c := NewCodec(nil)
	small := &pb.StatusResponse{Version: "3.7.1"}
	large := &pb.SnapshotResponse{Blob: bytes.Repeat([]byte{'x'}, 40000)}
	for _, m := range []proto.Message{small, large} {
		want, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Marshal(m)
		if err != nil || !bytes.Equal(got.Materialize(), want) {
			t.Errorf("%d bytes: differs, %v", len(want), err)
		}
		got.Free()
	}
	if _, err := c.Marshal(&pb.StatusResponse{Version: "\xff"}); err == nil {
		t.Error("a string that is not UTF-8 was encoded")
	}
	if _, err := c.Marshal("text"); err == nil {
		t.Error("a string was encoded")
	}
	if err := c.Unmarshal(nil, new(int)); err == nil {
		t.Error("decoded into an int")
	}
}

func TestStatusOfEveryRefusal(t *testing.T) {
	for _, e := range errs.All() {
		wrapped := fmt.Errorf("range [a, b): %w", e)
		wantStatus(t, toStatus(wrapped).Err(), codes.Code(e.Code), e.Text)
	}
}

func TestStatusOfOthers(t *testing.T) {
	cases := []struct {
		err  error
		code codes.Code
		text string
	}{
		{errors.New("something else"), codes.Unknown, "something else"},
		{context.Canceled, codes.Canceled, "context canceled"},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "context deadline exceeded"},
		{status.Error(codes.Aborted, "as it is"), codes.Aborted, "as it is"},
		{errs.New(errs.NotFound, "made up"), codes.NotFound, "made up"},
	}
	for _, c := range cases {
		wantStatus(t, toStatus(c.err).Err(), c.code, c.text)
	}
}

// putHandler is what an engine finds for KV.Put.
func putHandler(tb testing.TB, m *fakeMember) grpc.MethodHandler {
	tb.Helper()
	var handler grpc.MethodHandler
	Register(registrar(func(desc *grpc.ServiceDesc) {
		for _, method := range desc.Methods {
			if desc.ServiceName == "etcdserverpb.KV" && method.MethodName == "Put" {
				handler = method.Handler
			}
		}
	}), Deps{KV: silentKV{m}, Lease: m, Cluster: m, Maintenance: m, Info: m, Quota: m, Leader: m, MaxTxnOps: 128}, nil)
	return handler
}

type registrar func(*grpc.ServiceDesc)

func (r registrar) RegisterService(desc *grpc.ServiceDesc, _ any) { r(desc) }

// silentKV answers without allocating.
type silentKV struct{ KV }

func (silentKV) Put(context.Context, *wire.PutRequest) (*wire.Frame, error) { return nil, nil }

// putCall runs KV.Put from the received bytes to the server and back.
func putCall(tb testing.TB) func() {
	tb.Helper()
	raw, err := proto.Marshal(&pb.PutRequest{Key: make([]byte, 40), Value: make([]byte, 512)})
	if err != nil {
		tb.Fatal(err)
	}
	handler, codec := putHandler(tb, &fakeMember{}), NewCodec(nil)
	data := mem.BufferSlice{mem.SliceBuffer(raw)}
	decode := func(v any) error { return codec.Unmarshal(data, v) }
	ctx := tb.Context()
	return func() {
		if _, err := handler(nil, ctx, decode, nil); err != nil {
			tb.Fatal(err)
		}
	}
}

// TestPutAllocations: the request, and the copy of its bytes.
func TestPutAllocations(t *testing.T) {
	if got := testing.AllocsPerRun(100, putCall(t)); got > 2 {
		t.Errorf("%v allocations from the received bytes to the server, at most 2 allowed", got)
	}
}

func BenchmarkPut(b *testing.B) {
	call := putCall(b)
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}
