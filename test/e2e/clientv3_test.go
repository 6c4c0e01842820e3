package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.uber.org/zap"
)

// TestClientv3 uses the Go client and each of its packages against one member.
func TestClientv3(t *testing.T) {
	t.Parallel()
	m := startMember(t)
	for name, f := range map[string]func(t *testing.T, m *member){
		"kv": clientKV, "watch": clientWatch, "lease": clientLease, "mutex": clientMutex, "stm": clientSTM,
		"namespace": clientNamespace, "mirror": clientMirror, "leasing": clientLeasing,
		"ordering": clientOrdering, "snapshot": clientSnapshot, "maintenance": clientMaintenance,
	} {
		t.Run(name, func(t *testing.T) { f(t, m) })
	}
}

// must fails the test when a call failed.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func clientKV(t *testing.T, m *member) {
	ctx, cli := testContext(t), m.client()
	for i := range 30 {
		must(cli.Put(ctx, fmt.Sprintf("kv/%02d", i), strconv.Itoa(i)))(t)
	}
	r := must(cli.Get(ctx, "kv/", clientv3.WithPrefix(), clientv3.WithLimit(7), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)))(t)
	if len(r.Kvs) != 7 || !r.More || r.Count != 30 || string(r.Kvs[0].Key) != "kv/29" {
		t.Errorf("got %d of %d, more %v, first %s", len(r.Kvs), r.Count, r.More, r.Kvs[0].Key)
	}
	r = must(cli.Get(ctx, "kv/", clientv3.WithPrefix(), clientv3.WithCountOnly()))(t)
	if r.Count != 30 || len(r.Kvs) != 0 {
		t.Errorf("count only: %v", r)
	}
	// The stream brings the same in several answers.
	stream := must(cli.GetStream(ctx, "kv/", clientv3.WithPrefix()))(t)
	n := 0
	for part := range stream {
		if err := part.Err(); err != nil {
			t.Fatal(err)
		}
		n += len(part.Kvs)
	}
	if n != 30 {
		t.Errorf("the stream brought %d keys, want 30", n)
	}
	d := must(cli.Delete(ctx, "kv/1", clientv3.WithPrefix(), clientv3.WithPrevKV()))(t)
	if d.Deleted != 10 || len(d.PrevKvs) != 10 {
		t.Errorf("deleted %d, previous %d, want 10", d.Deleted, len(d.PrevKvs))
	}
	x := must(cli.Txn(ctx).If(clientv3.Compare(clientv3.Value("kv/00"), "=", "0")).
		Then(clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("kv/nested", "1"), clientv3.OpGet("kv/nested")}, nil)).
		Else(clientv3.OpGet("kv/00")).Commit())(t)
	inner := x.Responses[0].GetResponseTxn()
	if !x.Succeeded || string(inner.Responses[1].GetResponseRange().Kvs[0].Value) != "1" {
		t.Errorf("nested txn: %v", x)
	}
	_, err := cli.Get(ctx, "kv/00", clientv3.WithRev(1<<40))
	if !errors.Is(err, rpctypes.ErrFutureRev) {
		t.Errorf("future revision: %v", err)
	}
}

func clientWatch(t *testing.T, m *member) {
	ctx, cli := testContext(t), m.client()
	first := must(cli.Put(ctx, "watch/a", "0"))(t).Header.Revision
	all := cli.Watch(ctx, "watch/", clientv3.WithPrefix(), clientv3.WithRev(first), clientv3.WithPrevKV())
	deletes := cli.Watch(ctx, "watch/", clientv3.WithPrefix(), clientv3.WithRev(first), clientv3.WithFilterPut())
	must(cli.Txn(ctx).Then(clientv3.OpPut("watch/a", "1"), clientv3.OpPut("watch/b", "1")).Commit())(t)
	last := must(cli.Delete(ctx, "watch/", clientv3.WithPrefix()))(t).Header.Revision
	var got []string
	for len(got) < 5 {
		r := <-all
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		for _, e := range r.Events {
			got = append(got, fmt.Sprintf("%d %s %s=%s was %s", e.Kv.ModRevision-first, e.Type, e.Kv.Key, e.Kv.Value, e.PrevKv.GetValue()))
		}
	}
	want := []string{"0 PUT watch/a=0 was ", "1 PUT watch/a=1 was 0", "1 PUT watch/b=1 was ", "2 DELETE watch/a= was 1", "2 DELETE watch/b= was 1"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	r := <-deletes
	if len(r.Events) != 2 || r.Events[0].Type != mvccpb.DELETE || r.Events[0].Kv.ModRevision != last {
		t.Errorf("filtered watch: %v", r.Events)
	}
	// Progress is told on request, with the revision everything was told up to.
	if err := cli.RequestProgress(ctx); err != nil {
		t.Fatal(err)
	}
	if r := <-all; !r.IsProgressNotify() || r.Header.Revision < last {
		t.Errorf("progress: %+v", r)
	}
}

func clientLease(t *testing.T, m *member) {
	ctx, cli := testContext(t), m.client()
	g := must(cli.Grant(ctx, 60))(t)
	must(cli.Put(ctx, "lease/a", "1", clientv3.WithLease(g.ID)))(t)
	keep := must(cli.KeepAlive(ctx, g.ID))(t)
	if r := <-keep; r.TTL != 60 || r.ID != g.ID {
		t.Errorf("keepalive: %v", r)
	}
	ttl := must(cli.TimeToLive(ctx, g.ID, clientv3.WithAttachedKeys()))(t)
	if ttl.TTL > 60 || ttl.TTL < 50 || ttl.GrantedTTL != 60 || len(ttl.Keys) != 1 {
		t.Errorf("time to live: %v", ttl)
	}
	// The shortest lease runs out by itself and takes its key along.
	short := must(cli.Grant(ctx, 1))(t)
	put := must(cli.Put(ctx, "lease/short", "1", clientv3.WithLease(short.ID)))(t)
	r := <-cli.Watch(ctx, "lease/short", clientv3.WithRev(put.Header.Revision+1))
	if len(r.Events) != 1 || r.Events[0].Type != mvccpb.DELETE {
		t.Errorf("the end of a lease: %v", r.Events)
	}
	must(cli.Revoke(ctx, g.ID))(t)
	if r := must(cli.Get(ctx, "lease/", clientv3.WithPrefix()))(t); r.Count != 0 {
		t.Errorf("keys of a revoked lease: %v", r.Kvs)
	}
	if _, err := cli.Revoke(ctx, g.ID); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("second revoke: %v", err)
	}
}

func clientMutex(t *testing.T, m *member) {
	ctx := testContext(t)
	var wg sync.WaitGroup
	inside := 0 // guarded by the mutex of the member, which is what is tested
	for range 4 {
		cli := m.client()
		wg.Go(func() {
			s, err := concurrency.NewSession(cli)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			mu := concurrency.NewMutex(s, "mutex")
			for range 10 {
				if err := mu.Lock(ctx); err != nil {
					t.Error(err)
					return
				}
				inside++
				if inside != 1 {
					t.Errorf("%d clients hold the mutex", inside)
				}
				inside--
				if err := mu.Unlock(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	a, b := must(concurrency.NewSession(m.client()))(t), must(concurrency.NewSession(m.client()))(t)
	defer b.Close()
	if err := concurrency.NewMutex(a, "mutex").Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := concurrency.NewMutex(b, "mutex").TryLock(ctx); !errors.Is(err, concurrency.ErrLocked) {
		t.Errorf("TryLock of a locked mutex: %v", err)
	}
	a.Close() // the lease ends, and with it the ownership
	if err := concurrency.NewMutex(b, "mutex").Lock(ctx); err != nil {
		t.Errorf("lock after the owner's session: %v", err)
	}
}

// clientSTM moves money between accounts from several clients; none is lost.
func clientSTM(t *testing.T, m *member) {
	ctx := testContext(t)
	const accounts, total = 5, 500
	cli := m.client()
	for i := range accounts {
		must(cli.Put(ctx, fmt.Sprintf("account/%d", i), strconv.Itoa(total/accounts)))(t)
	}
	var wg sync.WaitGroup
	for w, level := range []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable, concurrency.SerializableSnapshot} {
		cli := m.client()
		wg.Go(func() {
			for i := range 15 {
				from, to := fmt.Sprintf("account/%d", (i+w)%accounts), fmt.Sprintf("account/%d", (i*3+w+1)%accounts)
				_, err := concurrency.NewSTM(cli, func(s concurrency.STM) error {
					a, _ := strconv.Atoi(s.Get(from))
					s.Put(from, strconv.Itoa(a-7))
					b, _ := strconv.Atoi(s.Get(to))
					s.Put(to, strconv.Itoa(b+7))
					return nil
				}, concurrency.WithIsolation(level), concurrency.WithAbortContext(ctx))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, kv := range must(cli.Get(ctx, "account/", clientv3.WithPrefix()))(t).Kvs {
		n, _ := strconv.Atoi(string(kv.Value))
		sum += n
	}
	if sum != total {
		t.Errorf("the accounts hold %d, want %d", sum, total)
	}
}

func clientNamespace(t *testing.T, m *member) {
	ctx, cli, plain := testContext(t), m.client(), m.client()
	cli.KV, cli.Watcher = namespace.NewKV(cli.KV, "ns/"), namespace.NewWatcher(cli.Watcher, "ns/")
	cli.Lease = namespace.NewLease(cli.Lease, "ns/")
	g := must(cli.Grant(ctx, 60))(t)
	rev := must(cli.Put(ctx, "a", "1", clientv3.WithLease(g.ID)))(t).Header.Revision
	if r := must(plain.Get(ctx, "ns/a"))(t); r.Count != 1 {
		t.Errorf("the key is not under its prefix: %v", r)
	}
	x := must(cli.Txn(ctx).If(clientv3.Compare(clientv3.Version("a"), "=", 1)).Then(clientv3.OpGet("", clientv3.WithFromKey())).Commit())(t)
	if kvs := x.Responses[0].GetResponseRange().Kvs; len(kvs) != 1 || string(kvs[0].Key) != "a" {
		t.Errorf("range inside the namespace: %v", kvs)
	}
	if r := <-cli.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(rev)); string(r.Events[0].Kv.Key) != "a" {
		t.Errorf("watch inside the namespace: %v", r.Events)
	}
	if r := must(cli.TimeToLive(ctx, g.ID, clientv3.WithAttachedKeys()))(t); len(r.Keys) != 1 || string(r.Keys[0]) != "a" {
		t.Errorf("lease keys inside the namespace: %q", r.Keys)
	}
}

func clientMirror(t *testing.T, m *member) {
	ctx, cli := testContext(t), m.client()
	want := map[string]string{}
	put := func(k, v string) int64 {
		want[k] = v
		return must(cli.Put(ctx, k, v))(t).Header.Revision
	}
	for i := range 1200 { // more than one page of the syncer
		put(fmt.Sprintf("mirror/%04d", i), strconv.Itoa(i))
	}
	s := mirror.NewSyncer(cli, "mirror/", 0)
	base, errs := s.SyncBase(ctx)
	got := map[string]string{}
	for r := range base {
		for _, kv := range r.Kvs {
			got[string(kv.Key)] = string(kv.Value)
		}
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("base has %d keys, want %d", len(got), len(want))
	}
	updates := s.SyncUpdates(ctx)
	put("mirror/0000", "new")
	must(cli.Delete(ctx, "mirror/0001"))(t)
	delete(want, "mirror/0001")
	last := put("mirror/more", "1")
	for seen := int64(0); seen < last; {
		r := <-updates
		for _, e := range r.Events {
			if seen = e.Kv.ModRevision; e.Type == mvccpb.DELETE {
				delete(got, string(e.Kv.Key))
			} else {
				got[string(e.Kv.Key)] = string(e.Kv.Value)
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Error("after the updates the mirror differs")
	}
}

func clientLeasing(t *testing.T, m *member) {
	ctx, other := testContext(t), m.client()
	kv, closeKV, err := leasing.NewKV(m.client(), "leasing/")
	if err != nil {
		t.Fatal(err)
	}
	defer closeKV()
	must(other.Put(ctx, "leased-key", "1"))(t)
	for range 3 { // the first one takes the key's lease, the others are answered from memory
		if r := must(kv.Get(ctx, "leased-key"))(t); string(r.Kvs[0].Value) != "1" {
			t.Errorf("read: %v", r.Kvs)
		}
	}
	if r := must(other.Get(ctx, "leasing/leased-key"))(t); r.Count != 1 {
		t.Error("the key's lease was not taken")
	}
	must(kv.Put(ctx, "leased-key", "2"))(t)
	if r := must(kv.Get(ctx, "leased-key"))(t); string(r.Kvs[0].Value) != "2" {
		t.Errorf("read of its own write: %v", r.Kvs)
	}
	// A second leasing client has to take the key away from the first.
	second, closeSecond, err := leasing.NewKV(m.client(), "leasing/")
	if err != nil {
		t.Fatal(err)
	}
	defer closeSecond()
	must(second.Put(ctx, "leased-key", "3"))(t)
	if r := must(kv.Get(ctx, "leased-key"))(t); string(r.Kvs[0].Value) != "3" {
		t.Errorf("read after another client's write: %v", r.Kvs)
	}
	x := must(second.Txn(ctx).If(clientv3.Compare(clientv3.Value("leased-key"), "=", "3")).Then(clientv3.OpDelete("leased-key")).Commit())(t)
	if r := must(kv.Get(ctx, "leased-key"))(t); !x.Succeeded || r.Count != 0 {
		t.Errorf("after a transaction of another client: %v", r.Kvs)
	}
}

func clientOrdering(t *testing.T, m *member) {
	ctx, cli := testContext(t), m.client()
	kv := ordering.NewKV(cli.KV, func(op clientv3.Op, resp clientv3.OpResponse, prev int64) error {
		return fmt.Errorf("answer at revision %d after one at %d", resp.Get().Header.Revision, prev)
	})
	for i := range 20 {
		must(cli.Put(ctx, "ordered", strconv.Itoa(i)))(t)
		if r := must(kv.Get(ctx, "ordered", clientv3.WithSerializable()))(t); string(r.Kvs[0].Value) != strconv.Itoa(i) {
			t.Errorf("read %s after writing %d", r.Kvs[0].Value, i)
		}
		must(kv.Txn(ctx).Then(clientv3.OpGet("ordered")).Commit())(t)
	}
}

// clientSnapshot saves a snapshot as the tools do and looks into it as etcd
// would: a bbolt file with every revision.
func clientSnapshot(t *testing.T, m *member) {
	ctx, cli := testContext(t), m.client()
	must(cli.Put(ctx, "snapshot/a", "in the snapshot"))(t)
	rev := must(cli.Get(ctx, "snapshot/a"))(t).Header.Revision
	file := filepath.Join(t.TempDir(), "saved.db")
	version, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), clientv3.Config{Endpoints: []string{m.clientURL()}}, file)
	if err != nil {
		t.Fatal(err)
	}
	if version != "3.7.0" {
		t.Errorf("snapshot of storage version %q, want 3.7.0", version)
	}
	db := must(bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true}))(t)
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		found, revisions := false, 0
		err := tx.Bucket([]byte("key")).ForEach(func(k, v []byte) error {
			revisions++
			found = found || strings.Contains(string(v), "in the snapshot")
			return nil
		})
		if !found || int64(revisions) < rev/2 {
			t.Errorf("the snapshot has %d revisions of %d, the key is there: %v", revisions, rev, found)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func clientMaintenance(t *testing.T, m *member) {
	ctx, cli := testContext(t), m.client()
	must(cli.Put(ctx, "maintenance", "1"))(t)
	s := must(cli.Status(ctx, m.clientURL()))(t)
	if s.Version != "3.7.1" || s.Leader != s.Header.MemberId || s.DbSize < s.DbSizeInUse || s.RaftAppliedIndex == 0 || s.IsLearner || len(s.Errors) != 0 {
		t.Errorf("status: %v", s)
	}
	list := must(cli.MemberList(ctx))(t)
	if len(list.Members) != 1 || list.Members[0].ID != s.Header.MemberId || list.Members[0].ClientURLs[0] != m.clientURL() {
		t.Errorf("members: %v", list.Members)
	}
	h1 := must(cli.HashKV(ctx, m.clientURL(), s.Header.Revision))(t)
	h2 := must(cli.HashKV(context.WithoutCancel(ctx), m.clientURL(), s.Header.Revision))(t)
	if h1.Hash != h2.Hash || h1.HashRevision != s.Header.Revision {
		t.Errorf("hashes of one revision: %v %v", h1, h2)
	}
}
