package revlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// TestEveryFlippedByteIsNoticed damages one byte after the other of every file
// of a small log. Whatever is read must be what was written, or a CorruptError
// that names the file and the place.
func TestEveryFlippedByteIsNoticed(t *testing.T) {
	for _, disk := range []*vfs.Mem{vfs.NewMem(), vfs.NewMemWithoutMap()} {
		opts := smallOptions(disk)
		opts.SegmentBytes = 1024
		m := newModel(t, mustCreate(t, opts), 4)
		for m.log.Stats().Segments < 3 || m.log.Publish().info.Records < 3 {
			if err := m.tx(60); err != nil {
				t.Fatal(err)
			}
		}
		man := m.log.Capture()
		if err := m.log.SyncTo(man); err != nil {
			t.Fatal(err)
		}
		flips := 0
		for _, info := range man.Segments {
			for _, name := range []string{segmentName("log", info.ID), sidecarName("log", info.ID)} {
				size := info.Bytes
				if strings.HasSuffix(name, sidecarSuffix) {
					if !info.Sealed {
						continue
					}
					st, err := disk.Stat(name)
					if err != nil {
						t.Fatal(err)
					}
					size = st.Size
				}
				for off := range size {
					flips++
					m.flip(opts, disk.CrashClone(vfs.CrashKeep, 0), man, info, name, off)
				}
			}
		}
		t.Logf("%d bytes flipped", flips)
	}
}

func (m *model) flip(opts Options, disk *vfs.Mem, man Manifest, info SegmentInfo, name string, off int64) {
	m.t.Helper()
	if err := disk.Corrupt(name, off, 1<<m.rng.IntN(8)); err != nil {
		m.t.Fatal(err)
	}
	what := fmt.Sprintf("byte %d of %s", off, name)
	opts.FS = disk
	l, err := Open(opts, man)
	sidecar := strings.HasSuffix(name, sidecarSuffix)
	header := !sidecar && off < headerBytes
	switch {
	case sidecar:
		m.sidecarRepaired(l, err, disk, man, info, what)
		return
	case header || !info.Sealed:
		at := m.recordAt(info, off)
		if header {
			at = 0
		}
		m.damage(err, name, at, what)
		return
	case err != nil:
		m.t.Fatalf("%s: %v", what, err)
	}
	// Values are not read by Open: reading them must tell.
	v := l.Publish()
	at := m.recordAt(info, off)
	found := false
	for _, rev := range m.revs {
		rec, err := v.Record(rev)
		if err == nil {
			m.same(rec.Meta, rec.KV, rev)
			continue
		}
		found = true
		m.damage(err, name, at, what)
	}
	if !found {
		m.t.Fatalf("%s: not noticed", what)
	}
	m.damage(v.Scan(base.Revision{}, base.Revision{Main: m.main + 1}, func(r Record) bool {
		m.same(r.Meta, r.KV, r.Rev)
		return true
	}), name, at, what+": scan")
	m.damage(Walk(disk, "log", man, func(string, int64, Record) error { return nil }), name, at, what+": walk")
	v.Release()
	if err := l.Close(); err != nil {
		m.t.Fatal(err)
	}
}

// sidecarRepaired expects a sidecar to be replaced by a good one.
func (m *model) sidecarRepaired(l *Log, err error, disk *vfs.Mem, man Manifest, info SegmentInfo, what string) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("%s: %v", what, err)
	}
	m.checkMetas2(l)
	if _, err := readSidecar(disk, "log", info); err != nil {
		m.t.Fatalf("%s: the sidecar is not made again: %v", what, err)
	}
	if err := l.SyncTo(l.Capture()); err != nil {
		m.t.Fatalf("%s: %v", what, err)
	}
	if err := l.Close(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) checkMetas2(l *Log) {
	m.t.Helper()
	o := *m
	o.log = l
	o.checkMetas(m.revs)
	v := l.Publish()
	o.check(v, m.revs)
	v.Release()
}

// recordAt is where the record begins that the byte at off belongs to.
func (m *model) recordAt(info SegmentInfo, off int64) int64 {
	for _, src := range m.log.mu.captured.sources() {
		for i := range src.tab.pos {
			from, to := src.extent(i)
			if src.file.id == info.ID && from <= off && off < to {
				return from
			}
		}
	}
	return 0
}

func (m *model) damage(err error, name string, off int64, what string) {
	m.t.Helper()
	var damage *CorruptError
	if !errors.As(err, &damage) {
		m.t.Fatalf("%s: reported as %v", what, err)
	}
	if damage.File != name || damage.Offset != off {
		m.t.Fatalf("%s: reported as %v, not at %d", what, err, off)
	}
}

func TestShortAndMissingFiles(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, mustCreate(t, smallOptions(disk)), 5)
	for m.log.Stats().Segments < 3 {
		if err := m.tx(300); err != nil {
			t.Fatal(err)
		}
	}
	man := m.log.Capture()
	if err := m.log.SyncTo(man); err != nil {
		t.Fatal(err)
	}
	first, active := man.Segments[0], man.active()
	for _, c := range []struct {
		name string
		hurt func(disk *vfs.Mem) error
		want string // in the error; empty if it can be healed
	}{
		{"sealed segment is short", cut(first.ID, first.Bytes-1), "ends here"},
		{"sealed segment is empty", cut(first.ID, 0), "ends here"},
		{"active segment is short", cut(active.ID, active.Bytes-1), "ends here"},
		{"sealed segment is gone", remove(segmentName("log", first.ID)), "cannot be opened"},
		{"sidecar is gone", remove(sidecarName("log", first.ID)), ""},
		{"sealed segment is longer", cut(first.ID, first.Bytes+100), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := disk.CrashClone(vfs.CrashKeep, 0)
			if err := c.hurt(disk); err != nil {
				t.Fatal(err)
			}
			l, err := Open(smallOptions(disk), man)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("opened with %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m.checkMetas2(l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func cut(id uint64, n int64) func(*vfs.Mem) error {
	return func(disk *vfs.Mem) error {
		f, err := disk.OpenReadWrite(segmentName("log", id))
		if err != nil {
			return err
		}
		return errors.Join(f.Truncate(n), f.Close())
	}
}

func remove(name string) func(*vfs.Mem) error {
	return func(disk *vfs.Mem) error { return disk.Remove(name) }
}

// TestMappedFileCutBySomebodyElse reads through a mapping whose file has lost
// its end: the processor faults, and the reader gets an error.
func TestMappedFileCutBySomebodyElse(t *testing.T) {
	opts := smallOptions(vfs.OS{})
	opts.Dir = t.TempDir()
	opts.SegmentBytes = 64 << 10
	m := newModel(t, mustCreate(t, opts), 6)
	for m.log.Stats().Segments < 2 {
		if err := m.tx(1000); err != nil {
			t.Fatal(err)
		}
	}
	m.log.chores()
	v := m.log.Publish()
	src := v.sources()[0]
	if src.file.mapping.Load() == nil {
		return // this system has no mappings
	}
	if err := src.file.f.Truncate(8192); err != nil {
		t.Fatal(err)
	}
	_, err := v.Get(src.tab.last())
	var damage *CorruptError
	if !errors.As(err, &damage) || damage.File != src.file.name {
		t.Fatalf("reading a page that is gone: %v", err)
	}
	if _, err := v.Get(src.tab.first()); err != nil {
		t.Fatalf("reading a page that is there: %v", err)
	}
	v.Release()
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
}
