package compat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
			why := "the Kubernetes data is not part of the repository: put " + name +
				" into a directory shared/data beside it, or name its directory in KEELSON_TESTDATA"
			if os.Getenv("KEELSON_REQUIRE_TESTDATA") != "" { // .ci/run
				t.Fatal(why)
			}
			t.Skip(why)
		}
		at = up
	}
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
