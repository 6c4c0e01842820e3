package wal

import (
	"bytes"
	"errors"
	"path"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// flipLog writes a log of three small segments with every kind of record in
// it, and returns its entries.
func flipLog(t testing.TB, disk vfs.FS) []*raftpb.Entry {
	t.Helper()
	opts := testOptions(disk)
	opts.SegmentBytes = 1024
	w := mustCreate(t, opts)
	var all []*raftpb.Entry
	for i := base.Index(1); w.tail.seg.seq < 2 || w.tail.off < 600; i += 2 {
		batch := entriesOf(i, i+1, 2, int(i)*7%90)
		must(t, w.Append(state(2, 1, uint64(i-1)), batch, true))
		if i == 3 {
			must(t, w.SaveSnapshot(3, 2, voters(1)))
		}
		all = append(all, batch...)
	}
	must(t, w.Close())
	return all
}

// TestEveryFlippedBitIsFound inverts every single bit of a log. Each one is
// reported, or lies in the zeros behind the last record and changes nothing.
func TestEveryFlippedBitIsFound(t *testing.T) {
	disk := newDisk(t)
	flipLog(t, disk)
	clean, err := Verify(disk, testDir, nil)
	must(t, err)
	if len(clean.Segments) != 3 {
		t.Fatalf("%d segments", len(clean.Segments))
	}
	for k, info := range clean.Segments {
		name := path.Join(testDir, info.Name)
		for bit := range info.Bytes * 8 {
			must(t, disk.Corrupt(name, bit/8, 1<<(bit%8)))
			sum, err := Verify(disk, testDir, nil)
			var damage *CorruptError
			switch {
			case errors.As(err, &damage):
			case err != nil:
				t.Fatalf("bit %d of %s: %v", bit, info.Name, err)
			case k != 2 || bit/8 < clean.EndOffset:
				t.Errorf("bit %d of byte %d of %s goes unnoticed (%s)", bit%8, bit/8, info.Name, sum.Torn)
			case sum.LastIndex != clean.LastIndex || sum.Records != clean.Records:
				t.Errorf("bit %d of byte %d of %s changes the log", bit%8, bit/8, info.Name)
			}
			must(t, disk.Corrupt(name, bit/8, 1<<(bit%8)))
		}
	}
}

// TestDamageLeavesFilesAlone opens logs with one damaged byte: whoever has to
// find out what happened finds the files as they were.
func TestDamageLeavesFilesAlone(t *testing.T) {
	disk := newDisk(t)
	all := flipLog(t, disk)
	opts := testOptions(disk)
	opts.SegmentBytes = 1024
	infos, err := Segments(disk, testDir)
	must(t, err)
	for _, info := range infos {
		name := path.Join(testDir, info.Name)
		before := readFile(t, disk, name)
		for off := int64(0); off < info.Bytes; off += 13 {
			must(t, disk.Corrupt(name, off, 0x10))
			want := readFile(t, disk, name)
			w, r, err := Open(opts, Position{})
			var damage *CorruptError
			switch {
			case err == nil: // behind the last record: cut like a torn write
				must(t, w.Close())
				wantEntries(t, r.Entries, all)
				if !bytes.Equal(readFile(t, disk, name), before) {
					t.Fatalf("byte %d of %s was not cleaned", off, info.Name)
				}
				must(t, disk.Remove(name+".broken"))
				continue
			case !errors.As(err, &damage):
				t.Fatalf("byte %d of %s: %v", off, info.Name, err)
			case damage.Hint == "" || damage.Reason == "" || path.Dir(damage.File) != testDir:
				t.Fatalf("the error does not help: %v", err)
			case !bytes.Equal(readFile(t, disk, name), want):
				t.Fatalf("byte %d of %s: the damaged file was changed", off, info.Name)
			}
			must(t, disk.Corrupt(name, off, 0x10))
		}
	}
	if names, err := disk.List(testDir); err != nil || len(names) != 3 {
		t.Fatalf("files left: %v, %v", names, err)
	}
}

// A length word that claims too much looks like a write cut short; the record
// itself proves that it is not.
func TestDamagedLengthIsNotATornWrite(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	opts.SegmentBytes = 1 << 16
	w := mustCreate(t, opts)
	must(t, w.Append(state(1, 1, 0), entriesOf(1, 1, 1, 100), true))
	off := w.tail.off
	must(t, w.Append(nil, entriesOf(2, 5, 1, 100), true))
	must(t, w.Close())
	name := path.Join(testDir, segmentName(0, 0))
	for _, at := range []int64{1, 2, 3, 6} {
		must(t, disk.Corrupt(name, off+at, 0x40))
		var damage *CorruptError
		if _, _, err := Open(opts, Position{}); !errors.As(err, &damage) || damage.Offset != off {
			t.Fatalf("byte %d: %v", at, err)
		}
		must(t, disk.Corrupt(name, off+at, 0x40))
	}
}
