package compat

import (
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// What is known of the data, from etcd itself (shared/data/README.md).
const (
	k8sRevision   = 31662
	k8sCompacted  = 31618
	k8sHashKV     = 2442921583
	k8sKeys       = 5907
	k8sRegistry   = 5906
	k8sConfigMaps = 5447
	k8sSecrets    = 199
	k8sRoles      = 69
	k8sNamespaces = 38
	k8sLeases     = 32
	k8sPods       = 9
)

// TestKubernetesData writes the state of a real control plane into Keelson
// through the API, such that every record gets the revision, the sub-revision,
// the creation revision and the version it has in the source. Then even the
// hash over all of it must be the one that etcd computed.
func TestKubernetesData(t *testing.T) {
	path := k8sPath(t)
	if path == "" {
		return // KEELSON_TESTDATA=none
	}
	source := readSource(t, path)
	member := startKeelson(t, serverOptions{dir: filepath.Join(t.TempDir(), "k8s"), noSync: true})
	client := newClient(t, member.clientURL)
	source.replay(t, client)

	t.Run("list", func(t *testing.T) { source.checkLists(t, client) })
	t.Run("counts", func(t *testing.T) { checkCounts(t, client) })
	t.Run("old revisions", func(t *testing.T) { source.checkOldRevisions(t, client) })
	t.Run("watch", func(t *testing.T) { source.checkWatches(t, client) })
	t.Run("hash", func(t *testing.T) { checkHash(t, client) })
}

// k8sPath finds the data: where KEELSON_TESTDATA says, or in a directory
// shared/data beside one of the directories above.
func k8sPath(t *testing.T) string {
	const name = "k8s.db.gz"
	dir := os.Getenv("KEELSON_TESTDATA")
	if dir == "none" {
		return ""
	}
	if dir != "" {
		return filepath.Join(dir, name)
	}
	at, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		path := filepath.Join(at, "shared", "data", name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
		up := filepath.Dir(at)
		if up == at {
			t.Fatalf("the Kubernetes data is missing: put %s into a directory shared/data beside the repository, or name its directory in KEELSON_TESTDATA (none: leave this test out)", name)
		}
		at = up
	}
}

// record is one entry of etcd's bucket "key".
type record struct {
	main, sub int64
	deleted   bool
	kv        *mvccpb.KeyValue
}

// k8sSource is the content of the snapshot.
type k8sSource struct {
	records []record // in revision order
	leases  []int64
}

func readSource(t *testing.T, path string) *k8sSource {
	t.Helper()
	db := openGzippedBolt(t, path)
	source := &k8sSource{}
	err := db.View(func(tx *bolt.Tx) error {
		err := tx.Bucket([]byte("key")).ForEach(func(k, v []byte) error {
			r := record{main: int64(binary.BigEndian.Uint64(k)), sub: int64(binary.BigEndian.Uint64(k[9:])),
				deleted: len(k) == 18, kv: &mvccpb.KeyValue{}}
			source.records = append(source.records, r)
			return proto.Unmarshal(v, r.kv)
		})
		if err != nil {
			return err
		}
		return tx.Bucket([]byte("lease")).ForEach(func(k, _ []byte) error {
			source.leases = append(source.leases, int64(binary.BigEndian.Uint64(k)))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func openGzippedBolt(t *testing.T, path string) *bolt.DB {
	t.Helper()
	packed, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "k8s.db")
	out, err := os.Create(plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, unpacked); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(plain, 0o400, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// scratch fills revisions and sub-revisions of which the source knows nothing
// any more. It is deleted before the source's compaction.
const scratch = "scratch/"

// plan says what each revision must do: first the records that survived, at
// their sub-revisions, then puts that only serve to give other records their
// creation revision and version.
//
//	revision   ... c ............. m-2  m-1   m
//	             create  (scratch)  v=2  v=3   the surviving record, version 4
func (s *k8sSource) plan(t *testing.T) [][]clientv3.Op {
	plan := make([][]clientv3.Op, k8sRevision+1)
	extra := make([][]clientv3.Op, k8sRevision+1)
	alive := map[string]bool{}
	for _, r := range s.records {
		key := string(r.kv.Key)
		for int64(len(plan[r.main])) < r.sub {
			plan[r.main] = append(plan[r.main], clientv3.OpPut(fmt.Sprintf("%s%d", scratch, len(plan[r.main])), ""))
		}
		if r.deleted {
			if !alive[key] {
				extra[r.main-1] = append(extra[r.main-1], clientv3.OpPut(key, "before its deletion"))
			}
			alive[key] = false
			plan[r.main] = append(plan[r.main], clientv3.OpDelete(key))
			continue
		}
		if !alive[key] && r.kv.Version > 1 {
			extra[r.kv.CreateRevision] = append(extra[r.kv.CreateRevision], clientv3.OpPut(key, "first"))
			for i := range r.kv.Version - 2 {
				at := r.main - 1 - i
				extra[at] = append(extra[at], clientv3.OpPut(key, "between"))
			}
		}
		alive[key] = true
		plan[r.main] = append(plan[r.main], clientv3.OpPut(key, string(r.kv.Value), clientv3.WithLease(clientv3.LeaseID(r.kv.Lease))))
	}
	for revision := int64(2); revision <= k8sRevision; revision++ {
		if len(extra[revision]) > 0 && revision > k8sCompacted {
			t.Fatalf("revision %d is complete in the source and cannot be added to", revision)
		}
		plan[revision] = append(plan[revision], extra[revision]...)
		if revision == k8sCompacted-1 {
			plan[revision] = append(plan[revision], clientv3.OpDelete(scratch, clientv3.WithPrefix()))
		} else if len(plan[revision]) == 0 {
			plan[revision] = append(plan[revision], clientv3.OpPut(scratch+"0", ""))
		}
	}
	return plan
}

// replay carries out the plan and compacts where the source was compacted.
func (s *k8sSource) replay(t *testing.T, client *clientv3.Client) {
	t.Helper()
	ctx := testContext(t)
	leases := map[int64]bool{}
	grant := func(id int64) {
		if id == 0 || leases[id] {
			return
		}
		leases[id] = true
		request := &pb.LeaseGrantRequest{ID: id, TTL: 36000}
		if _, err := pb.NewLeaseClient(client.ActiveConnection()).LeaseGrant(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range s.leases {
		grant(id)
	}
	for _, r := range s.records {
		grant(r.kv.Lease)
	}
	for revision, ops := range s.plan(t) {
		if len(ops) == 0 {
			continue
		}
		answer, err := client.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			t.Fatalf("revision %d: %v", revision, err)
		}
		if answer.Header.Revision != int64(revision) {
			t.Fatalf("revision %d was planned, %d was answered", revision, answer.Header.Revision)
		}
	}
	if _, err := client.Compact(ctx, k8sCompacted, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
}

// at computes from the source what is live at a revision, in key order.
func (s *k8sSource) at(revision int64) []*mvccpb.KeyValue {
	live := map[string]*mvccpb.KeyValue{}
	for _, r := range s.records {
		switch {
		case r.main > revision:
		case r.deleted:
			delete(live, string(r.kv.Key))
		default:
			live[string(r.kv.Key)] = r.kv
		}
	}
	out := make([]*mvccpb.KeyValue, 0, len(live))
	for _, kv := range live {
		out = append(out, kv)
	}
	slices.SortFunc(out, func(a, b *mvccpb.KeyValue) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return out
}

func sameKVs(t *testing.T, what string, got, want []*mvccpb.KeyValue) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d keys, the source has %d", what, len(got), len(want))
	}
	for i := range got {
		if !proto.Equal(got[i], want[i]) {
			t.Fatalf("%s: key %d is\n  %s\nin the source\n  %s", what, i, short(messageText(got[i])), short(messageText(want[i])))
		}
	}
}

// checkLists lists everything at once, and in pages as an apiserver does.
func (s *k8sSource) checkLists(t *testing.T, client *clientv3.Client) {
	ctx := testContext(t)
	want := s.at(k8sRevision)
	all, err := client.Get(ctx, "\x00", clientv3.WithFromKey())
	if err != nil {
		t.Fatal(err)
	}
	if all.Header.Revision != k8sRevision || all.Count != k8sKeys {
		t.Fatalf("revision %d, count %d", all.Header.Revision, all.Count)
	}
	sameKVs(t, "list", all.Kvs, want)

	const prefix, page = "/registry/", 500
	end := clientv3.GetPrefixRangeEnd(prefix)
	var paged []*mvccpb.KeyValue
	for key, more := prefix, true; more; {
		answer, err := client.Get(ctx, key, clientv3.WithRange(end), clientv3.WithLimit(page), clientv3.WithRev(k8sRevision))
		if err != nil {
			t.Fatal(err)
		}
		if answer.Count != int64(k8sRegistry-len(paged)) {
			t.Fatalf("count %d after %d keys", answer.Count, len(paged))
		}
		paged, more = append(paged, answer.Kvs...), answer.More
		key = string(answer.Kvs[len(answer.Kvs)-1].Key) + "\x00"
	}
	sameKVs(t, "pages", paged, slices.DeleteFunc(slices.Clone(want), func(kv *mvccpb.KeyValue) bool {
		return !strings.HasPrefix(string(kv.Key), prefix)
	}))
}

func checkCounts(t *testing.T, client *clientv3.Client) {
	ctx := testContext(t)
	for prefix, want := range map[string]int64{
		"/registry/": k8sRegistry, "/registry/configmaps/": k8sConfigMaps, "/registry/secrets/": k8sSecrets, "/registry/clusterroles/": k8sRoles,
		"/registry/namespaces/": k8sNamespaces, "/registry/leases/": k8sLeases, "/registry/pods/": k8sPods, "/registry/none/": 0,
	} {
		answer, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		if answer.Count != want {
			t.Errorf("%d keys under %s, want %d", answer.Count, prefix, want)
		}
	}
}

func (s *k8sSource) checkOldRevisions(t *testing.T, client *clientv3.Client) {
	ctx := testContext(t)
	for revision := int64(k8sCompacted); revision <= k8sRevision; revision += 4 {
		answer, err := client.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(revision))
		if err != nil {
			t.Fatal(err)
		}
		sameKVs(t, fmt.Sprintf("at revision %d", revision), answer.Kvs, s.at(revision))
	}
	_, err := client.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(k8sCompacted-1))
	if err == nil || !strings.Contains(err.Error(), "required revision has been compacted") {
		t.Errorf("read below the compaction: %v", err)
	}
}

// checkWatches replays the history that the source still has.
func (s *k8sSource) checkWatches(t *testing.T, client *clientv3.Client) {
	for _, start := range []int64{k8sCompacted, k8sCompacted + 1, k8sRevision - 10, k8sRevision} {
		var want []record
		for _, r := range s.records {
			if r.main >= start {
				want = append(want, r)
			}
		}
		ctx, cancel := context.WithTimeout(testContext(t), callLimit)
		events := client.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(start), clientv3.WithPrevKV())
		for seen := 0; seen < len(want); {
			answer, ok := <-events
			if !ok || answer.Err() != nil {
				t.Fatalf("watch from %d ended after %d of %d events: %v", start, seen, len(want), answer.Err())
			}
			for _, event := range answer.Events {
				checkEvent(t, s, event, want[seen])
				seen++
			}
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(testContext(t), callLimit)
	defer cancel()
	answer := <-client.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(k8sCompacted-1))
	if answer.CompactRevision != k8sCompacted {
		t.Errorf("watch below the compaction: %+v", answer)
	}
}

func checkEvent(t *testing.T, s *k8sSource, event *clientv3.Event, want record) {
	t.Helper()
	expected := want.kv
	if want.deleted {
		expected = &mvccpb.KeyValue{Key: want.kv.Key, ModRevision: want.main}
	}
	if (event.Type == mvccpb.Event_DELETE) != want.deleted || !proto.Equal(event.Kv, expected) {
		t.Fatalf("event %s %s, want %s", event.Type, short(messageText(event.Kv)), short(messageText(expected)))
	}
	if want.main <= k8sCompacted {
		return // what was before is compacted
	}
	var before *mvccpb.KeyValue
	for _, r := range s.records {
		if r.main < want.main && string(r.kv.Key) == string(want.kv.Key) {
			if before = r.kv; r.deleted {
				before = nil
			}
		}
	}
	if (before == nil) != (event.PrevKv == nil) || before != nil && !proto.Equal(before, event.PrevKv) {
		t.Fatalf("previous value of %s at %d is %v, want %v", want.kv.Key, want.main, short(messageText(event.PrevKv)), short(messageText(before)))
	}
}

func checkHash(t *testing.T, client *clientv3.Client) {
	answer, err := pb.NewMaintenanceClient(client.ActiveConnection()).HashKV(testContext(t), &pb.HashKVRequest{Revision: k8sRevision})
	if err != nil {
		t.Fatal(err)
	}
	if answer.Hash != k8sHashKV || answer.CompactRevision != k8sCompacted {
		t.Errorf("hash %d under compaction %d, etcd says %d and %d", answer.Hash, answer.CompactRevision, k8sHashKV, k8sCompacted)
	}
}

func newClient(t testing.TB, url string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{url}, DialTimeout: startLimit, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// testContext ends a test that would hang before the whole binary is ended.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 4*time.Minute, errors.New("the test takes too long"))
	t.Cleanup(cancel)
	return ctx
}
