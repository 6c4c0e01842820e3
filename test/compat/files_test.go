package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	clientsnapshot "go.etcd.io/etcd/client/v3/snapshot"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// TestLogAfterStop: etcd's own code reads the raft log that Keelson leaves at
// an orderly stop, checkpoint records included, and finds every request.
func TestLogAfterStop(t *testing.T) {
	member := startKeelson(t, serverOptions{dir: filepath.Join(t.TempDir(), "m"), snapshotCount: 100})
	client := newClient(t, member.clientURL)
	ctx := testContext(t)
	const puts = 350
	for i := range puts {
		if _, err := client.Put(ctx, fmt.Sprintf("key%d", i%20), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	status, err := client.Status(ctx, member.clientURL)
	if err != nil {
		t.Fatal(err)
	}
	if err := member.stop(); err != nil {
		t.Fatal(err)
	}

	log := readLog(t, member.dir)
	if log.metadata.GetNodeID() != status.Header.MemberId || log.metadata.GetClusterID() != status.Header.ClusterId {
		t.Errorf("log of member %x in cluster %x, the member said %x and %x",
			log.metadata.GetNodeID(), log.metadata.GetClusterID(), status.Header.MemberId, status.Header.ClusterId)
	}
	// The checkpoint of the stop itself is not in the log; it needs no log.
	if last := log.snapshots[len(log.snapshots)-1]; last.GetIndex() < puts-100 || last.GetTerm() != status.RaftTerm {
		t.Errorf("the last checkpoint in the log is %v, one was due every 100 entries", last)
	}
	if last := log.entries[len(log.entries)-1]; last.GetIndex() < status.RaftIndex {
		t.Errorf("the log ends at %d, the member said %d", last.GetIndex(), status.RaftIndex)
	}
	if log.state.GetTerm() != status.RaftTerm {
		t.Errorf("the log's state is %v, the member said term %d", log.state, status.RaftTerm)
	}
	checkPuts(t, log, puts)
}

// TestLogAfterKill: the same when the member is killed under load: every
// acknowledged write is in the log.
func TestLogAfterKill(t *testing.T) {
	member := startKeelson(t, serverOptions{dir: filepath.Join(t.TempDir(), "m")})
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	var next, acknowledged atomic.Int64
	var writers sync.WaitGroup
	for range 8 {
		client := newClient(t, member.clientURL)
		writers.Go(func() {
			for {
				i := next.Add(1) - 1
				if _, err := client.Put(ctx, fmt.Sprintf("key%d", i%20), fmt.Sprint(i)); err != nil {
					return
				}
				if acknowledged.Add(1) == 500 {
					cancel() // the others are in the middle of a write
				}
			}
		})
	}
	<-ctx.Done()
	member.kill()
	writers.Wait()
	log := readLog(t, member.dir)
	if found := len(log.values(t)); int64(found) < acknowledged.Load() {
		t.Errorf("%d puts in the log, %d were acknowledged", found, acknowledged.Load())
	}
}

// logContent is a raft log as etcd's code reads it.
type logContent struct {
	metadata  *pb.Metadata
	state     *raftpb.HardState
	entries   []*raftpb.Entry
	snapshots []*walpb.Snapshot
}

// readLog reads everything that is still there.
func readLog(t *testing.T, dir string) logContent {
	t.Helper()
	dir = filepath.Join(dir, "member", "wal")
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	if err != nil {
		t.Fatalf("etcd finds no valid snapshot record: %v", err)
	}
	content, err := readFrom(dir, snapshots[0])
	if errors.Is(err, io.ErrUnexpectedEOF) && wal.Repair(zap.NewNop(), dir) {
		content, err = readFrom(dir, snapshots[0]) // a write that was cut off, which etcd repairs too
	}
	if err != nil {
		t.Fatalf("etcd cannot read the log: %v", err)
	}
	content.snapshots = snapshots
	// From the newest checkpoint, as a member of etcd would begin.
	if _, err := wal.Verify(zap.NewNop(), dir, snapshots[len(snapshots)-1]); err != nil {
		t.Errorf("etcd's verification of the log: %v", err)
	}
	return content
}

func readFrom(dir string, from *walpb.Snapshot) (logContent, error) {
	w, err := wal.Open(zap.NewNop(), dir, from)
	if err != nil {
		return logContent{}, err
	}
	defer w.Close()
	var content logContent
	var metadata []byte
	if metadata, content.state, content.entries, err = w.ReadAll(); err != nil {
		return logContent{}, err
	}
	content.metadata = &pb.Metadata{}
	return content, proto.Unmarshal(metadata, content.metadata)
}

// values lists what was put, in the order of the log, whose indexes must be
// consecutive.
func (c logContent) values(t *testing.T) []string {
	t.Helper()
	var out []string
	for i, entry := range c.entries {
		if i > 0 && entry.GetIndex() != c.entries[i-1].GetIndex()+1 {
			t.Fatalf("index %d follows %d", entry.GetIndex(), c.entries[i-1].GetIndex())
		}
		if entry.GetType() != raftpb.EntryNormal || len(entry.GetData()) == 0 {
			continue
		}
		var request pb.InternalRaftRequest
		if err := proto.Unmarshal(entry.GetData(), &request); err != nil {
			t.Fatalf("entry %d: %v", entry.GetIndex(), err)
		}
		if request.Put != nil {
			out = append(out, string(request.Put.Value))
		}
	}
	return out
}

func checkPuts(t *testing.T, log logContent, want int) {
	t.Helper()
	values := log.values(t)
	if len(values) != want {
		t.Fatalf("%d puts in the log, want %d", len(values), want)
	}
	for i, value := range values {
		if value != fmt.Sprint(i) {
			t.Fatalf("put %d has value %s", i, value)
		}
	}
}

// TestSnapshotServedByEtcd: a snapshot of Keelson is valid for etcd's tools,
// and a member of etcd restored from it is the same store.
func TestSnapshotServedByEtcd(t *testing.T) {
	dir := t.TempDir()
	member := startKeelson(t, serverOptions{dir: filepath.Join(dir, "keelson")})
	client := newClient(t, member.clientURL)
	compacted := fillForSnapshot(t, client)

	ctx := testContext(t)
	path := filepath.Join(dir, "snapshot.db")
	config := clientv3.Config{Endpoints: []string{member.clientURL}, Logger: zap.NewNop()}
	version, err := clientsnapshot.SaveWithVersion(ctx, zap.NewNop(), config, path)
	if err != nil {
		t.Fatalf("save: %v", err)
	}
	all, err := client.Get(ctx, "\x00", clientv3.WithFromKey())
	if err != nil {
		t.Fatal(err)
	}
	manager := snapshot.NewV3(zap.NewNop())
	status, err := manager.Status(path)
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	if status.Revision != all.Header.Revision || status.TotalKey != int(all.Count) || status.Version != "3.7.0" || version != "3.7.0" {
		t.Errorf("status %+v, version %q; the member has revision %d and %d keys", status, version, all.Header.Revision, all.Count)
	}

	peer := freeURL(t)
	restored := filepath.Join(dir, "etcd")
	err = manager.Restore(snapshot.RestoreConfig{SnapshotPath: path, Name: "m", OutputDataDir: restored,
		PeerURLs: []string{peer}, InitialCluster: "m=" + peer, InitialClusterToken: "restored"})
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	etcd := startEtcd(t, serverOptions{dir: restored, peerURL: peer})
	sameStores(t, member, etcd, compacted)
}

// fillForSnapshot makes a store with history, leases, tombstones and a
// compaction, whose revision it returns.
func fillForSnapshot(t *testing.T, client *clientv3.Client) int64 {
	t.Helper()
	ctx := testContext(t)
	for id := range int64(5) {
		request := &pb.LeaseGrantRequest{ID: 1 + id, TTL: 5000 + id}
		if _, err := pb.NewLeaseClient(client.ActiveConnection()).LeaseGrant(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	var compacted int64
	for i := range 600 {
		key := fmt.Sprintf("key%03d", i*7%90)
		var op clientv3.Op
		switch {
		case i%11 == 3:
			op = clientv3.OpDelete(key)
		case i%5 == 1:
			op = clientv3.OpPut(key, fmt.Sprint("leased", i), clientv3.WithLease(clientv3.LeaseID(1+i%5)))
		default:
			op = clientv3.OpPut(key, fmt.Sprint("value", i))
		}
		answer, err := client.Txn(ctx).Then(op, clientv3.OpPut(fmt.Sprintf("second%d", i%3), fmt.Sprint(i))).Commit()
		if err != nil {
			t.Fatal(err)
		}
		if i == 300 || i == 450 {
			compacted = answer.Header.Revision - 20
			if _, err := client.Compact(ctx, compacted, clientv3.WithCompactPhysical()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return compacted
}

// sameStores asks both for everything that a snapshot carries.
func sameStores(t *testing.T, keelson, etcd *server, compacted int64) {
	t.Helper()
	r := &run{t: t}
	for i, s := range []*server{etcd, keelson} {
		conn, err := dial(s.clientURL)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		r.sides[i] = &side{server: s, conn: conn}
	}
	everything := pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}
	check := func(m method, request proto.Message) answer {
		a, err := r.must(m, request)
		if err != nil {
			t.Errorf("%v", err)
		}
		return a
	}
	current := check(rpcRange, &everything).message.(*pb.RangeResponse).Header.Revision
	check(rpcLeases, &pb.LeaseLeasesRequest{})
	for _, revision := range []int64{compacted - 1, compacted, compacted + 1, compacted + 50, current - 1, current, current + 1} {
		at := proto.CloneOf(&everything)
		at.Revision = revision
		check(rpcRange, at)
		if revision > compacted {
			// Not at the compaction: etcd forgets that hash (docs/compat.md, row H3).
			check(rpcHashKV, &pb.HashKVRequest{Revision: revision})
		}
	}
	for id := range int64(7) {
		out := r.ask(rpcTimeToLive, &pb.LeaseTimeToLiveRequest{ID: id, Keys: true})
		for _, a := range out {
			if a.err == nil {
				a.message.(*pb.LeaseTimeToLiveResponse).TTL = 0
			}
		}
		if err := r.equal(rpcTimeToLive.path, out); err != nil {
			t.Error(err)
		}
	}
	if err := sameHistory(r, compacted); err != nil {
		t.Error(err)
	}
}

// sameHistory watches all that is left from both.
func sameHistory(r *run, compacted int64) error {
	p := r.stream(0)
	defer r.closeStreams()
	request := &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: compacted, PrevKv: true}
	r.send(p, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}})
	p.live[0] = watcher{start: compacted}
	for _, w := range p.sides {
		if !w.wait(patience, func() bool { return len(w.answers) == 1 }) {
			return errors.New("no answer to create")
		}
	}
	return r.settle()
}
