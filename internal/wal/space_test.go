package wal

import (
	"errors"
	"testing"
	"time"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/vfs"
)

// TestFullDiskIsSeenOneSegmentAhead fills the disk and follows what callers
// see: a warning while there is room, a refusal without harm when there is
// none, and everything well again when space was freed.
func TestFullDiskIsSeenOneSegmentAhead(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	opts.SegmentBytes = 32 << 10
	clk := opts.Clock.(*clock.Fake)
	w := mustCreate(t, opts)
	settle(w)
	must(t, w.SpaceOK())
	disk.SetQuota(disk.UsedBytes()) // room for the segment in use and the spare

	last := base.Index(0)
	put := func(n int) error {
		err := w.Append(state(1, 1, uint64(last)), entriesOf(last+1, last+1, 1, n), true)
		if err == nil {
			last++
		}
		return err
	}
	for w.tail.seg.seq == 0 {
		must(t, put(1000))
	}
	settle(w)
	if err := w.SpaceOK(); !errors.Is(err, vfs.ErrNoSpace) || errors.Is(err, ErrFailed) {
		t.Fatalf("SpaceOK on a full disk: %v", err)
	}
	room := 0
	var err error
	for err = put(1000); err == nil; err = put(1000) {
		room++
	}
	if !errors.Is(err, vfs.ErrNoSpace) || errors.Is(err, ErrFailed) {
		t.Fatalf("append on a full disk: %v", err)
	}
	if room < 25 {
		t.Fatalf("only %d entries fitted after the warning", room)
	}
	must(t, put(1)) // a smaller one still fits
	got, err := w.ReadEntries(1, last+1, 1<<30)
	must(t, err)
	if len(got) != int(last) {
		t.Fatalf("%d entries, want %d", len(got), last)
	}

	disk.SetQuota(0)
	if err := w.SpaceOK(); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("looked again at once: %v", err)
	}
	settle(w)
	clk.Advance(time.Second)
	if err := w.SpaceOK(); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("the attempt has only begun: %v", err)
	}
	settle(w)
	must(t, w.SpaceOK())
	for seq := w.tail.seg.seq; w.tail.seg.seq < seq+2; {
		must(t, put(1000))
	}
	_, r := mustReopen(t, &w, opts, Position{})
	if len(r.Entries) != int(last) {
		t.Fatalf("%d entries after all, want %d", len(r.Entries), last)
	}
}

func TestBatchLargerThanASegment(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	w := mustCreate(t, opts)
	must(t, w.Append(state(1, 1, 0), entriesOf(1, 30, 1, 1000), true)) // into an empty segment
	must(t, w.Append(state(1, 1, 9), entriesOf(31, 60, 1, 1000), true))
	must(t, w.Append(state(1, 1, 50), entriesOf(61, 61, 1, 1), true))
	_, r := mustReopen(t, &w, opts, Position{})
	wantEntries(t, r.Entries, append(entriesOf(1, 60, 1, 1000), entry(61, 1, 1)))
}

func TestStorageFaultIsFinal(t *testing.T) {
	cause := errors.New("the drive is gone")
	for _, tc := range []struct {
		name string
		op   vfs.Op
		file string
		seq  uint64 // the segment in use when it happens
	}{
		{"write", vfs.OpWrite, "*.wal", 0},
		{"sync", vfs.OpSync, "*.wal", 0},
		{"cut: truncate", vfs.OpTruncate, "*.wal", 0},
		{"cut: head", vfs.OpWrite, "*.tmp", 0},
		{"cut: sync of the head", vfs.OpSync, "*.tmp", 0},
		{"cut: rename", vfs.OpRename, "*.wal", 0},
		{"cut: directory", vfs.OpSyncDir, "wal", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			disk := newDisk(t)
			faulty := vfs.NewFaulty(disk)
			opts := testOptions(faulty)
			w := mustCreate(t, opts)
			must(t, w.Append(state(1, 1, 0), entriesOf(1, 1, 1, 100), true))
			settle(w)
			rule := faulty.Inject(vfs.Rule{Op: tc.op, Name: tc.file, Times: 1, Err: cause})
			var err error
			last := base.Index(1)
			for err == nil && w.tail.seg.seq == 0 {
				if err = w.Append(nil, entriesOf(last+1, last+1, 1, 600), true); err == nil {
					last++
				}
			}
			if !errors.Is(err, ErrFailed) || !errors.Is(err, cause) || rule.Hits() != 1 {
				t.Fatalf("%v after %d faults", err, rule.Hits())
			}
			ops := disk.Ops()
			if err := w.Append(nil, entriesOf(last+1, last+1, 1, 1), true); !errors.Is(err, ErrFailed) || !errors.Is(err, cause) {
				t.Fatalf("append after a failure: %v", err)
			}
			if err := w.SaveSnapshot(1, 1, voters(1)); !errors.Is(err, ErrFailed) {
				t.Fatalf("snapshot after a failure: %v", err)
			}
			if err := w.SpaceOK(); !errors.Is(err, ErrFailed) {
				t.Fatalf("space after a failure: %v", err)
			}
			settle(w)
			if tc.seq == 0 && tc.op != vfs.OpSyncDir && tc.op&(vfs.OpWrite|vfs.OpSync) != 0 && tc.file == "*.wal" && disk.Ops() != ops {
				t.Fatal("the disk was touched after the failure")
			}
			got, err := w.ReadEntries(1, last+1, 1<<20)
			must(t, err)
			wantEntries(t, got[:1], entriesOf(1, 1, 1, 100))
			_ = w.Close()

			// What was acknowledged is there.
			opts.FS = disk.Crash(vfs.CrashLose, 1)
			_, r := mustOpen(t, opts, Position{})
			if len(r.Entries) != int(last) {
				t.Fatalf("%d entries, %d were acknowledged", len(r.Entries), last)
			}
		})
	}
}

// Without a next segment the present one grows: a member that ran out of file
// handles for a moment goes on.
func TestLogGrowsWithoutASpare(t *testing.T) {
	disk := newDisk(t)
	faulty := vfs.NewFaulty(disk)
	cause := errors.New("too many open files")
	rule := faulty.Inject(vfs.Rule{Op: vfs.OpCreate, Name: "*.tmp", Err: cause})
	opts := testOptions(faulty)
	w := mustCreate(t, opts)
	settle(w)
	if err := w.SpaceOK(); !errors.Is(err, cause) {
		t.Fatalf("SpaceOK: %v", err)
	}
	must(t, w.Append(state(1, 1, 0), entriesOf(1, 4, 1, 600), true))
	must(t, w.Append(state(1, 1, 0), entriesOf(5, 9, 1, 600), true))
	if w.tail.seg.seq != 0 {
		t.Fatal("cut without a spare")
	}
	rule.Remove()
	must(t, w.Append(state(1, 1, 0), entriesOf(10, 10, 1, 600), true))
	if w.tail.seg.seq != 1 {
		t.Fatal("no cut although a spare can be made")
	}
	_, r := mustReopen(t, &w, opts, Position{})
	wantEntries(t, r.Entries, entriesOf(1, 10, 1, 600))
}

// The zeros written ahead must never meet records: fill while appending, in
// segments that are several chunks long.
func TestSpareIsFilledAhead(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	opts.SegmentBytes = 5*fillChunkBytes + 100
	w := mustCreate(t, opts)
	var last base.Index
	for w.tail.seg.seq < 4 {
		must(t, w.Append(nil, entriesOf(last+1, last+1, 1, 60_000), true))
		last++
	}
	got, err := w.ReadEntries(1, last+1, 1<<40)
	must(t, err)
	wantEntries(t, got, entriesOf(1, last, 1, 60_000))
	_, r := mustReopen(t, &w, opts, Position{})
	wantEntries(t, r.Entries, got)
}

func TestFailedFillIsNotUsed(t *testing.T) {
	disk := newDisk(t)
	faulty := vfs.NewFaulty(disk)
	opts := testOptions(faulty)
	w := mustCreate(t, opts)
	settle(w)
	rule := faulty.Inject(vfs.Rule{Op: vfs.OpSync, Name: "0.tmp", Times: 1, Err: errors.New("bad block")})
	must(t, w.Append(nil, entriesOf(1, 5, 1, 500), true)) // beyond the middle
	last := base.Index(5)
	w.spare.state.Lock()
	for w.spare.state.phase != failed {
		w.spare.state.changed.Wait()
	}
	w.spare.state.Unlock()
	if err := w.SpaceOK(); err == nil || rule.Hits() != 1 {
		t.Fatalf("SpaceOK says %v after %d faults", err, rule.Hits())
	}
	for w.tail.seg.seq < 2 {
		must(t, w.Append(nil, entriesOf(last+1, last+1, 1, 500), true))
		last++
	}
	settle(w)
	must(t, w.SpaceOK())
	_, r := mustReopen(t, &w, opts, Position{})
	wantEntries(t, r.Entries, entriesOf(1, last, 1, 500))
}
