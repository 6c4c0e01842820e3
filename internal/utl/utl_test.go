package utl

import (
	"bytes"
	"path"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
	"keelson/internal/revlog"
	"keelson/internal/snap"
	"keelson/internal/vfs"
	"keelson/internal/wal"
	"keelson/internal/wire"
)

func command(fs vfs.FS, line string) (rc int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	rc = run(fs, strings.Fields(line), &out, &errOut)
	return rc, out.String(), errOut.String()
}

// member writes the files of a member that put one key and deleted it, with a
// checkpoint at the end or without.
func member(t *testing.T, checkpoint bool) *vfs.Mem {
	t.Helper()
	fs := vfs.NewMem()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"d/member/snap", "d/member/revlog"} {
		check(fs.MkdirAll(dir))
	}

	w, err := wal.Create(wal.Options{FS: fs, Dir: "d/member/wal", SegmentBytes: 4096}, wal.AppendMetadata(nil, 0xabc, 0xdef))
	check(err)
	data := wire.AppendRaftRequest(nil, wire.RequestHeader{ID: 7}, wire.KindPut, []byte("\n\x01k"))
	index, term, commit := uint64(1), uint64(1), uint64(1)
	check(w.Append(&raftpb.HardState{Term: &term, Commit: &commit},
		[]*raftpb.Entry{{Index: &index, Term: &term, Data: data}}, true))
	check(w.Close())

	log, err := revlog.Create(revlog.Options{FS: fs, Dir: "d/member/revlog", SegmentBytes: 4096, Inline: true})
	check(err)
	_, err = log.Append(&revlog.Meta{Rev: base.Revision{Main: 2}, Create: 2, Version: 1, Key: []byte("k")}, []byte("\n\x01k"))
	check(err)
	_, err = log.Append(&revlog.Meta{Rev: base.Revision{Main: 3}, Prev: base.Revision{Main: 2}, Tombstone: true, Key: []byte("k")}, []byte("\n\x01k"))
	check(err)
	m := log.Capture()
	check(log.SyncTo(m))
	check(log.Close())
	if checkpoint {
		_, err = snap.Write(fs, "d/member/snap", &snap.Checkpoint{
			Applied: 1, AppliedTerm: 1, Revision: 3, CompactRev: snap.NeverCompacted, ScheduledCompact: snap.NeverCompacted,
			Log: m.AppendTo(nil), Sections: []snap.Section{{Name: "leases", Data: []byte("xyz")}},
		})
		check(err)
	}
	return fs
}

func TestVerifyIntactMember(t *testing.T) {
	rc, stdout, stderr := command(member(t, true), "verify d")
	want := `wal: member abc of cluster def, files 1, records 5, entries 1 to 1, commit 1
checkpoint: applied 1, revision 3
revlog: segments 1, records 2, payload 6 bytes, up to revision 3/0
all files are intact
`
	if rc != 0 || stdout != want || stderr != "" {
		t.Errorf("rc %d, stderr %q, stdout\n%s", rc, stderr, stdout)
	}
}

// A member that has not taken a checkpoint yet is whole: its log begins with the first entry.
func TestVerifyYoungMember(t *testing.T) {
	rc, stdout, _ := command(member(t, false), "verify d")
	if rc != 0 || !strings.Contains(stdout, "checkpoint: none\nall files are intact\n") {
		t.Errorf("rc %d, stdout\n%s", rc, stdout)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	for _, c := range []struct {
		what, dir, suffix string
		offset            int64
	}{
		{"raft log", "d/member/wal", ".wal", 90},
		{"checkpoint", "d/member/snap", ".ckpt", 40},
		{"revision log", "d/member/revlog", "1.seg", 40},
	} {
		fs := member(t, true)
		names, err := fs.List(c.dir)
		if err != nil {
			t.Fatal(err)
		}
		damaged := ""
		for _, name := range names {
			if strings.HasSuffix(name, c.suffix) {
				damaged = path.Join(c.dir, name)
			}
		}
		flipBit(t, fs, damaged, c.offset)
		rc, _, stderr := command(fs, "verify d")
		if rc != 1 || !strings.Contains(stderr, "Error: the member's files are damaged:") || !strings.Contains(stderr, damaged) {
			t.Errorf("%s: rc %d, stderr %s does not name %s", c.what, rc, stderr, damaged)
		}
	}
}

func flipBit(t *testing.T, fs vfs.FS, name string, offset int64) {
	t.Helper()
	f, err := fs.OpenReadWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyMissingMember(t *testing.T) {
	rc, _, stderr := command(vfs.NewMem(), "verify gone")
	if rc != 1 || !strings.Contains(stderr, "gone/member/wal") {
		t.Errorf("rc %d, %s", rc, stderr)
	}
}

// complete is the only check that no file can make for itself.
func TestGapBetweenCheckpointAndLog(t *testing.T) {
	if err := complete(places{}, wal.Summary{FirstIndex: 2}, nil); err == nil {
		t.Error("a log without its beginning and without a checkpoint is called complete")
	}
	if err := complete(places{}, wal.Summary{FirstIndex: 9}, &snap.Checkpoint{Applied: 7}); err == nil {
		t.Error("entry 8 is missing")
	}
	if err := complete(places{}, wal.Summary{FirstIndex: 8}, &snap.Checkpoint{Applied: 7}); err != nil {
		t.Error(err)
	}
}

func TestDump(t *testing.T) {
	fs := member(t, true)
	for part, want := range map[string][]string{
		"wal":        {"metadata member=abc cluster=def", "entry term=1 index=1 put id=7 3 bytes", "state term=1 vote=0 commit=1", "snapshot term=0 index=0", "crc 00000000"},
		"checkpoint": {"0000000000000001.ckpt applied=1 term=1 revision=3 compacted=-1 compaction=-1", "records=2 sealed=false revisions=2/0..3/0", "section leases 3 bytes"},
		"revlog":     {`rev=2/0 prev=0/0 put key="k" create=2 version=1 lease=0 3 bytes`, `rev=3/0 prev=2/0 delete key="k"`},
	} {
		rc, stdout, stderr := command(fs, "dump "+part+" d")
		for _, line := range want {
			if rc != 0 || !strings.Contains(stdout, line) {
				t.Errorf("%s: rc %d, %s: no %q in\n%s", part, rc, stderr, line, stdout)
			}
		}
	}
	if rc, _, stderr := command(member(t, false), "dump revlog d"); rc != 1 || stderr != "Error: d/member/snap holds no checkpoint\n" {
		t.Errorf("rc %d, %s", rc, stderr)
	}
}

func TestVersionAndLaterCommands(t *testing.T) {
	if rc, stdout, _ := command(nil, "version"); rc != 0 || stdout != "etcdutl version: 3.7.1\nAPI version: 3.7\n" {
		t.Errorf("rc %d, %q", rc, stdout)
	}
	for _, name := range []string{"snapshot restore", "snapshot status", "defrag", "hashkv", "migrate"} {
		rc, stdout, stderr := command(nil, name+" file --data-dir x")
		if want := "Error: etcdutl " + name + " is not supported yet: it comes in a later version\n"; rc != 1 || stdout != "" || stderr != want {
			t.Errorf("%s: rc %d, %q, %q", name, rc, stdout, stderr)
		}
	}
	rc, _, stderr := command(nil, "backup")
	if rc != 1 || strings.Count(stderr, "Error: unknown command \"backup\" for \"etcdutl\"\n") != 2 {
		t.Errorf("rc %d, %q", rc, stderr)
	}
	if rc, stdout, _ := command(nil, "completion bash"); rc != 0 || !strings.Contains(stdout, "etcdutl") {
		t.Errorf("completion: rc %d", rc)
	}
}
