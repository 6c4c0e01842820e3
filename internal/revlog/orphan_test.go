package revlog

import (
	"testing"

	"keelson/internal/vfs"
)

// TestOrphanedSpare: the spare of the time of the checkpoint has an ID below
// the manifest's next one and is in no manifest. After a crash its room is
// needed for the new spare, so that it must not wait for the next checkpoint.
func TestOrphanedSpare(t *testing.T) {
	opts := smallOptions(vfs.NewMem())
	m := newModel(t, mustCreate(t, opts), 1)
	fill := func(segments int) Manifest {
		for m.log.Stats().Segments < segments {
			if err := m.tx(300); err != nil {
				t.Fatal(err)
			}
		}
		man := m.log.Capture()
		if err := m.log.SyncTo(man); err != nil {
			t.Fatal(err)
		}
		return man
	}
	older := fill(2)
	newest := fill(4)
	fill(6) // the spare of back then is in use now

	count := func() (n int) {
		names, err := opts.FS.List(opts.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if _, suffix, ok := parseName(name); ok && suffix == segmentSuffix {
				n++
			}
		}
		return n
	}
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		older []Manifest
		want  int
	}{
		{nil, len(newest.Segments) + 2}, // nobody says what may go
		{[]Manifest{older}, len(newest.Segments) + 1},
		{[]Manifest{}, len(newest.Segments) + 1},
	} {
		opts.Older = c.older
		l, err := Open(opts, newest)
		if err != nil {
			t.Fatal(err)
		}
		if n := count(); n != c.want { // with the new spare
			t.Errorf("%d segment files with %d older checkpoints known, want %d", n, len(c.older), c.want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
