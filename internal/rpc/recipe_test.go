package rpc

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/watch"
)

// message encodes fields numbered from 1: byte strings and integers, nil for
// an absent one.
func message(fields ...any) (b []byte) {
	for i, f := range fields {
		num := protowire.Number(i + 1)
		switch v := f.(type) {
		case string:
			b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), []byte(v))
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
		}
	}
	return b
}

// field returns the bytes of a field of an encoded message.
func fieldOf(t *testing.T, b []byte, want protowire.Number) []byte {
	t.Helper()
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatalf("malformed response %x", b)
		}
		b = b[n:]
		m := protowire.ConsumeFieldValue(num, typ, b)
		if m < 0 {
			t.Fatalf("malformed response %x", b)
		}
		if num == want {
			if typ == protowire.BytesType {
				v, _ := protowire.ConsumeBytes(b)
				return v
			}
			return b[:m]
		}
		b = b[m:]
	}
	return nil
}

// serveRecipes starts a member whose key space works.
func serveRecipes(t *testing.T) (*running, *memKV) {
	t.Helper()
	store := newMemKV()
	return serve(t, &fakeMember{kv: store, watch: store}), store
}

const (
	methodLock     = "/v3lockpb.Lock/Lock"
	methodUnlock   = "/v3lockpb.Lock/Unlock"
	methodCampaign = "/v3electionpb.Election/Campaign"
	methodProclaim = "/v3electionpb.Election/Proclaim"
	methodLeader   = "/v3electionpb.Election/Leader"
	methodObserve  = "/v3electionpb.Election/Observe"
	methodResign   = "/v3electionpb.Election/Resign"
)

type outcome struct {
	resp []byte
	err  error
}

// start calls a method that blocks.
func (r *running) start(ctx context.Context, method string, request []byte) chan outcome {
	done := make(chan outcome, 1)
	go func() {
		resp, err := r.invokeRaw(ctx, method, request)
		done <- outcome{resp, err}
	}()
	return done
}

func revisionOf(t *testing.T, resp []byte) int64 {
	t.Helper()
	v, _ := protowire.ConsumeVarint(fieldOf(t, fieldOf(t, resp, 1), 3))
	return int64(v)
}

func TestLock(t *testing.T) {
	r, store := serveRecipes(t)
	ctx := t.Context()
	first, err := r.invokeRaw(ctx, methodLock, message("name", 0x1f))
	if err != nil || string(fieldOf(t, first, 2)) != "name/1f" || revisionOf(t, first) != 2 {
		t.Fatalf("%x, %v", first, err)
	}
	again, err := r.invokeRaw(ctx, methodLock, message("name", 0x1f))
	if err != nil || string(fieldOf(t, again, 2)) != "name/1f" {
		t.Fatalf("the owner asks again: %x, %v", again, err)
	}

	second := r.start(ctx, methodLock, message("name", 2))
	if key := <-store.waiting; key != "name/1f" {
		t.Fatalf("waits for %s", key)
	}
	leaving, cancel := context.WithCancel(ctx)
	third := r.start(leaving, methodLock, message("name", 3))
	if key := <-store.waiting; key != "name/2" {
		t.Fatalf("waits for %s", key)
	}
	cancel()
	if got := <-third; status.Code(got.err) != codes.Canceled {
		t.Fatalf("cancelled: %v", got.err)
	}
	if got := <-r.counters.finished; got != methodLock+" OK" {
		t.Fatal(got)
	}
	if got := <-r.counters.finished; got != methodLock+" OK" {
		t.Fatal(got)
	}
	if got := <-r.counters.finished; got != methodLock+" Canceled" {
		t.Fatal(got)
	}
	store.mu.Lock()
	if _, there := store.keys["name/3"]; there {
		t.Error("a caller that left still queues for the lock")
	}
	store.mu.Unlock()

	if resp, err := r.invokeRaw(ctx, methodUnlock, message("name/1f")); err != nil || revisionOf(t, resp) != 6 {
		t.Fatalf("unlock: %x, %v", resp, err)
	}
	if got := <-second; got.err != nil || string(fieldOf(t, got.resp, 2)) != "name/2" || revisionOf(t, got.resp) != 6 {
		t.Fatalf("second: %x, %v", got.resp, got.err)
	}
}

func TestLockRefusals(t *testing.T) {
	r, store := serveRecipes(t)
	ctx := t.Context()
	store.lapsed = 5
	_, err := r.invokeRaw(ctx, methodLock, message("name", 5))
	wantStatus(t, err, codes.Unknown, errs.ErrLeaseNotFound.Text)
	_, err = r.invokeRaw(ctx, methodUnlock, nil)
	wantStatus(t, err, codes.Unknown, errs.ErrEmptyKey.Text)
	if _, err = r.invokeRaw(ctx, methodUnlock, message("absent")); err != nil {
		t.Errorf("unlocking what is not locked: %v", err)
	}
	// Without a lease the server takes one (the fake's is 77).
	resp, err := r.invokeRaw(ctx, methodLock, message("other"))
	if err != nil || string(fieldOf(t, resp, 2)) != "other/4d" {
		t.Fatalf("%x, %v", resp, err)
	}

	// The lease of a waiting caller runs out: its key is gone when its turn comes.
	waiting := r.start(ctx, methodLock, message("other", 6))
	<-store.waiting
	for _, key := range []string{"other/6", "other/4d"} {
		if _, err := r.invokeRaw(ctx, methodUnlock, message(key)); err != nil {
			t.Fatal(err)
		}
	}
	wantStatus(t, (<-waiting).err, codes.Unknown, "mutex: session is expired")
}

func TestElection(t *testing.T) {
	r, store := serveRecipes(t)
	ctx := t.Context()
	_, err := r.invokeRaw(ctx, methodLeader, message("e"))
	wantStatus(t, err, codes.Unknown, "election: no leader")
	for _, method := range []string{methodProclaim, methodResign} {
		_, err = r.invokeRaw(ctx, method, nil)
		wantStatus(t, err, codes.Unknown, `"leader" field must be provided`)
	}

	won, err := r.invokeRaw(ctx, methodCampaign, message("e", 1, "one"))
	if err != nil {
		t.Fatal(err)
	}
	leader := fieldOf(t, won, 2)
	if want := message("e", "e/1", 2, 1); hex.EncodeToString(leader) != hex.EncodeToString(want) {
		t.Fatalf("leader key %x, want %x", leader, want)
	}
	resp, err := r.invokeRaw(ctx, methodLeader, message("e"))
	if kv := fieldOf(t, resp, 2); err != nil || string(fieldOf(t, kv, 5)) != "one" {
		t.Fatalf("%x, %v", resp, err)
	}

	stream, err := r.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, methodObserve, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	request := message("e")
	if err := stream.SendMsg(&request); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	observed := func() string {
		var m []byte
		if err := stream.RecvMsg(&m); err != nil {
			t.Fatal(err)
		}
		return string(fieldOf(t, fieldOf(t, m, 2), 5))
	}
	if got := observed(); got != "one" {
		t.Fatalf("observed %q", got)
	}
	if key := <-store.waiting; key != "e/1" {
		t.Fatalf("observer follows %q", key)
	}

	// Campaigning again with another value proclaims it and wins at once.
	if _, err := r.invokeRaw(ctx, methodCampaign, message("e", 1, "uno")); err != nil {
		t.Fatal(err)
	}
	if got := observed(); got != "uno" {
		t.Fatalf("observed %q", got)
	}
	second := r.start(ctx, methodCampaign, message("e", 2, "two"))
	if key := <-store.waiting; key != "e/1" {
		t.Fatalf("the second waits for %q", key)
	}
	if _, err := r.invokeRaw(ctx, methodProclaim, message(leader, "eins")); err != nil {
		t.Fatal(err)
	}
	if got := observed(); got != "eins" {
		t.Fatalf("observed %q", got)
	}
	if _, err := r.invokeRaw(ctx, methodResign, message(leader)); err != nil {
		t.Fatal(err)
	}
	got := <-second
	if got.err != nil || string(fieldOf(t, fieldOf(t, got.resp, 2), 2)) != "e/2" || revisionOf(t, got.resp) != 4 {
		t.Fatalf("second: %x, %v", got.resp, got.err)
	}
	if got := observed(); got != "two" {
		t.Fatalf("observed %q", got)
	}
	_, err = r.invokeRaw(ctx, methodProclaim, message(leader, "zombie"))
	wantStatus(t, err, codes.Unknown, "election: not leader")
	if _, err = r.invokeRaw(ctx, methodResign, message(leader)); err != nil {
		t.Errorf("resigning twice: %v", err)
	}
}

// TestObserveBeforeFirstLeader: the observer is there first.
func TestObserveBeforeFirstLeader(t *testing.T) {
	r, store := serveRecipes(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := r.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, methodObserve, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	m := message("e")
	if err := stream.SendMsg(&m); err != nil {
		t.Fatal(err)
	}
	if key := <-store.waiting; key != "e/" {
		t.Fatalf("observer follows %q", key)
	}
	if _, err := r.invokeRaw(ctx, methodCampaign, message("e", 1, "v")); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&m); err != nil || string(fieldOf(t, fieldOf(t, m, 2), 5)) != "v" || revisionOf(t, m) != 2 {
		t.Fatalf("%x, %v", m, err)
	}
	if got := <-r.counters.finished; got != methodCampaign+" OK" {
		t.Fatal(got)
	}
	cancel()
	if got := <-r.counters.finished; got != methodObserve+" Canceled" {
		t.Fatal(got)
	}
}

func TestRecipeError(t *testing.T) {
	for _, e := range errs.All() {
		want := codes.Unknown
		if e.Code == errs.Canceled || e.Code == errs.DeadlineExceeded {
			want = codes.Code(e.Code)
		}
		wantStatus(t, recipeError(fmt.Errorf("lock: %w", e)), want, e.Text)
	}
	wantStatus(t, recipeError(context.Canceled), codes.Canceled, "context canceled")
	wantStatus(t, recipeError(io.ErrUnexpectedEOF), codes.Unknown, "unexpected EOF")
}

func TestWatcherGone(t *testing.T) {
	cases := []struct {
		resp watch.Response
		want string
	}{
		{watch.Response{Created: true}, ""},
		{watch.Response{Canceled: true, CompactRevision: 5}, errs.ErrCompacted.Text},
		{watch.Response{Created: true, Canceled: true, CancelReason: "no"}, "no"},
		{watch.Response{Canceled: true}, errs.ErrFutureRev.Text},
	}
	for _, c := range cases {
		got := ""
		if err := watcherGone(c.resp); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.resp, got, c.want)
		}
	}
}

// TestContenderKeys: a lease is written in hex as Go prints a signed number,
// because clients compute the same key.
func TestContenderKeys(t *testing.T) {
	for lease, want := range map[int64]string{1: "n/1", 0x7f00: "n/7f00", -255: "n/-ff"} {
		if got := contenderKey([]byte("n"), base.LeaseID(lease)); string(got) != want {
			t.Errorf("%d: %s, want %s", lease, got, want)
		}
	}
}
