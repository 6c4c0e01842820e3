package e2e

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// TestServiceRegistry is the recipe in full: instances register under a lease
// they keep alive, whoever needs the service lists it and watches from the
// revision of the list; instances leave in order, or die and are found out.
func TestServiceRegistry(t *testing.T) {
	t.Parallel()
	m := startMember(t)
	ctx := testContext(t)

	one := register(ctx, t, m, "10.0.0.1:80")
	two := register(ctx, t, m, "10.0.0.2:80")
	d := discover(ctx, t, m)
	d.expect("10.0.0.1:80 10.0.0.2:80")

	three := register(ctx, t, m, "10.0.0.3:80")
	d.next(ctx)
	d.expect("10.0.0.1:80 10.0.0.2:80 10.0.0.3:80")

	must(two.cli.Revoke(ctx, two.lease))(t) // leaves in order
	d.next(ctx)
	d.expect("10.0.0.1:80 10.0.0.3:80")

	one.die() // nobody keeps the lease alive any more
	d.next(ctx)
	d.expect("10.0.0.3:80")

	// The member restarts: the instance that lives stays, the watch goes on.
	m.restart()
	again := register(ctx, t, m, "10.0.0.1:80")
	d.next(ctx)
	d.expect("10.0.0.1:80 10.0.0.3:80")

	// A kill of the member loses nothing either.
	m.kill()
	m.start()
	must(again.cli.Revoke(ctx, again.lease))(t)
	d.next(ctx)
	d.expect("10.0.0.3:80")
	three.die()
	d.next(ctx)
	d.expect("")
}

// instance is one running copy of the service.
type instance struct {
	cli   *clientv3.Client
	lease clientv3.LeaseID
	die   context.CancelFunc
}

func register(ctx context.Context, t *testing.T, m *member, addr string) instance {
	t.Helper()
	cli := m.client()
	g := must(cli.Grant(ctx, 3))(t)
	alive, die := context.WithCancel(ctx)
	t.Cleanup(die)
	keep := must(cli.KeepAlive(alive, g.ID))(t)
	go func() {
		for range keep { // renewed
		}
	}()
	key := "services/web/" + addr
	x := must(cli.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, addr, clientv3.WithLease(g.ID))).Commit())(t)
	if !x.Succeeded {
		t.Fatalf("%s is registered already", addr)
	}
	return instance{cli, g.ID, die}
}

// discovery is the consumer's view of the service.
type discovery struct {
	t     *testing.T
	addrs map[string]string
	watch clientv3.WatchChan
}

func discover(ctx context.Context, t *testing.T, m *member) *discovery {
	t.Helper()
	cli := m.client()
	d := &discovery{t: t, addrs: map[string]string{}}
	r := must(cli.Get(ctx, "services/web/", clientv3.WithPrefix()))(t)
	for _, kv := range r.Kvs {
		d.addrs[string(kv.Key)] = string(kv.Value)
	}
	d.watch = cli.Watch(clientv3.WithRequireLeader(ctx), "services/web/", clientv3.WithPrefix(), clientv3.WithRev(r.Header.Revision+1))
	return d
}

// next waits for a change.
func (d *discovery) next(ctx context.Context) {
	d.t.Helper()
	select {
	case r := <-d.watch:
		if r.Err() != nil {
			d.t.Fatal(r.Err())
		}
		for _, e := range r.Events {
			if e.Type == mvccpb.DELETE {
				delete(d.addrs, string(e.Kv.Key))
			} else {
				d.addrs[string(e.Kv.Key)] = string(e.Kv.Value)
			}
		}
	case <-ctx.Done():
		d.t.Fatalf("no change is told; known: %v", d.addrs)
	}
}

func (d *discovery) expect(want string) {
	d.t.Helper()
	var got []string
	for _, a := range d.addrs {
		got = append(got, a)
	}
	sort.Strings(got)
	if s := strings.Join(got, " "); s != want {
		d.t.Errorf("the service is at %q, want %q", s, want)
	}
}

// TestLeaderElection is the recipe in full: candidates queue up, one leads and
// proclaims, resigns or dies, the next one takes over; observers see each
// leader, once, in order.
func TestLeaderElection(t *testing.T) {
	t.Parallel()
	m := startMember(t)
	ctx := testContext(t)
	sessions := make([]*concurrency.Session, 3)
	candidates := make([]*concurrency.Election, 3)
	for i := range sessions {
		sessions[i] = must(concurrency.NewSession(m.client(), concurrency.WithTTL(3)))(t)
		candidates[i] = concurrency.NewElection(sessions[i], "election")
	}
	observer := concurrency.NewElection(must(concurrency.NewSession(m.client()))(t), "election")
	if _, err := observer.Leader(ctx); !errors.Is(err, concurrency.ErrElectionNoLeader) {
		t.Errorf("leader before the election: %v", err)
	}
	seen := observer.Observe(ctx)
	expect := func(want string) {
		t.Helper()
		r, ok := <-seen
		if !ok || string(r.Kvs[0].Value) != want {
			t.Fatalf("observed %v, want %s", r, want)
		}
	}

	if err := candidates[0].Campaign(ctx, "zero"); err != nil {
		t.Fatal(err)
	}
	expect("zero")
	won := make([]chan error, 3)
	for i := 1; i < 3; i++ {
		won[i] = make(chan error, 1)
		go func() { won[i] <- candidates[i].Campaign(ctx, fmt.Sprintf("candidate %d", i)) }()
		// The queue is in the order of arrival: the next one comes when this one waits.
		eventually(t, "the candidate waits", func() bool {
			r, err := m.client().Get(ctx, "election/", clientv3.WithPrefix(), clientv3.WithCountOnly())
			return err == nil && r.Count == int64(i+1)
		})
	}
	if err := candidates[0].Proclaim(ctx, "zero, still"); err != nil {
		t.Fatal(err)
	}
	expect("zero, still")
	select {
	case err := <-won[1]:
		t.Fatalf("two leaders: %v", err)
	default:
	}

	if err := candidates[0].Resign(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-won[1]; err != nil {
		t.Fatal(err)
	}
	expect("candidate 1")
	if err := candidates[0].Proclaim(ctx, "again"); !errors.Is(err, concurrency.ErrElectionNotLeader) {
		t.Errorf("proclaim of one who resigned: %v", err)
	}

	sessions[1].Orphan() // it dies: nothing keeps its lease alive, nothing revokes it
	if err := <-won[2]; err != nil {
		t.Fatal(err)
	}
	expect("candidate 2")
	if err := candidates[1].Proclaim(ctx, "undead"); !errors.Is(err, concurrency.ErrElectionNotLeader) {
		t.Errorf("proclaim of a dead leader: %v", err)
	}
	r := must(observer.Leader(ctx))(t)
	if string(r.Kvs[0].Value) != "candidate 2" || string(r.Kvs[0].Key) != candidates[2].Key() {
		t.Errorf("leader: %v", r.Kvs)
	}
	// The leader survives a restart of the member.
	m.restart()
	if err := candidates[2].Proclaim(ctx, "after the restart"); err != nil {
		t.Error(err)
	}
	expect("after the restart")
}
