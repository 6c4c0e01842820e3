package snap

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

const dir = "/snap"

var errDisk = errors.New("injected")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newDisk returns a disk with an empty durable directory.
func newDisk(t *testing.T) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	must(t, m.MkdirAll(dir))
	must(t, m.SyncDir("/"))
	return m
}

func mustWrite(t *testing.T, fsys vfs.FS, applied base.Index) string {
	t.Helper()
	name, err := Write(fsys, dir, sample(applied))
	must(t, err)
	return name
}

// wantLoad checks which checkpoints Load finds, newest first.
func wantLoad(t *testing.T, fsys vfs.FS, want ...base.Index) {
	t.Helper()
	newest, older, err := Load(fsys, dir, zap.NewNop())
	must(t, err)
	var got []base.Index
	for _, c := range append([]*Checkpoint{newest}, older...) {
		if !c.Equal(sample(c.Applied)) {
			t.Fatalf("checkpoint at %d has changed", c.Applied)
		}
		got = append(got, c.Applied)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("loaded %d, want %d", got, want)
	}
}

func TestWriteLoadPurge(t *testing.T) {
	root := filepath.ToSlash(t.TempDir())
	if name, err := Write(vfs.OS{}, root, sample(0xabc)); err != nil || name != "0000000000000abc.ckpt" {
		t.Fatalf("%q %v", name, err)
	}
	m := newDisk(t)
	_, _, err := Load(m, dir, zap.NewNop())
	if !errors.Is(err, ErrNone) {
		t.Fatalf("empty directory: %v", err)
	}
	if _, _, err := Load(m, "/none", zap.NewNop()); !errors.Is(err, ErrNone) {
		t.Fatalf("missing directory: %v", err)
	}
	for _, applied := range []base.Index{5, 300, 20} {
		mustWrite(t, m, applied)
	}
	wantLoad(t, m, 300, 20, 5)
	mustWrite(t, m, 300) // the same index again, after a reclaim
	wantLoad(t, m, 300, 20, 5)
	must(t, Purge(m, dir, 2))
	wantLoad(t, m, 300, 20)
	must(t, Purge(m, dir, 2))
	must(t, Purge(m, dir, 0))
	wantLoad(t, m, 300)
	wantLoad(t, m.CrashClone(vfs.CrashLose, 0), 300)
}

func TestListTakesNoOtherNames(t *testing.T) {
	m := newDisk(t)
	mustWrite(t, m, 0xab)
	for _, name := range []string{
		"00000000000000AC.ckpt", "ac.ckpt", "00000000000000ac.ckpt.tmp", "00000000000000ac.ckpt.broken",
		"000000000000000ac.ckpt", "+0000000000000ac.ckpt", "00000000000000ac.snap", "next.ckpt.tmp", "db",
	} {
		must(t, vfs.WriteFile(m, dir+"/"+name, nil))
	}
	wantLoad(t, m, 0xab)
	must(t, Purge(m, dir, 1))
	wantLoad(t, m, 0xab)
}

func TestLoadPassesOverADamagedOne(t *testing.T) {
	m := newDisk(t)
	mustWrite(t, m, 1)
	mustWrite(t, m, 2)
	mustWrite(t, m, 3)
	must(t, m.Corrupt(dir+"/"+FileName(3), 100, 4))
	core, logs := observer.New(zap.WarnLevel)
	newest, older, err := Load(m, dir, zap.New(core))
	must(t, err)
	if newest.Applied != 2 || len(older) != 1 {
		t.Fatalf("loaded %d and %d older", newest.Applied, len(older))
	}
	entries := logs.All()
	if len(entries) != 1 || entries[0].ContextMap()["file"] != dir+"/0000000000000003.ckpt" {
		t.Fatalf("logged %v", entries)
	}
	// It is out of the way now: Purge keeps two good ones.
	must(t, Purge(m, dir, 2))
	wantLoad(t, m.CrashClone(vfs.CrashLose, 0), 2, 1)
	if _, err := m.Stat(dir + "/0000000000000003.ckpt.broken"); err != nil {
		t.Fatalf("the damaged file is gone: %v", err)
	}
}

func TestLoadNamesAllWhenNoneIsGood(t *testing.T) {
	m := newDisk(t)
	mustWrite(t, m, 1)
	must(t, m.Corrupt(dir+"/"+FileName(1), 0, 1))
	must(t, vfs.WriteFile(m, dir+"/"+FileName(2), nil))
	_, _, err := Load(m, dir, zap.NewNop())
	var damaged *CorruptError
	if !errors.As(err, &damaged) || errors.Is(err, ErrNone) ||
		!strings.Contains(err.Error(), FileName(1)) || !strings.Contains(err.Error(), FileName(2)) {
		t.Fatalf("got %v", err)
	}
	if indexes, err := List(m, dir); err != nil || len(indexes) != 2 {
		t.Fatalf("evidence was moved: %v %v", indexes, err)
	}
}

func TestLoadRefusesAWrongName(t *testing.T) {
	m := newDisk(t)
	mustWrite(t, m, 1)
	must(t, m.Rename(dir+"/"+FileName(1), dir+"/"+FileName(2)))
	var damaged *CorruptError
	if _, _, err := Load(m, dir, zap.NewNop()); !errors.As(err, &damaged) {
		t.Fatalf("got %v", err)
	}
}

func TestLoadStopsAtANewerFormat(t *testing.T) {
	m := newDisk(t)
	mustWrite(t, m, 1)
	b := mustEncode(t, sample(2))
	b[8] = 99
	reseal(b)
	must(t, vfs.WriteFile(m, dir+"/"+FileName(2), b))
	var foreign *VersionError
	if _, _, err := Load(m, dir, zap.NewNop()); !errors.As(err, &foreign) || !strings.Contains(err.Error(), FileName(2)) {
		t.Fatalf("got %v", err)
	}
	mustWrite(t, m, 3) // with a newer one of ours it is only in the way
	wantLoad(t, m, 3, 1)
}

func TestLoadSurvivesAReadError(t *testing.T) {
	m := newDisk(t)
	mustWrite(t, m, 1)
	mustWrite(t, m, 2)
	f := vfs.NewFaulty(m)
	f.Inject(vfs.Rule{Op: vfs.OpRead, Name: FileName(2), Err: errDisk})
	wantLoad(t, f, 1)
	f.Clear()
	wantLoad(t, f, 2, 1) // reading may work again, so the file has kept its name
	f.Inject(vfs.Rule{Op: vfs.OpRead, Name: FileName(2), FlipBit: 999, Times: 1})
	f.Inject(vfs.Rule{Op: vfs.OpRename, Err: errDisk})
	wantLoad(t, f, 1) // not being able to put it aside is no reason to stop
	f.Inject(vfs.Rule{Op: vfs.OpList, Err: errDisk})
	if _, _, err := Load(f, dir, zap.NewNop()); !errors.Is(err, errDisk) {
		t.Fatalf("got %v", err)
	}
}

// Whatever call fails, Write says so and the older checkpoint is found.
func TestWriteReportsEveryFailure(t *testing.T) {
	for _, op := range []vfs.Op{
		vfs.OpOpen, vfs.OpCreate, vfs.OpWrite, vfs.OpTruncate, vfs.OpSync, vfs.OpRename, vfs.OpSyncDir,
	} {
		t.Run(op.String(), func(t *testing.T) {
			m := newDisk(t)
			f := vfs.NewFaulty(m)
			mustWrite(t, f, 1)
			f.Inject(vfs.Rule{Op: op, Err: errDisk, Short: 100})
			if _, err := Write(f, dir, sample(2)); !errors.Is(err, errDisk) {
				t.Fatalf("got %v", err)
			}
			f.Clear()
			after := m.CrashClone(vfs.CrashLose, 0)
			wantLoad(t, after, 1)
			mustWrite(t, after, 3)
			wantLoad(t, after, 3, 1)
			if op != vfs.OpRename && op != vfs.OpSyncDir {
				if _, err := m.Stat(dir + "/" + tmpName); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("the unfinished file still takes room: %v", err)
				}
			}
		})
	}
}

func TestPurgeReportsFailures(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpList, vfs.OpRemove, vfs.OpSyncDir} {
		m := newDisk(t)
		f := vfs.NewFaulty(m)
		mustWrite(t, f, 1)
		mustWrite(t, f, 2)
		f.Inject(vfs.Rule{Op: op, Err: errDisk})
		if err := Purge(f, dir, 1); !errors.Is(err, errDisk) {
			t.Fatalf("%v: got %v", op, err)
		}
	}
}

func TestFullDisk(t *testing.T) {
	m := newDisk(t)
	mustWrite(t, m, 1)
	must(t, Reserve(m, dir, 8192))
	must(t, Reserve(m, dir, 4096)) // less than there is
	m.SetQuota(m.UsedBytes())
	if err := Reserve(m, dir, 1<<20); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("reserved on a full disk: %v", err)
	}
	mustWrite(t, m, 2) // into the reserved room
	m.SetQuota(m.UsedBytes())
	if _, err := Write(m, dir, sample(3)); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("got %v", err)
	}
	wantLoad(t, m, 2, 1)
	must(t, Purge(m, dir, 1))
	mustWrite(t, m, 3)
	wantLoad(t, m.CrashClone(vfs.CrashLose, 0), 3, 2)
}

// The power goes before each call of a life of checkpoints. What was reported
// durable is found, whatever else the disk kept.
func TestCrashAtEveryStep(t *testing.T) {
	m := newDisk(t)
	durable := base.Index(0)
	check := func(n int, op vfs.Op, mode vfs.CrashMode, seed uint64) {
		after := m.CrashClone(mode, seed)
		newest, older, err := Load(after, dir, zap.NewNop())
		if errors.Is(err, ErrNone) && durable == 0 {
			return
		}
		if err != nil {
			t.Fatalf("before call %d (%v), %v seed %d: %v", n, op, mode, seed, err)
		}
		for _, c := range append([]*Checkpoint{newest}, older...) {
			if !c.Equal(sample(c.Applied)) {
				t.Fatalf("before call %d (%v), %v seed %d: checkpoint at %d has changed", n, op, mode, seed, c.Applied)
			}
		}
		if newest.Applied < durable || newest.Applied > durable+1 {
			t.Fatalf("before call %d (%v), %v seed %d: found %d, durable is %d", n, op, mode, seed, newest.Applied, durable)
		}
		// The member lives on from there.
		mustWrite(t, after, newest.Applied+1)
		must(t, Purge(after, dir, 2))
	}
	m.OnOp(func(n int, op vfs.Op, _ string) {
		check(n, op, vfs.CrashLose, 0)
		check(n, op, vfs.CrashKeep, 0)
		for seed := range uint64(20) {
			check(n, op, vfs.CrashRandom, seed)
		}
	})
	for i := base.Index(1); i <= 6; i++ {
		if i%2 == 0 {
			must(t, Reserve(m, dir, 16384))
		}
		mustWrite(t, m, i)
		durable = i
		must(t, Purge(m, dir, 2))
	}
	if m.Ops() < 30 {
		t.Fatalf("only %d calls were cut off", m.Ops())
	}
}
