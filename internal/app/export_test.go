package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"math/rand/v2"

	"keelson/internal/clock"
	"keelson/internal/config"
	"keelson/internal/errs"
	"keelson/internal/obs"
	"keelson/internal/vfs"
	"keelson/internal/wire"
)

// startOnDisk starts a member in a real directory: an exported file is written
// by bbolt, which knows no other.
func startOnDisk(t *testing.T) (m *Member, dir string) {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir = filepath.ToSlash(t.TempDir())
	m, err := StartMember(t.Context(), &cfg, Outside{
		FS: vfs.OS{}, Clock: clock.Real{}, Logger: zap.NewNop(), Rand: rand.New(rand.NewPCG(1, 2)), Sizes: smallSizes,
		Metrics: obs.NewMetrics(prometheus.NewRegistry(), obs.MetricsOptions{}),
	})
	must(t, err)
	must(t, awaitReady(m))
	return m, cfg.DataDir
}

// TestExport: a snapshot opened with bbolt holds exactly the state, and its
// digest is right.
func TestExport(t *testing.T) {
	m, dir := startOnDisk(t)
	ref := newReference(t)
	p := play{rand.New(rand.NewPCG(3, 3)), ref.machine.KV.Revision}
	for range 300 {
		q := p.next()
		want := ref.apply(q)
		if _, err := q.send(t.Context(), t, m); !errors.Is(err, want) {
			t.Fatalf("%v: %v, want %v", q, err, want)
		}
	}
	var file []byte
	var last []byte
	remaining := uint64(1 << 60)
	err := m.Server.Snapshot(t.Context(), &pb.SnapshotRequest{}, func(r *pb.SnapshotResponse) error {
		if r.RemainingBytes > remaining {
			t.Errorf("remaining bytes grew from %d to %d", remaining, r.RemainingBytes)
		}
		remaining = r.RemainingBytes
		file, last = append(file, last...), bytes.Clone(r.Blob)
		return nil
	})
	must(t, err)
	if sum := sha256.Sum256(file); remaining != 0 || !bytes.Equal(last, sum[:]) {
		t.Fatal("the last message is not the digest of what came before")
	}
	if len(file)%512 != 0 {
		t.Fatalf("%d bytes: etcd's tools expect a digest behind whole sectors", len(file))
	}
	noScratch(t, dir)

	name := filepath.Join(t.TempDir(), "snap.db")
	must(t, os.WriteFile(name, file, 0o600))
	db, err := bolt.Open(name, 0o400, &bolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	must(t, db.View(func(tx *bolt.Tx) error {
		compareKeys(t, tx, ref)
		meta := tx.Bucket([]byte("meta"))
		if got := binary.BigEndian.Uint64(meta.Get([]byte("consistent_index"))); got != uint64(m.Server.Applied()) {
			t.Errorf("consistent index %d, applied %d", got, m.Server.Applied())
		}
		if got := string(tx.Bucket([]byte("cluster")).Get([]byte("clusterVersion"))); got != "" && got != "3.7.0" {
			t.Errorf("cluster version %q", got)
		}
		leases := tx.Bucket([]byte("lease")).Stats().KeyN
		if want := ref.machine.Leases.Len(); leases != want {
			t.Errorf("%d leases, want %d", leases, want)
		}
		if n, want := tx.Bucket([]byte("alarm")).Stats().KeyN, len(ref.machine.Alarms.List(0)); n != want {
			t.Errorf("%d alarms, want %d", n, want)
		}
		if n := tx.Bucket([]byte("members")).Stats().KeyN; n != 1 {
			t.Errorf("%d members", n)
		}
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	}))
	stopMember(t, m)
}

// compareKeys replays the records of the file and compares what is live with
// the reference.
func compareKeys(t *testing.T, tx *bolt.Tx, ref *reference) {
	t.Helper()
	live := map[string]string{}
	must(t, tx.Bucket([]byte("key")).ForEach(func(k, v []byte) error {
		var kv mvccpb.KeyValue
		if err := proto.Unmarshal(v, &kv); err != nil {
			return err
		}
		switch {
		case len(k) == 18 && k[17] == 't':
			delete(live, string(kv.Key))
		case len(k) != 17 || k[8] != '_' || int64(binary.BigEndian.Uint64(k)) != kv.ModRevision:
			return fmt.Errorf("record key %x with revision %d", k, kv.ModRevision)
		default:
			live[string(kv.Key)] = string(v)
		}
		return nil
	}))
	var got bytes.Buffer
	for _, line := range strings.Split(everything(t, ref.machine), "\n") {
		var kv mvccpb.KeyValue
		var raw []byte
		if _, err := fmt.Sscanf(line, "%x", &raw); err != nil || strings.Contains(line, " ") {
			continue
		}
		must(t, proto.Unmarshal(raw, &kv))
		if live[string(kv.Key)] != string(raw) {
			fmt.Fprintf(&got, "%s: the file holds %x, the state %x\n", kv.Key, live[string(kv.Key)], raw)
		}
		delete(live, string(kv.Key))
	}
	if got.Len() > 0 || len(live) > 0 {
		t.Errorf("%sand only in the file: %d keys", got.String(), len(live))
	}
}

func noScratch(t *testing.T, dir string) {
	t.Helper()
	names, err := vfs.OS{}.List(path.Join(dir, "member/snap"))
	must(t, err)
	for _, n := range names {
		if strings.HasPrefix(n, "tmp-") {
			t.Errorf("the export left %s behind", n)
		}
	}
}

// TestExportEndsEarly: a client that goes away leaves no file and does no harm.
func TestExportEndsEarly(t *testing.T) {
	m, dir := startOnDisk(t)
	for i := range 50 {
		put(t, m, fmt.Sprint("k", i), strings.Repeat("v", 2000))
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	err := m.Server.Snapshot(gone, &pb.SnapshotRequest{}, func(*pb.SnapshotResponse) error { return nil })
	if err == nil {
		t.Error("a cancelled export succeeded")
	}
	noScratch(t, dir)
	n := 0
	err = m.Server.Snapshot(t.Context(), &pb.SnapshotRequest{}, func(*pb.SnapshotResponse) error {
		if n++; n == 2 {
			return errBroken
		}
		return nil
	})
	if !errors.Is(err, errBroken) {
		t.Errorf("the client's end is reported as %v", err)
	}
	noScratch(t, dir)
	if _, err := (request{wire.KindLeaseRevoke, &pb.LeaseRevokeRequest{ID: 5}}).send(t.Context(), t, m); !errors.Is(err, errs.ErrLeaseNotFound) {
		t.Errorf("the member does not go on: %v", err)
	}
	// One that was killed while it exported leaves a file; the next start
	// removes it.
	must(t, vfs.WriteFile(vfs.OS{}, path.Join(dir, "member/snap/tmp-export-1.db"), []byte("x")))
	stopMember(t, m)
	cfg := config.Default()
	cfg.DataDir = dir
	m, err = StartMember(t.Context(), &cfg, Outside{FS: vfs.OS{}, Clock: clock.Real{}, Logger: zap.NewNop(),
		Rand: rand.New(rand.NewPCG(1, 2)), Metrics: obs.NewMetrics(prometheus.NewRegistry(), obs.MetricsOptions{})})
	must(t, err)
	noScratch(t, dir)
	must(t, awaitReady(m))
	stopMember(t, m)
}
