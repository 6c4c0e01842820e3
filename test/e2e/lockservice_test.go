package e2e

import (
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// TestLockService calls v3lockpb.Lock as a client of any language would: the
// server does the waiting.
func TestLockService(t *testing.T) {
	t.Parallel()
	m := startMember(t)
	ctx, cli := testContext(t), m.client()
	lease := must(cli.Grant(ctx, 100))(t).ID
	other := must(cli.Grant(ctx, 100))(t).ID

	lock := func(id clientv3.LeaseID) []byte {
		return fields{}.text(1, "job").int(2, int64(id))
	}
	answer := must(rawCall(ctx, m.conn(), "/v3lockpb.Lock/Lock", lock(lease)))(t)
	key := string(field(t, answer, 2))
	if !strings.HasPrefix(key, "job/") || must(cli.Get(ctx, key))(t).Kvs[0].Lease != int64(lease) {
		t.Fatalf("locked as %q", key)
	}
	// The owner asks again and has it still.
	if again := field(t, must(rawCall(ctx, m.conn(), "/v3lockpb.Lock/Lock", lock(lease)))(t), 2); string(again) != key {
		t.Errorf("the owner's second lock is %q, want %q", again, key)
	}
	got := make(chan error, 1)
	go func() {
		_, err := rawCall(ctx, m.conn(), "/v3lockpb.Lock/Lock", lock(other))
		got <- err
	}()
	eventually(t, "the second client waits", func() bool {
		return must(cli.Get(ctx, "job/", clientv3.WithPrefix()))(t).Count == 2
	})
	select {
	case err := <-got:
		t.Fatalf("two owners: %v", err)
	default:
	}
	must(rawCall(ctx, m.conn(), "/v3lockpb.Lock/Unlock", fields{}.text(1, key)))(t)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	_, err := rawCall(ctx, m.conn(), "/v3lockpb.Lock/Lock", lock(4711))
	wantStatus(t, "lock with an unknown lease", err, codes.Unknown, "etcdserver: requested lease not found")
	// Without a lease the server makes one of its own.
	answer = must(rawCall(ctx, m.conn(), "/v3lockpb.Lock/Lock", fields{}.text(1, "own")))(t)
	if kv := must(cli.Get(ctx, string(field(t, answer, 2))))(t).Kvs[0]; kv.Lease == 0 {
		t.Error("a lock without a lease would stay for ever")
	}
}

func TestElectionService(t *testing.T) {
	t.Parallel()
	m := startMember(t)
	ctx, cli := testContext(t), m.client()
	const service = "/v3electionpb.Election/"
	campaign := func(value string) []byte {
		id := must(cli.Grant(ctx, 100))(t).ID
		return fields{}.text(1, "boss").int(2, int64(id)).text(3, value)
	}
	ask := fields{}.text(1, "boss")
	_, err := rawCall(ctx, m.conn(), service+"Leader", ask)
	wantStatus(t, "leader before the election", err, codes.Unknown, "election: no leader")

	// The observer gets the leader of each moment.
	observed := make(chan string, 10)
	stream := must(m.conn().NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, service+"Observe", grpc.ForceCodec(rawCodec{})))(t)
	request := []byte(ask)
	if err := stream.SendMsg(&request); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(observed)
		for {
			var answer []byte
			if stream.RecvMsg(&answer) != nil {
				return
			}
			observed <- string(field(t, field(t, answer, 2), 5))
		}
	}()

	first := field(t, must(rawCall(ctx, m.conn(), service+"Campaign", campaign("ada")))(t), 2)
	if who := <-observed; who != "ada" {
		t.Errorf("observed %q", who)
	}
	next := make(chan []byte, 1)
	secondCampaign := campaign("grace")
	go func() {
		answer, err := rawCall(ctx, m.conn(), service+"Campaign", secondCampaign)
		if err != nil {
			t.Error(err)
		}
		next <- answer
	}()
	must(rawCall(ctx, m.conn(), service+"Proclaim", fields{}.bytes(1, first).text(2, "ada l.")))(t)
	if who := <-observed; who != "ada l." {
		t.Errorf("observed %q", who)
	}
	leader := field(t, must(rawCall(ctx, m.conn(), service+"Leader", ask))(t), 2)
	if who := string(field(t, leader, 5)); who != "ada l." {
		t.Errorf("leader %q", who)
	}
	must(rawCall(ctx, m.conn(), service+"Resign", fields{}.bytes(1, first)))(t)
	second := field(t, <-next, 2)
	if who := <-observed; who != "grace" {
		t.Errorf("observed %q", who)
	}
	_, err = rawCall(ctx, m.conn(), service+"Proclaim", fields{}.bytes(1, first).text(2, "back"))
	wantStatus(t, "proclaim of one who resigned", err, codes.Unknown, "election: not leader")
	must(rawCall(ctx, m.conn(), service+"Resign", fields{}.bytes(1, second)))(t)
}
