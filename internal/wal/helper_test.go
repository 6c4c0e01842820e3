package wal

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/vfs"
)

const testDir = "member/wal"

// testMetadata names the member and cluster of etcd without flags.
func testMetadata() []byte {
	return AppendMetadata(nil, 0x8e9e05c52164694d, 0xcdf818194e3a8c32)
}

func testOptions(fs vfs.FS) Options {
	return Options{
		FS: fs, Dir: testDir, SegmentBytes: 4096,
		Clock: clock.NewFake(time.Unix(1_700_000_000, 0)),
	}
}

func newDisk(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	must(t, m.MkdirAll("member"))
	must(t, m.SyncDir("."))
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustCreate(t testing.TB, opts Options) *WAL {
	t.Helper()
	w, err := Create(opts, testMetadata())
	must(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func mustOpen(t testing.TB, opts Options, from Position) (*WAL, Replay) {
	t.Helper()
	w, r, err := Open(opts, from)
	must(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w, r
}

// entry makes a normal entry with n bytes of data that no sector of zeros
// occurs in; n = 0 is the empty entry of a new leader.
func entry(index base.Index, term base.Term, n int) *raftpb.Entry {
	e := &raftpb.Entry{Index: proto.Uint64(uint64(index)), Term: proto.Uint64(uint64(term))}
	for i := range n {
		e.Data = append(e.Data, byte(1+(uint64(index)*31+uint64(term)*7+uint64(i))%255))
	}
	return e
}

func entriesOf(first, last base.Index, term base.Term, n int) []*raftpb.Entry {
	var ents []*raftpb.Entry
	for i := first; i <= last; i++ {
		ents = append(ents, entry(i, term, n))
	}
	return ents
}

func state(term, vote, commit uint64) *raftpb.HardState {
	return &raftpb.HardState{Term: &term, Vote: &vote, Commit: &commit}
}

func voters(ids ...uint64) *raftpb.ConfState { return &raftpb.ConfState{Voters: ids} }

func wantEntries(t testing.TB, got, want []*raftpb.Entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i := range want {
		if !sameEntry(got[i], want[i]) {
			t.Fatalf("entry %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func sameEntry(a, b *raftpb.Entry) bool {
	return a.GetIndex() == b.GetIndex() && a.GetTerm() == b.GetTerm() &&
		a.GetType() == b.GetType() && bytes.Equal(a.Data, b.Data)
}

func wantState(t testing.TB, got, want *raftpb.HardState) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Fatalf("hard state %v, want %v", got, want)
	}
}

// settle waits until the spare maker has nothing to make.
func settle(w *WAL) {
	w.spare.state.Lock()
	defer w.spare.state.Unlock()
	w.spare.awaitLocked()
}

// readFile returns the content of a file.
func readFile(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(b, 0)
		must(t, err)
	}
	return b
}

func writeFile(t testing.TB, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Create(name)
	must(t, err)
	_, err = f.WriteAt(b, 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

// hexFixture reads a file of hex digits with blanks and # comments.
func hexFixture(t testing.TB, name string) []byte {
	t.Helper()
	text := readFile(t, vfs.OS{}, "testdata/"+name)
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	must(t, err)
	return b
}
