package wal

import (
	"fmt"
	"path/filepath"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/vfs"
)

// renumber makes ents follow index last, without allocating.
func renumber(ents []*raftpb.Entry, last uint64) {
	for i, e := range ents {
		*e.Index = last + 1 + uint64(i)
	}
}

func osOptions(b testing.TB) Options {
	return Options{
		FS: vfs.OS{}, Dir: filepath.ToSlash(filepath.Join(b.TempDir(), "wal")),
		Clock: clock.Real{}, MaxFiles: 2,
	}
}

// TestAppendDoesNotAllocate: what a batch allocates is the growth of the
// position table, once in a while.
func TestAppendDoesNotAllocate(t *testing.T) {
	opts := osOptions(t)
	opts.NoSync = true
	w := mustCreate(t, opts)
	ents := entriesOf(1, 64, 1, 300)
	hs := state(1, 1, 0)
	last := uint64(0)
	step := func() {
		renumber(ents, last)
		*hs.Commit = last
		if err := w.Append(hs, ents, true); err != nil {
			t.Fatal(err)
		}
		last += uint64(len(ents))
	}
	for range 50 {
		step()
	}
	if n := testing.AllocsPerRun(500, step); n >= 1 {
		t.Fatalf("%v allocations for a batch of %d entries", n, len(ents))
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, sync := range []bool{false, true} {
		for _, n := range []base.Index{1, 64, 1000} {
			name := fmt.Sprintf("nosync/entries=%d", n)
			if sync {
				name = fmt.Sprintf("sync/entries=%d", n)
			}
			b.Run(name, func(b *testing.B) {
				opts := osOptions(b)
				opts.NoSync = !sync
				w := mustCreate(b, opts)
				ents := entriesOf(1, n, 1, 300)
				hs := state(1, 1, 0)
				last := uint64(0)
				b.ReportAllocs()
				b.SetBytes(int64(n) * 300)
				for b.Loop() {
					renumber(ents, last)
					*hs.Commit = last
					must(b, w.Append(hs, ents, true))
					last += uint64(n)
					if last%100_000 == 0 {
						must(b, w.ReleaseTo(base.Index(last)))
					}
				}
			})
		}
	}
}

func BenchmarkReadEntries(b *testing.B) {
	opts := osOptions(b)
	opts.NoSync = true
	w := mustCreate(b, opts)
	must(b, w.Append(nil, entriesOf(1, 10_000, 1, 300), true))
	b.SetBytes(1000 * 300)
	b.ReportAllocs()
	lo := base.Index(1)
	for b.Loop() {
		got, err := w.ReadEntries(lo, lo+1000, 1<<20)
		must(b, err)
		if lo += base.Index(len(got)); lo > 9000 {
			lo = 1
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	opts := osOptions(b)
	opts.NoSync = true
	w := mustCreate(b, opts)
	must(b, w.Append(state(1, 1, 1), entriesOf(1, 100_000, 1, 300), true))
	must(b, w.Close())
	b.SetBytes(100_000 * 300)
	b.ReportAllocs()
	for b.Loop() {
		w, _, err := Open(opts, Position{})
		must(b, err)
		must(b, w.Close())
	}
}
