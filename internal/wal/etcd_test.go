package wal

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// Member and cluster of the directory that a real kube-apiserver filled.
const (
	k8sMember  = base.MemberID(12328053997652247864)
	k8sCluster = base.ClusterID(2415596799041264236)
)

// A log we create is the one that etcd creates, byte for byte.
func TestCreateWritesWhatEtcdWrites(t *testing.T) {
	disk := newDisk(t)
	w := mustCreate(t, testOptions(disk))
	must(t, w.Close())
	want := hexFixture(t, "etcd-default-head.hex")
	got := readFile(t, disk, path.Join(testDir, segmentName(0, 0)))
	if !bytes.Equal(got[:len(want)], want) || !allZero(got[len(want):]) {
		t.Fatalf("head\n%x\netcd writes\n%x", got[:len(want)], want)
	}
	var md etcdserverpb.Metadata
	must(t, proto.Unmarshal(w.metadata, &md))
	if md.GetNodeID() != 0x8e9e05c52164694d || md.GetClusterID() != 0xcdf818194e3a8c32 {
		t.Fatalf("metadata %v", &md)
	}
}

// The first half kilobyte of a log written by etcd: conf change, hard states,
// an empty entry, commands. It replays, goes on, and what we write for the
// same input is the same.
func TestHeadWrittenByEtcd(t *testing.T) {
	head := hexFixture(t, "etcd-head.hex")
	disk := newDisk(t)
	must(t, disk.MkdirAll(testDir))
	name := path.Join(testDir, segmentName(0, 0))
	writeFile(t, disk, name, append(head, make([]byte, 4096-len(head))...))
	opts := testOptions(disk)

	w, r := mustOpen(t, opts, Position{})
	member, cluster, err := ParseMetadata(r.Metadata)
	if err != nil || member != k8sMember || cluster != k8sCluster {
		t.Fatalf("member %v, cluster %v, %v", member, cluster, err)
	}
	wantState(t, r.HardState, state(2, uint64(k8sMember), 4))
	if len(r.Entries) != 4 || r.Entries[0].GetType() != raftpb.EntryConfChange || len(r.Entries[1].Data) != 0 {
		t.Fatalf("entries %v", r.Entries)
	}
	must(t, w.Append(nil, entriesOf(5, 5, 2, 10), true))
	_, again := mustReopen(t, &w, opts, Position{})
	wantEntries(t, again.Entries, append(r.Entries, entry(5, 2, 10)))

	ours := newDisk(t)
	opts.FS = ours
	w, err = Create(opts, r.Metadata)
	must(t, err)
	must(t, w.Append(state(1, 0, 1), r.Entries[:1], true))
	must(t, w.Append(state(2, uint64(k8sMember), 1), nil, true))
	must(t, w.Append(state(2, uint64(k8sMember), 3), r.Entries[1:3], true))
	must(t, w.Append(state(2, uint64(k8sMember), 4), r.Entries[3:], true))
	must(t, w.Close())
	if got := readFile(t, ours, name)[:len(head)]; !bytes.Equal(got, head) {
		t.Fatalf("we write\n%x\netcd writes\n%x", got, head)
	}
}

// TestLogOfKubernetes replays the whole log that etcd 3.7.1 wrote for a real
// kube-apiserver and encodes every record again.
func TestLogOfKubernetes(t *testing.T) {
	archive, ok := findTestData("k8s-datadir.tar.gz")
	if !ok {
		t.Log("shared/data is not here and KEELSON_TESTDATA not set: " +
			"the log of kube-apiserver is not replayed, TestHeadWrittenByEtcd stands in for it")
		return
	}
	dir := filepath.ToSlash(t.TempDir())
	extractWAL(t, archive, dir)
	var encoded chain
	sum, err := Verify(vfs.OS{}, dir, func(r Record) error {
		encoded = reencode(t, encoded, r)
		return nil
	})
	must(t, err)
	member, cluster, err := ParseMetadata(sum.Metadata)
	if err != nil || member != k8sMember || cluster != k8sCluster {
		t.Fatalf("member %v, cluster %v, %v", member, cluster, err)
	}
	if sum.FirstIndex != 1 || sum.LastTerm != 2 || sum.Torn != "" || len(sum.Valid()) != len(sum.Snapshots) {
		t.Fatalf("%+v", sum)
	}

	opts := Options{FS: vfs.OS{}, Dir: dir}
	w, r := mustOpen(t, opts, Position{})
	for i, e := range r.Entries {
		if e.GetIndex() != uint64(i+1) {
			t.Fatalf("entry %d has index %d", i, e.GetIndex())
		}
	}
	n := base.Index(len(r.Entries))
	if n != sum.LastIndex || w.LastIndex() != n || r.Entries[n-1].GetTerm() != 2 || r.HardState.GetTerm() != 2 {
		t.Fatalf("%d entries, %+v", n, r.HardState)
	}
	back, err := w.ReadEntries(1, n+1, 1<<40)
	must(t, err)
	wantEntries(t, back, r.Entries)

	snap := sum.Snapshots[len(sum.Snapshots)-1]
	must(t, w.Append(state(3, 0, uint64(n)), entriesOf(n+1, n+2, 3, 100), true))
	_, tail := mustReopen(t, &w, opts, Position{Index: snap.Index, Term: snap.Term})
	wantEntries(t, tail.Entries, append(r.Entries[snap.Index:], entriesOf(n+1, n+2, 3, 100)...))
}

// reencode checks that our encoders give the bytes that etcd wrote.
func reencode(t *testing.T, sum chain, r Record) chain {
	t.Helper()
	if r.Kind == KindCRC {
		return chain(r.CRC)
	}
	data := r.Data
	switch r.Kind {
	case KindEntry:
		data = append(appendEntryHead(nil, r.Entry), r.Entry.Data...)
	case KindState:
		data = hardState{r.State.GetTerm(), r.State.GetVote(), r.State.GetCommit()}.append(nil)
	case KindSnapshot:
		var err error
		data, err = r.Snapshot.append(nil)
		must(t, err)
	}
	sum = sum.add(data)
	if !bytes.Equal(data, r.Data) || uint32(sum) != r.CRC || int64(len(appendRecord(nil, r.Kind, sum, data, nil))) != r.Bytes {
		t.Fatalf("%v record at %d: we encode %x, etcd %x", r.Kind, r.Offset, data, r.Data)
	}
	return sum
}

// findTestData looks in $KEELSON_TESTDATA, then in shared/data beside any
// directory above this one.
func findTestData(name string) (string, bool) {
	if dir := os.Getenv("KEELSON_TESTDATA"); dir != "" {
		return filepath.Join(dir, name), true
	}
	dir, err := filepath.Abs(".")
	for err == nil && dir != filepath.Dir(dir) {
		file := filepath.Join(dir, "shared", "data", name)
		if _, err := os.Stat(file); err == nil {
			return file, true
		}
		dir = filepath.Dir(dir)
	}
	return "", false
}

func extractWAL(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	zr, err := gzip.NewReader(f)
	must(t, err)
	found := false
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if filepath.Ext(h.Name) != ".wal" {
			continue
		}
		out, err := os.Create(filepath.Join(dir, filepath.Base(h.Name)))
		must(t, err)
		_, err = io.Copy(out, tr)
		must(t, errors.Join(err, out.Close()))
		found = true
	}
	if !found {
		t.Fatal("no segment in " + archive)
	}
}
