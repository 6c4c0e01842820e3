package e2e

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestQuota fills a member up to its quota and brings it back as the manual
// says: compact, defragment, disarm.
func TestQuota(t *testing.T) {
	t.Parallel()
	m := startMember(t, "--quota-backend-bytes=8388608")
	ctx, cli := testContext(t), m.client()
	lease := must(cli.Grant(ctx, 1000))(t).ID
	must(cli.Put(ctx, "leased", "1", clientv3.WithLease(lease)))(t)
	must(cli.Put(ctx, "victim", "1"))(t)
	value := strings.Repeat("x", 200_000)
	n := 0
	for ; n < 100; n++ {
		if _, err := cli.Put(ctx, "big", value); err != nil {
			if !errors.Is(err, rpctypes.ErrNoSpace) {
				t.Fatal(err)
			}
			break
		}
	}
	if n < 30 || n > 42 {
		t.Errorf("the quota of 8 MiB was reached after %d values of 200 kB", n)
	}
	refused := func(when string) {
		t.Helper()
		if _, err := cli.Put(ctx, "small", "1"); !errors.Is(err, rpctypes.ErrNoSpace) {
			t.Errorf("%s: put: %v", when, err)
		}
		if _, err := cli.Txn(ctx).Then(clientv3.OpPut("small", "1")).Commit(); !errors.Is(err, rpctypes.ErrNoSpace) {
			t.Errorf("%s: txn: %v", when, err)
		}
		if _, err := cli.Grant(ctx, 10); !errors.Is(err, rpctypes.ErrNoSpace) {
			t.Errorf("%s: lease: %v", when, err)
		}
	}
	refused("full")
	list := must(cli.AlarmList(ctx))(t).Alarms
	if len(list) != 1 || list[0].Alarm != pb.AlarmType_NOSPACE {
		t.Errorf("alarms: %v", list)
	}
	if code, body := m.get("/health"); code != http.StatusServiceUnavailable || body != `{"health":"false","reason":"ALARM NOSPACE"}`+"\n" {
		t.Errorf("/health: %d %q", code, body)
	}
	if code, _ := m.get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d, a lack of space is no reason to take the member away", code)
	}

	// The alarm is part of the replicated state.
	m.kill()
	m.start()
	refused("restarted")

	// What frees space or only reads goes on.
	if d := must(cli.Delete(ctx, "victim"))(t); d.Deleted != 1 {
		t.Errorf("delete: %v", d)
	}
	if x := must(cli.Txn(ctx).Then(clientv3.OpDelete("victim"), clientv3.OpGet("big")).Commit())(t); len(x.Responses[1].GetResponseRange().Kvs) != 1 {
		t.Errorf("txn without puts: %v", x)
	}
	must(cli.KeepAliveOnce(ctx, lease))(t)
	r := must(cli.Revoke(ctx, lease))(t)
	must(cli.Compact(ctx, r.Header.Revision, clientv3.WithCompactPhysical()))(t)
	must(cli.Defragment(ctx, m.clientURL()))(t)
	if s := must(cli.Status(ctx, m.clientURL()))(t); s.DbSize > 2_000_000 || len(s.Errors) != 1 || !strings.Contains(s.Errors[0], "NOSPACE") {
		t.Errorf("after compaction and defragmentation: %d bytes, errors %q", s.DbSize, s.Errors)
	}
	refused("not disarmed")
	must(cli.AlarmDisarm(ctx, &clientv3.AlarmMember{}))(t)
	must(cli.Put(ctx, "small", "1"))(t)
	if code, _ := m.get("/health"); code != http.StatusOK {
		t.Errorf("/health after the alarm: %d", code)
	}
	if r := must(cli.Get(ctx, "big"))(t); string(r.Kvs[0].Value) != value || r.Kvs[0].Version != int64(n) {
		t.Errorf("the big value: %d bytes, version %d, want version %d", len(r.Kvs[0].Value), r.Kvs[0].Version, n)
	}
}
