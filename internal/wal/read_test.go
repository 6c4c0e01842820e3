package wal

import (
	"errors"
	"path"
	"sync"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
)

func TestReadEntriesAcrossSegments(t *testing.T) {
	opts := testOptions(newDisk(t))
	w := mustCreate(t, opts)
	var want []*raftpb.Entry
	for i := base.Index(1); i < 120; i += 3 {
		batch := entriesOf(i, i+2, 1, int(i)%7*60)
		must(t, w.Append(state(1, 1, uint64(i)), batch, true))
		want = append(want, batch...)
	}
	last := base.Index(len(want))
	for _, reopened := range []bool{false, true} {
		if reopened {
			mustReopen(t, &w, opts, Position{})
		}
		for lo := base.Index(1); lo <= last; lo += 5 {
			for hi := lo; hi <= last+1; hi += 11 {
				got, err := w.ReadEntries(lo, hi, 1<<30)
				must(t, err)
				wantEntries(t, got, want[lo-1:hi-1])
			}
		}
	}
	if _, err := w.ReadEntries(1, last+2, 1<<30); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := w.ReadEntries(0, 2, 1<<30); !errors.Is(err, ErrCompacted) {
		t.Fatal(err)
	}
}

func TestReadEntriesKeepsToItsBudget(t *testing.T) {
	opts := testOptions(newDisk(t))
	w := mustCreate(t, opts)
	must(t, w.Append(nil, entriesOf(1, 40, 1, 500), true))
	must(t, w.Append(nil, entriesOf(41, 41, 1, 400_000), true)) // beyond a read window
	one := uint64(len(appendEntryHead(nil, entry(1, 1, 500))) + 500)
	for _, tc := range []struct {
		lo, hi base.Index
		max    uint64
		want   int
	}{
		{1, 41, 0, 1}, {1, 41, 1, 1}, {1, 41, one, 1}, {1, 41, 2*one - 1, 1}, {1, 41, 2 * one, 2},
		{1, 41, 25 * one, 25}, {1, 41, 1 << 40, 40}, {40, 42, 1 << 40, 2}, {40, 42, one, 1}, {41, 42, 1, 1}, {5, 5, 100, 0},
	} {
		got, err := w.ReadEntries(tc.lo, tc.hi, tc.max)
		must(t, err)
		if len(got) != tc.want {
			t.Errorf("[%d,%d) in %d bytes: %d entries, want %d", tc.lo, tc.hi, tc.max, len(got), tc.want)
		}
	}
}

func TestReadingDamagedEntries(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	w := mustCreate(t, opts)
	must(t, w.Append(nil, entriesOf(1, 3, 1, 200), true))
	off := w.index.table.runs[0].places[1].offset()
	for at := range int64(200) {
		must(t, disk.Corrupt(path.Join(testDir, segmentName(0, 0)), off+at, 0x04))
		_, err := w.ReadEntries(1, 4, 1<<20)
		var damage *CorruptError
		if !errors.As(err, &damage) {
			t.Fatalf("byte %d: %v", at, err)
		}
		must(t, disk.Corrupt(path.Join(testDir, segmentName(0, 0)), off+at, 0x04))
		got, err := w.ReadEntries(3, 4, 1<<20) // the others are fine
		must(t, err)
		wantEntries(t, got, entriesOf(3, 3, 1, 200))
	}
}

func TestReleaseGivesUpAndDeletes(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	opts.MaxFiles = 3
	w := mustCreate(t, opts)
	var all []*raftpb.Entry
	for i := base.Index(1); w.tail.seg.seq < 6; i++ {
		must(t, w.Append(state(1+uint64(i)/40, 1, uint64(i-1)), entriesOf(i, i, 1+base.Term(i)/40, 150), true))
		all = append(all, entry(i, 1+base.Term(i)/40, 150))
	}
	infos, err := Segments(disk, testDir)
	must(t, err)

	must(t, w.ReleaseTo(infos[2].First-1)) // one short of the third segment
	if got, _ := Segments(disk, testDir); len(got) != 6 || w.FirstIndex() != infos[1].First {
		t.Fatalf("%d files, first index %d", len(got), w.FirstIndex())
	}
	must(t, w.ReleaseTo(infos[5].First+1))
	left, err := Segments(disk, testDir)
	must(t, err)
	if len(left) != 3 || left[0].Seq != 4 {
		t.Fatalf("left: %v", left)
	}
	if w.FirstIndex() != infos[5].First {
		t.Fatalf("first index %d", w.FirstIndex())
	}
	if _, err := w.ReadEntries(infos[5].First-1, infos[5].First+2, 1000); !errors.Is(err, ErrCompacted) {
		t.Fatal(err)
	}
	before := infos[5].First - 1
	if term, err := w.Term(before); err != nil || term != termOf(all, before) {
		t.Fatalf("term of the entry before the first: %d, %v", term, err)
	}
	if _, err := w.Term(before - 1); !errors.Is(err, ErrCompacted) {
		t.Fatal(err)
	}
	last := w.LastIndex()
	got, err := w.ReadEntries(w.FirstIndex(), last+1, 1<<30)
	must(t, err)
	wantEntries(t, got, all[before:])

	// The released file is no longer locked, the log opens without it.
	f, err := disk.OpenReadWrite(path.Join(testDir, left[0].Name))
	must(t, err)
	must(t, f.TryLock())
	must(t, f.Close())
	from := Position{Index: infos[5].First + 1, Term: termOf(all, infos[5].First+1)}
	w, r := mustReopen(t, &w, opts, from)
	wantEntries(t, r.Entries, all[from.Index:])
	must(t, w.ReleaseTo(0)) // files released by the last run count
	if left, _ := Segments(disk, testDir); len(left) != 3 {
		t.Fatalf("left: %v", left)
	}
	sum, err := Verify(disk, testDir, nil)
	must(t, err)
	if sum.LastIndex != last {
		t.Fatalf("%+v", sum)
	}
}

func TestReleaseKeepsAllFilesWithoutABound(t *testing.T) {
	disk := newDisk(t)
	w := mustCreate(t, testOptions(disk))
	for i := base.Index(1); w.tail.seg.seq < 4; i++ {
		must(t, w.Append(nil, entriesOf(i, i, 1, 150), true))
	}
	must(t, w.ReleaseTo(w.LastIndex()))
	if infos, _ := Segments(disk, testDir); len(infos) != 5 {
		t.Fatalf("%d files", len(infos))
	}
}

// Readers, a releaser and the writer at the same time; for the race detector.
func TestReadingWhileAppendingAndReleasing(t *testing.T) {
	opts := testOptions(newDisk(t))
	opts.MaxFiles = 1
	w := mustCreate(t, opts)
	must(t, w.Append(nil, entriesOf(1, 1, 1, 100), true))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				lo, hi := w.FirstIndex(), w.LastIndex()+1
				got, err := w.ReadEntries(lo, hi, 1<<20)
				switch {
				case errors.Is(err, ErrCompacted):
				case errors.Is(err, ErrUnavailable): // the end was overridden
				case err != nil:
					t.Error(err)
					return
				default:
					for k, e := range got {
						if base.Index(e.GetIndex()) != lo+base.Index(k) || len(e.Data) != 100 {
							t.Errorf("entry %v at %d", e, lo+base.Index(k))
							return
						}
					}
				}
				_ = w.SpaceOK()
			}
		})
	}
	last := base.Index(1)
	for i := range 600 {
		term := base.Term(1 + i/10)
		if i%10 == 0 && last > 5 {
			last -= 2
		}
		must(t, w.Append(nil, entriesOf(last+1, last+4, term, 100), true))
		last += 4
		if i%30 == 0 && last > 60 {
			must(t, w.ReleaseTo(last-50))
		}
	}
	close(stop)
	wg.Wait()
}
