package revlog

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/vfs"
)

func TestFullDiskIsToldOneSegmentAhead(t *testing.T) {
	disk := vfs.NewMem()
	fake := clock.NewFake(time.Unix(1, 0))
	opts := smallOptions(disk)
	opts.Clock = fake
	opts.SegmentBytes = 64 << 10
	m := newModel(t, mustCreate(t, opts), 7)
	disk.SetQuota(disk.UsedBytes()) // the first segment and the spare, no more

	// The first segment fills up, then the spare is in use and has no successor.
	for m.log.SpaceOK() == nil {
		if err := m.tx(300); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.log.SpaceOK(); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("SpaceOK on a full disk: %v", err)
	}
	if err := m.log.Rotate(); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("Rotate on a full disk: %v", err)
	}
	for range 100 { // deletes and compactions go on
		if err := m.tx(100); err != nil {
			t.Fatal(err)
		}
	}
	// A checkpoint needs room for the sidecar and says so without harm.
	if err := m.log.SyncTo(m.log.Capture()); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("SyncTo on a full disk: %v", err)
	}
	for _, rev := range m.revs[:1] {
		m.log.MarkDead(rev)
	}
	if _, err := m.log.Reclaim(context.Background(), 0, nil); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("Reclaim on a full disk: %v", err)
	}

	disk.SetQuota(0)
	if err := m.log.SpaceOK(); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("SpaceOK asks the disk again too soon: %v", err)
	}
	fake.Advance(spareRetry)
	if err := m.log.SpaceOK(); err != nil {
		t.Fatal(err)
	}
	man := m.log.Capture()
	if err := m.log.SyncTo(man); err != nil {
		t.Fatal(err)
	}
	if ok, err := m.log.Reclaim(context.Background(), 0, nil); !ok || err != nil {
		t.Fatalf("Reclaim with room: %v, %v", ok, err)
	}
	v := m.log.Publish()
	m.check(v, m.revs[1:])
	v.Release()
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReopenOnAFullDisk loses the room of the active segment to somebody else
// while the member is down: it comes up, serves, and refuses growth.
func TestReopenOnAFullDisk(t *testing.T) {
	disk := vfs.NewMem()
	opts := smallOptions(disk)
	opts.SegmentBytes = 64 << 10
	m := newModel(t, mustCreate(t, opts), 8)
	for range 30 {
		if err := m.tx(200); err != nil {
			t.Fatal(err)
		}
	}
	man := m.log.Capture()
	if err := m.log.SyncTo(man); err != nil {
		t.Fatal(err)
	}
	disk = disk.Crash(vfs.CrashKeep, 0)
	disk.SetQuota(1)
	opts.FS = disk
	l, err := Open(opts, man)
	if err != nil {
		t.Fatal(err)
	}
	m.log = l
	m.checkMetas(m.revs)
	if err := l.SpaceOK(); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("SpaceOK: %v", err)
	}
	if err := m.tx(10); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("Append without any room: %v", err)
	}
	if err := l.Close(); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("Close: %v", err)
	}
}

// TestStorageErrorsAreFinal injects a failure into one kind of call and
// expects that the log never promises anything again.
func TestStorageErrorsAreFinal(t *testing.T) {
	broken := errors.New("input/output error")
	for _, c := range []struct {
		name string
		rule vfs.Rule
	}{
		{"sync of a segment", vfs.Rule{Op: vfs.OpSync, Name: "*.seg"}},
		{"sync of a sidecar", vfs.Rule{Op: vfs.OpSync, Name: "*.tmp"}},
		{"sync of the directory", vfs.Rule{Op: vfs.OpSyncDir}},
		{"rename of a sidecar", vfs.Rule{Op: vfs.OpRename}},
		{"write of records", vfs.Rule{Op: vfs.OpWrite, Name: "*.seg", Short: 100}},
		{"cut of a segment", vfs.Rule{Op: vfs.OpTruncate}},
		{"creation of a segment", vfs.Rule{Op: vfs.OpCreate, Name: "*.seg"}},
		{"read back of a sealed segment", vfs.Rule{Op: vfs.OpRead, Name: "*.seg", FlipBit: 12345}},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := vfs.NewFaulty(vfs.NewMem())
			m := newModel(t, mustCreate(t, smallOptions(disk)), 9)
			if c.rule.FlipBit == 0 {
				c.rule.Err = broken
			}
			c.rule.Times = 1
			in := disk.Inject(c.rule)
			var first error
			for range 100 {
				if first = m.tx(200); first != nil {
					break
				}
			}
			if first == nil {
				first = m.log.SyncTo(m.log.Capture())
			}
			var damage *CorruptError
			if in.Hits() != 1 || !errors.Is(first, broken) && !errors.As(first, &damage) {
				t.Fatalf("%d failures injected, reported: %v", in.Hits(), first)
			}
			for what, again := range map[string]error{
				"Append":  m.tx(10),
				"SyncTo":  m.log.SyncTo(m.log.Capture()),
				"Rotate":  m.log.Rotate(),
				"SpaceOK": m.log.SpaceOK(),
				"Close":   m.log.Close(),
			} {
				if !errors.Is(again, broken) && !errors.As(again, &damage) {
					t.Errorf("%s after the failure: %v", what, again)
				}
			}
		})
	}
}

func TestReclaimStopsWithItsContext(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, mustCreate(t, smallOptions(disk)), 10)
	for m.log.Stats().Segments < 4 {
		if err := m.tx(200); err != nil {
			t.Fatal(err)
		}
	}
	m.killOld(m.main)
	used, before := disk.UsedBytes(), m.log.Stats()
	ctx, cancel := context.WithCancel(context.Background())
	if ok, err := m.log.Reclaim(ctx, 0, func(int) { cancel() }); ok || !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled Reclaim: %v, %v", ok, err)
	}
	if m.log.Stats() != before || disk.UsedBytes() != used {
		t.Fatal("a cancelled Reclaim left something behind")
	}
	if err := m.tx(10); err != nil {
		t.Fatalf("the log failed: %v", err)
	}
}

// TestDeathDuringReclaim marks records dead while the segment that holds them
// is being rewritten.
func TestDeathDuringReclaim(t *testing.T) {
	m := newModel(t, mustCreate(t, smallOptions(vfs.NewMem())), 11)
	for m.log.Stats().Segments < 4 {
		if err := m.tx(200); err != nil {
			t.Fatal(err)
		}
	}
	first := m.log.mu.set.sealed[0].tab
	m.log.MarkDead(first.rev(1))
	late := []base.Revision{first.rev(1), first.rev(0), first.rev(3)}
	ok, err := m.log.Reclaim(context.Background(), 0, func(int) {
		for _, rev := range late {
			m.log.MarkDead(rev)
		}
	})
	if !ok || err != nil {
		t.Fatalf("Reclaim: %v, %v", ok, err)
	}
	if n := m.log.Stats().DeadRecords; n != 2 {
		t.Fatalf("%d dead records after the rewrite, not the 2 that died meanwhile", n)
	}
	if ok, err := m.log.Reclaim(context.Background(), 0, nil); !ok || err != nil {
		t.Fatalf("Reclaim: %v, %v", ok, err)
	}
	m.log.MarkDead(late[0]) // gone: ignored
	m.log.Publish().Release()
	if st := m.log.Stats(); st.DeadRecords != 0 || st.Records != int64(len(m.revs)-3) {
		t.Fatalf("%+v", st)
	}
	m.checkMetas(append([]base.Revision{first.rev(2)}, m.revs[4:]...))
}

// TestCaptureKeepsItsFiles reclaims between Capture and Retain.
func TestCaptureKeepsItsFiles(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, mustCreate(t, smallOptions(disk)), 12)
	for m.log.Stats().Segments < 4 {
		if err := m.tx(200); err != nil {
			t.Fatal(err)
		}
	}
	man := m.log.Capture()
	m.killOld(m.main)
	for {
		if ok, err := m.log.Reclaim(context.Background(), 0, nil); err != nil {
			t.Fatal(err)
		} else if !ok {
			break
		}
	}
	m.log.Publish().Release()
	m.log.Retain() // no checkpoint is on disk yet
	if err := m.log.SyncTo(man); err != nil {
		t.Fatal(err)
	}
	l, err := Open(smallOptions(disk.Crash(vfs.CrashLose, 0)), man)
	if err != nil {
		t.Fatal(err)
	}
	m.log = l
	m.checkMetas(m.revs)
}

// TestReclaimMeetsDamage rewrites a segment with a damaged record: that one
// error is reported, nothing is lost, and the log goes on.
func TestReclaimMeetsDamage(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, mustCreate(t, smallOptions(disk)), 21)
	for m.log.Stats().Segments < 3 {
		if err := m.tx(200); err != nil {
			t.Fatal(err)
		}
	}
	src := m.log.mu.set.sealed[0].source
	from, _ := src.extent(2)
	if err := disk.Corrupt(src.file.name, from+20, 4); err != nil {
		t.Fatal(err)
	}
	m.log.MarkDead(src.tab.rev(0))
	ok, err := m.log.Reclaim(context.Background(), 0, nil)
	if ok {
		t.Fatal("a damaged record was carried along")
	}
	m.damage(err, src.file.name, from, "Reclaim")
	if err := m.tx(10); err != nil {
		t.Fatalf("the log failed: %v", err)
	}
}

func TestReclaimThatCannotSyncIsFinal(t *testing.T) {
	disk := vfs.NewFaulty(vfs.NewMem())
	m := newModel(t, mustCreate(t, smallOptions(disk)), 22)
	for m.log.Stats().Segments < 3 {
		if err := m.tx(200); err != nil {
			t.Fatal(err)
		}
	}
	m.killOld(m.main)
	broken := errors.New("input/output error")
	disk.Inject(vfs.Rule{Op: vfs.OpSync, Err: broken})
	if ok, err := m.log.Reclaim(context.Background(), 0, nil); ok || !errors.Is(err, broken) {
		t.Fatalf("Reclaim: %v, %v", ok, err)
	}
	if err := m.tx(10); !errors.Is(err, broken) {
		t.Fatalf("Append after the failure: %v", err)
	}
}

// TestUnknownVersionsAreRefused opens files of a later release.
func TestUnknownVersionsAreRefused(t *testing.T) {
	header := appendHeader(nil, 5)
	if why := checkHeader(header, 5); why != "" {
		t.Fatal(why)
	}
	for _, c := range []struct {
		at   int
		want string
	}{
		{0, "not a segment"}, {8, "version"}, {12, "flags"}, {16, "this is segment"}, {28, "checksum"},
	} {
		b := appendHeader(nil, 5)
		b[c.at] ^= 2
		if c.at < 28 {
			binary.LittleEndian.PutUint32(b[28:], crc32.Checksum(b[:28], crcTable))
		}
		if why := checkHeader(b, 5); !strings.Contains(why, c.want) {
			t.Errorf("byte %d changed: %q", c.at, why)
		}
	}
	side := newSidecarBuilder(5)
	side.add(&Meta{Rev: base.Revision{Main: 2}}, 40)
	info := SegmentInfo{ID: 5, Bytes: side.end, Records: 1}
	b := side.finish()
	b[8] = 2
	fixSidecar(b)
	if _, err := parseSidecar(b, info); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a sidecar of version 2: %v", err)
	}
}
