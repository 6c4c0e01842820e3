package wal

import (
	"errors"
	"io/fs"
	"path"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

func TestRoundTripOverManySegments(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	w := mustCreate(t, opts)
	var want []*raftpb.Entry
	for i := base.Index(1); i <= 200; i += 4 {
		batch := entriesOf(i, i+3, 1+base.Term(i/50), 90)
		must(t, w.Append(state(uint64(1+i/50), 7, uint64(i)), batch, true))
		want = append(want, batch...)
	}
	conf := &raftpb.Entry{Index: ptr(uint64(201)), Term: ptr(uint64(9)), Type: raftpb.EntryConfChange.Enum(), Data: []byte("conf")}
	must(t, w.Append(state(9, 7, 200), []*raftpb.Entry{conf, entry(202, 9, 0)}, true))
	want = append(want, conf, entry(202, 9, 0))
	must(t, w.Close())

	infos, err := Segments(disk, testDir)
	must(t, err)
	if len(infos) < 4 {
		t.Fatalf("only %d segments", len(infos))
	}
	w, r := mustOpen(t, opts, Position{})
	wantEntries(t, r.Entries, want)
	wantState(t, r.HardState, state(9, 7, 200))
	if string(r.Metadata) != string(testMetadata()) {
		t.Fatalf("metadata %x", r.Metadata)
	}
	if len(r.Snapshots) != 1 || r.Snapshots[0].Index != 0 || r.Snapshots[0].ConfState != nil {
		t.Fatalf("snapshots %v", r.Snapshots)
	}
	if w.FirstIndex() != 1 || w.LastIndex() != 202 {
		t.Fatalf("log holds %d to %d", w.FirstIndex(), w.LastIndex())
	}
	for _, info := range infos {
		_, r := mustReopen(t, &w, opts, Position{Index: info.First, Term: termOf(want, info.First)})
		wantEntries(t, r.Entries, want[info.First:])
		wantState(t, r.HardState, state(9, 7, 200))
	}
}

// mustReopen closes and opens a log again.
func mustReopen(t testing.TB, w **WAL, opts Options, from Position) (*WAL, Replay) {
	t.Helper()
	must(t, (*w).Close())
	var r Replay
	*w, r = mustOpen(t, opts, from)
	return *w, r
}

func ptr[T any](v T) *T { return &v }

func termOf(ents []*raftpb.Entry, i base.Index) base.Term {
	if i == 0 {
		return 0
	}
	return base.Term(ents[i-1].GetTerm())
}

func TestLaterEntryOverridesEarlierOnes(t *testing.T) {
	opts := testOptions(newDisk(t))
	w := mustCreate(t, opts)
	must(t, w.Append(state(1, 1, 5), entriesOf(1, 60, 1, 100), true)) // reaches into a second segment
	must(t, w.Append(state(2, 1, 5), entriesOf(61, 90, 1, 100), true))
	must(t, w.Append(state(3, 2, 9), entriesOf(10, 12, 3, 40), true)) // back into the first one
	want := append(entriesOf(1, 9, 1, 100), entriesOf(10, 12, 3, 40)...)

	check := func(w *WAL) {
		t.Helper()
		if w.LastIndex() != 12 {
			t.Fatalf("last index %d", w.LastIndex())
		}
		for i, term := range map[base.Index]base.Term{0: 0, 1: 1, 9: 1, 10: 3, 12: 3} {
			if got, err := w.Term(i); err != nil || got != term {
				t.Fatalf("term of %d is %d, %v", i, got, err)
			}
		}
		if _, err := w.Term(13); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("term of 13: %v", err)
		}
		got, err := w.ReadEntries(1, 13, 1<<20)
		must(t, err)
		wantEntries(t, got, want)
	}
	check(w)
	w, r := mustReopen(t, &w, opts, Position{})
	wantEntries(t, r.Entries, want)
	check(w)
	must(t, w.Append(nil, entriesOf(13, 14, 3, 1), true))
	_, r = mustReopen(t, &w, opts, Position{Index: 11, Term: 3})
	wantEntries(t, r.Entries, append(entriesOf(12, 12, 3, 40), entriesOf(13, 14, 3, 1)...))
}

func TestBatchThatDoesNotContinueTheLogIsRefused(t *testing.T) {
	opts := testOptions(newDisk(t))
	w := mustCreate(t, opts)
	must(t, w.Append(nil, entriesOf(1, 3, 1, 10), true))
	for name, batch := range map[string][]*raftpb.Entry{
		"gap before": entriesOf(5, 6, 1, 10),
		"index 0":    entriesOf(0, 1, 1, 10),
		"gap inside": {entry(4, 1, 1), entry(6, 1, 1)},
		"no term":    {entry(4, 0, 1)},
	} {
		if err := w.Append(nil, batch, true); !errors.Is(err, ErrOutOfOrder) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	must(t, w.Append(nil, entriesOf(4, 4, 1, 10), true))
	_, r := mustReopen(t, &w, opts, Position{})
	wantEntries(t, r.Entries, entriesOf(1, 4, 1, 10))
}

func TestOnlyNewsIsSynced(t *testing.T) {
	disk := newDisk(t)
	syncs := 0
	disk.OnOp(func(_ int, op vfs.Op, name string) {
		if op == vfs.OpSync && path.Ext(name) == ".wal" {
			syncs++
		}
	})
	opts := testOptions(disk)
	opts.SegmentBytes = 1 << 20
	w := mustCreate(t, opts)
	for _, step := range []struct {
		what string
		hs   *raftpb.HardState
		ents []*raftpb.Entry
		must bool
		want int
	}{
		{"term", state(1, 0, 0), nil, false, 1},
		{"vote", state(1, 3, 0), nil, false, 1},
		{"commit", state(1, 3, 1), nil, false, 0},
		{"the same", state(1, 3, 1), nil, false, 0},
		{"nothing", nil, nil, false, 0},
		{"empty state", state(0, 0, 0), nil, false, 0},
		{"entries", nil, entriesOf(1, 9, 1, 10), false, 1},
		{"all at once", state(2, 3, 5), entriesOf(10, 12, 2, 10), true, 1},
		{"asked for", state(2, 3, 6), nil, true, 1},
	} {
		syncs = 0
		must(t, w.Append(step.hs, step.ents, step.must))
		if syncs != step.want {
			t.Errorf("%s: %d syncs, want %d", step.what, syncs, step.want)
		}
	}
	_, r := mustReopen(t, &w, opts, Position{})
	wantState(t, r.HardState, state(2, 3, 6))
}

func TestSnapshotRecordOfTheLogItself(t *testing.T) {
	opts := testOptions(newDisk(t))
	w := mustCreate(t, opts)
	must(t, w.Append(state(1, 1, 8), entriesOf(1, 10, 1, 10), true))
	must(t, w.SaveSnapshot(8, 1, voters(1, 2, 3)))
	must(t, w.Append(nil, entriesOf(11, 12, 1, 10), true))
	if w.FirstIndex() != 1 {
		t.Fatal("a local snapshot hides entries")
	}
	_, r := mustReopen(t, &w, opts, Position{Index: 8, Term: 1})
	wantEntries(t, r.Entries, entriesOf(9, 12, 1, 10))
	if n := len(r.Snapshots); n != 2 || r.Snapshots[1].Index != 8 || len(r.Snapshots[1].ConfState.Voters) != 3 {
		t.Fatalf("snapshots %v", r.Snapshots)
	}
	if err := w.SaveSnapshot(9, 1, nil); err == nil {
		t.Fatal("etcd refuses a snapshot record without conf state, so must we")
	}
}

// A follower that is far behind, or has entries no leader knows, gets the
// leader's state: the log before it counts no more.
func TestSnapshotOfALeaderReplacesTheLog(t *testing.T) {
	for _, tc := range []struct {
		name  string
		index base.Index
	}{{"behind", 100}, {"conflicting", 7}} {
		t.Run(tc.name, func(t *testing.T) {
			opts := testOptions(newDisk(t))
			w := mustCreate(t, opts)
			must(t, w.Append(state(1, 1, 5), entriesOf(1, 10, 1, 10), true))
			must(t, w.SaveSnapshot(tc.index, 4, voters(1)))
			if w.FirstIndex() != tc.index+1 || w.LastIndex() != tc.index {
				t.Fatalf("log holds %d to %d", w.FirstIndex(), w.LastIndex())
			}
			from := Position{Index: tc.index, Term: 4}
			w, r := mustReopen(t, &w, opts, from)
			wantEntries(t, r.Entries, nil)
			next := entriesOf(tc.index+1, tc.index+3, 4, 10)
			must(t, w.Append(state(4, 0, uint64(tc.index)), next, true))
			_, r = mustReopen(t, &w, opts, from)
			wantEntries(t, r.Entries, next)
			must(t, w.Close())
			// The older state cannot be brought up to date by this log.
			var damage *CorruptError
			if _, _, err := Open(opts, Position{Index: 5, Term: 1}); !errors.As(err, &damage) {
				t.Fatalf("opened with a hole: %v", err)
			}
		})
	}
}

// The state of a leader was installed, and the machine stopped before the log
// had a record of it.
func TestStateNewerThanTheLogReplacesIt(t *testing.T) {
	for _, from := range []Position{
		{Index: 100, Term: 4, ConfState: voters(1)}, // beyond the log
		{Index: 7, Term: 4, ConfState: voters(1)},   // contradicts it
	} {
		opts := testOptions(newDisk(t))
		w := mustCreate(t, opts)
		must(t, w.Append(state(1, 1, 5), entriesOf(1, 10, 1, 10), true))
		w, r := mustReopen(t, &w, opts, from)
		wantEntries(t, r.Entries, nil)
		if term, err := w.Term(from.Index); err != nil || term != 4 || w.LastIndex() != from.Index {
			t.Fatalf("term %d, %v, last %d", term, err, w.LastIndex())
		}
		must(t, w.Append(nil, entriesOf(from.Index+1, from.Index+1, 4, 10), true))
		_, r = mustReopen(t, &w, opts, from)
		wantEntries(t, r.Entries, entriesOf(from.Index+1, from.Index+1, 4, 10))
		if n := len(r.Snapshots); n != 2 || r.Snapshots[1].Index != from.Index {
			t.Fatalf("snapshots %v", r.Snapshots)
		}
	}
}

func TestSnapshotRecordOfAnotherTermIsDamage(t *testing.T) {
	opts := testOptions(newDisk(t))
	w := mustCreate(t, opts)
	must(t, w.Append(state(1, 1, 5), entriesOf(1, 10, 1, 10), true))
	must(t, w.SaveSnapshot(5, 1, voters(1)))
	must(t, w.Close())
	var damage *CorruptError
	if _, _, err := Open(opts, Position{Index: 5, Term: 2}); !errors.As(err, &damage) || damage.Hint == "" {
		t.Fatalf("opened: %v", err)
	}
}

func TestCreateRefusesWhatIsThere(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	must(t, disk.MkdirAll(testDir+".tmp"))
	writeFile(t, disk, testDir+".tmp/left.over", []byte("x"))
	w := mustCreate(t, opts)
	must(t, w.Close())
	if _, err := Create(opts, testMetadata()); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("created over a log: %v", err)
	}
	if !Exist(disk, testDir) || Exist(disk, "member") {
		t.Fatal("Exist is wrong")
	}
	names, err := disk.List(testDir)
	must(t, err)
	if len(names) != 1 || names[0] != "0000000000000000-0000000000000000.wal" {
		t.Fatalf("directory holds %v", names)
	}
}

func TestSecondUserIsRefused(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	w := mustCreate(t, opts)
	settle(w)
	if _, _, err := Open(opts, Position{}); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("opened twice: %v", err)
	}
	if _, err := disk.Stat(testDir + "/0.tmp"); err != nil {
		t.Fatalf("the second user took the first one's spare: %v", err)
	}
	must(t, w.Append(nil, entriesOf(1, 1, 1, 10), true))
}

func TestMissingSegmentIsNamed(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	w := mustCreate(t, opts)
	for i := base.Index(1); i < 150; i++ {
		must(t, w.Append(nil, entriesOf(i, i, 1, 90), true))
	}
	must(t, w.Close())
	infos, err := Segments(disk, testDir)
	must(t, err)
	must(t, disk.Remove(path.Join(testDir, infos[1].Name)))
	var damage *CorruptError
	if _, _, err := Open(opts, Position{}); !errors.As(err, &damage) {
		t.Fatalf("opened with a hole: %v", err)
	}
	if _, err := Verify(disk, testDir, nil); !errors.As(err, &damage) {
		t.Fatalf("verified with a hole: %v", err)
	}
	_, r := mustOpen(t, opts, Position{Index: infos[2].First, Term: 1})
	if len(r.Entries) == 0 {
		t.Fatal("the rest of the log cannot be read")
	}
	must(t, disk.Remove(path.Join(testDir, infos[0].Name)))
	if _, _, err := Open(opts, Position{Index: 3, Term: 1}); !errors.As(err, &damage) {
		t.Fatalf("opened without the beginning: %v", err)
	}
}

func TestClosedLogRefuses(t *testing.T) {
	w := mustCreate(t, testOptions(newDisk(t)))
	must(t, w.Append(nil, entriesOf(1, 2, 1, 10), true))
	must(t, w.Close())
	must(t, w.Close())
	if err := w.Append(nil, entriesOf(3, 3, 1, 10), true); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := w.SaveSnapshot(1, 1, voters(1)); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if _, err := w.ReadEntries(1, 2, 100); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := w.SpaceOK(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}
