package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// mustCreate makes a file with content that is durable together with its name.
func mustCreate(t *testing.T, m *Mem, name string, content []byte) File {
	t.Helper()
	f, err := m.Create(name)
	must(t, err)
	_, err = f.WriteAt(content, 0)
	must(t, err)
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	return f
}

func mustWrite(t *testing.T, f File, p []byte, off int64) {
	t.Helper()
	if _, err := f.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, fsys FS, name string) []byte {
	t.Helper()
	b, err := ReadFile(fsys, name, 1<<30)
	must(t, err)
	return b
}

// dump prints a disk with one level of directories, for comparisons.
func dump(t *testing.T, m *Mem) string {
	t.Helper()
	var out bytes.Buffer
	var walk func(dir string)
	walk = func(dir string) {
		names, err := m.List(dir)
		must(t, err)
		for _, name := range names {
			full := dir + name
			info, err := m.Stat(full)
			must(t, err)
			if info.IsDir {
				fmt.Fprintf(&out, "%s/\n", full)
				walk(full + "/")
				continue
			}
			fmt.Fprintf(&out, "%s %x\n", full, mustRead(t, m, full))
		}
	}
	walk("/")
	return out.String()
}

func TestMemCrashLosesWhatWasNotSynced(t *testing.T) {
	m := NewMem()
	f := mustCreate(t, m, "a", []byte("durable"))
	mustWrite(t, f, []byte("VOLATILE"), 0)
	after := m.CrashClone(CrashLose, 0)
	if got := mustRead(t, after, "a"); string(got) != "durable" {
		t.Fatalf("lose: %q", got)
	}
	if got := mustRead(t, m.CrashClone(CrashKeep, 0), "a"); string(got) != "VOLATILE" {
		t.Fatalf("keep: %q", got)
	}
	must(t, f.SyncData())
	if got := mustRead(t, m.CrashClone(CrashLose, 0), "a"); string(got) != "VOLATILE" {
		t.Fatalf("after sync: %q", got)
	}
	// The disks are apart: writing one changes no other.
	g, err := after.OpenReadWrite("a")
	must(t, err)
	mustWrite(t, g, []byte("X"), 0)
	if got := mustRead(t, m, "a"); string(got) != "VOLATILE" {
		t.Fatalf("a write to the clone shows in the original: %q", got)
	}
}

func TestMemNamesAreDurableAfterSyncDir(t *testing.T) {
	m := NewMem()
	old := mustCreate(t, m, "old", []byte("1"))
	must(t, old.Close())
	must(t, m.Rename("old", "new"))
	must(t, WriteFile(m, "made", []byte("2")))
	must(t, m.MkdirAll("dir/sub"))
	if got, want := dump(t, m.CrashClone(CrashLose, 0)), "/old 31\n"; got != want {
		t.Fatalf("before syncdir:\n%swant\n%s", got, want)
	}
	must(t, m.SyncDir("/"))
	// dir is durable, sub in it is not.
	if got, want := dump(t, m.CrashClone(CrashLose, 0)), "/dir/\n/made 32\n/new 31\n"; got != want {
		t.Fatalf("after syncdir:\n%swant\n%s", got, want)
	}
	must(t, m.SyncDir("dir"))
	must(t, m.Remove("made"))
	must(t, m.RemoveAll("dir"))
	if got, want := dump(t, m.CrashClone(CrashLose, 0)), "/dir/\n/dir/sub/\n/made 32\n/new 31\n"; got != want {
		t.Fatalf("removed without syncdir:\n%swant\n%s", got, want)
	}
	must(t, m.SyncDir("/"))
	if got, want := dump(t, m.CrashClone(CrashLose, 0)), "/new 31\n"; got != want {
		t.Fatalf("removed:\n%swant\n%s", got, want)
	}
}

// A directory is built under a temporary name and renamed: what the WAL does
// when it is made.
func TestMemRenamedDirectoryKeepsItsFiles(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("wal.tmp"))
	must(t, WriteFile(m, "wal.tmp/0", []byte("x")))
	must(t, m.SyncDir("wal.tmp"))
	must(t, m.Rename("wal.tmp", "wal"))
	must(t, m.SyncDir("/"))
	if got, want := dump(t, m.CrashClone(CrashLose, 0)), "/wal/\n/wal/0 78\n"; got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
}

func TestMemRenameBetweenDirectories(t *testing.T) {
	for _, synced := range []string{"from", "to"} {
		m := NewMem()
		must(t, m.MkdirAll("from"))
		must(t, m.MkdirAll("to"))
		must(t, m.SyncDir("/"))
		must(t, WriteFile(m, "to/a", []byte("first")))
		must(t, WriteFile(m, "from/a", []byte("second")))
		must(t, m.Rename("from/a", "to/a"))
		must(t, m.SyncDir(synced))
		if got, want := dump(t, m.CrashClone(CrashLose, 0)), "/from/\n/to/\n/to/a 7365636f6e64\n"; got != want {
			t.Fatalf("%s synced:\n%swant\n%s", synced, got, want)
		}
	}
}

// Every outcome a torn write can have turns up, and no other.
func TestMemRandomCrashTearsBySector(t *testing.T) {
	const sectors = 3
	m := NewMem()
	f := mustCreate(t, m, "a", bytes.Repeat([]byte{'o'}, sectors*sectorBytes))
	mustWrite(t, f, bytes.Repeat([]byte{'n'}, sectors*sectorBytes), 0)
	seen := map[string]bool{}
	for seed := range uint64(200) {
		got := mustRead(t, m.CrashClone(CrashRandom, seed), "a")
		var shape []byte
		for s := 0; s < len(got); s += sectorBytes {
			sector := got[s : s+sectorBytes]
			if !bytes.Equal(sector, bytes.Repeat(sector[:1], sectorBytes)) {
				t.Fatalf("seed %d: sector at %d is mixed", seed, s)
			}
			shape = append(shape, sector[0])
		}
		seen[string(shape)] = true
	}
	if len(seen) != 1<<sectors {
		t.Fatalf("saw %d shapes of %d: %v", len(seen), 1<<sectors, seen)
	}
}

func TestMemRandomCrashOfAGrowingFile(t *testing.T) {
	m := NewMem()
	f := mustCreate(t, m, "a", []byte("head"))
	mustWrite(t, f, bytes.Repeat([]byte{'n'}, 3000), 4)
	sizes := map[int]bool{}
	for seed := range uint64(200) {
		got := mustRead(t, m.CrashClone(CrashRandom, seed), "a")
		if len(got) < 4 || len(got) > 3004 || string(got[:4]) != "head" {
			t.Fatalf("seed %d: %d bytes, beginning %q", seed, len(got), got[:min(4, len(got))])
		}
		if tail := bytes.Trim(bytes.Trim(got[4:], "n"), "\x00"); bytes.ContainsFunc(tail, func(r rune) bool { return r != 'n' && r != 0 }) {
			t.Fatalf("seed %d: bytes nobody wrote: %q", seed, tail)
		}
		sizes[len(got)] = true
	}
	if !sizes[4] || !sizes[3004] || len(sizes) < 10 {
		t.Fatalf("only %d different lengths", len(sizes))
	}
}

func TestMemLostTruncationLosesNoWholeSector(t *testing.T) {
	m := NewMem()
	content := bytes.Repeat([]byte{'o'}, 3*sectorBytes)
	f := mustCreate(t, m, "a", content)
	must(t, f.Truncate(sectorBytes))
	for seed := range uint64(50) {
		got := mustRead(t, m.CrashClone(CrashRandom, seed), "a")
		if !bytes.Equal(got, content[:len(got)]) {
			t.Fatalf("seed %d: content changed", seed)
		}
	}
	mustWrite(t, f, []byte("new"), sectorBytes)
	must(t, f.Sync())
	if got := mustRead(t, m.CrashClone(CrashLose, 0), "a"); string(got[sectorBytes:]) != "new" {
		t.Fatalf("after sync the tail is %q", got[sectorBytes:])
	}
}

func TestMemRandomCrashChoosesNamesOneByOne(t *testing.T) {
	m := NewMem()
	for _, name := range []string{"a", "b", "c"} {
		must(t, WriteFile(m, name, nil))
	}
	seen := map[string]bool{}
	for seed := range uint64(200) {
		names, err := m.CrashClone(CrashRandom, seed).List("/")
		must(t, err)
		seen[fmt.Sprint(names)] = true
	}
	if len(seen) != 8 {
		t.Fatalf("saw %d of 8 outcomes: %v", len(seen), seen)
	}
}

// However the changes of a chain of renames are lost, the file has at most one
// name and its durable content.
func TestMemRandomCrashOfARenameChain(t *testing.T) {
	m := NewMem()
	must(t, mustCreate(t, m, "a", []byte("x")).Close())
	must(t, m.Rename("a", "b"))
	must(t, m.Rename("b", "c"))
	must(t, m.Rename("c", "d"))
	for seed := range uint64(100) {
		after := m.CrashClone(CrashRandom, seed)
		names, err := after.List("/")
		must(t, err)
		if len(names) != 1 {
			t.Fatalf("seed %d: names %q", seed, names)
		}
		if got := mustRead(t, after, names[0]); string(got) != "x" {
			t.Fatalf("seed %d: %q", seed, got)
		}
	}
}

func TestMemCrashIsDecidedByTheSeed(t *testing.T) {
	build := func() *Mem {
		m := NewMem()
		for i := range 20 {
			name := fmt.Sprintf("f%02d", i)
			f, err := m.Create(name)
			must(t, err)
			mustWrite(t, f, bytes.Repeat([]byte{byte(i)}, 2000), 0)
			if i%3 == 0 {
				must(t, m.SyncDir("/"))
			}
		}
		return m
	}
	first, second := build(), build()
	for seed := range uint64(20) {
		a, b := dump(t, first.CrashClone(CrashRandom, seed)), dump(t, second.CrashClone(CrashRandom, seed))
		if a != b {
			t.Fatalf("seed %d leaves two different disks", seed)
		}
	}
	if dump(t, first.CrashClone(CrashRandom, 1)) == dump(t, first.CrashClone(CrashRandom, 2)) {
		t.Fatal("two seeds leave the same disk")
	}
}

func TestMemQuota(t *testing.T) {
	m := NewMem()
	m.SetQuota(4 * pageBytes)
	f := mustCreate(t, m, "a", make([]byte, 2*pageBytes))
	if got := m.UsedBytes(); got != 2*pageBytes {
		t.Fatalf("%d bytes used", got)
	}
	n, err := f.WriteAt(make([]byte, 3*pageBytes), 2*pageBytes)
	wantErr(t, err, ErrNoSpace)
	if n != 2*pageBytes {
		t.Fatalf("%d bytes written before the disk was full", n)
	}
	_, err = m.Create("b")
	wantErr(t, err, ErrNoSpace)
	_, err = m.Lock("lock")
	wantErr(t, err, ErrNoSpace)
	if free, err := m.FreeBytes("/"); err != nil || free != 0 {
		t.Fatalf("%d bytes free, %v", free, err)
	}
	mustWrite(t, f, make([]byte, 4*pageBytes), 0) // what is there may be overwritten
	must(t, f.Truncate(pageBytes))
	if free, err := m.FreeBytes("/"); err != nil || free != 3*pageBytes {
		t.Fatalf("%d bytes free, %v", free, err)
	}
	// The space of a removed file comes back with its last handle.
	must(t, m.Remove("a"))
	if got := m.UsedBytes(); got != pageBytes {
		t.Fatalf("%d bytes used with the name gone", got)
	}
	must(t, f.Close())
	if got := m.UsedBytes(); got != 0 {
		t.Fatalf("%d bytes used with the file gone", got)
	}
}

func TestMemPreallocatedSpaceOutlastsAFullDisk(t *testing.T) {
	m := NewMem()
	m.SetQuota(4 * pageBytes)
	f := mustCreate(t, m, "a", []byte("x"))
	wantErr(t, f.Preallocate(5*pageBytes), ErrNoSpace)
	if size, err := f.Size(); err != nil || size != 1 || m.UsedBytes() != pageBytes {
		t.Fatalf("refused, yet size %d, used %d, %v", size, m.UsedBytes(), err)
	}
	must(t, f.Preallocate(3*pageBytes))
	g := mustCreate(t, m, "b", []byte("fills the disk"))
	_, err := g.WriteAt([]byte("x"), pageBytes)
	wantErr(t, err, ErrNoSpace)
	mustWrite(t, f, make([]byte, 3*pageBytes), 0)
	if got := m.UsedBytes(); got != 4*pageBytes {
		t.Fatalf("%d bytes used", got)
	}
	must(t, f.Sync())
	if got := m.CrashClone(CrashLose, 0).UsedBytes(); got != 4*pageBytes {
		t.Fatalf("%d bytes used after a crash", got)
	}
	// Replacing a file gives its space back, too.
	must(t, m.Rename("b", "a"))
	must(t, f.Close())
	if got := m.UsedBytes(); got != pageBytes {
		t.Fatalf("%d bytes used after a rename over the file", got)
	}
}

func TestMemStopAfter(t *testing.T) {
	m := NewMem()
	f := mustCreate(t, m, "a", []byte("x")) // create, write, sync, syncdir
	if m.Ops() != 4 {
		t.Fatalf("%d calls counted, want 4", m.Ops())
	}
	m.StopAfter(5)
	mustWrite(t, f, []byte("y"), 0)
	wantErr(t, f.Sync(), ErrPowerLost)
	_, err := f.ReadAt(make([]byte, 1), 0)
	wantErr(t, err, ErrPowerLost)
	_, err = m.Stat("a")
	wantErr(t, err, ErrPowerLost)
	must(t, f.Close())
	if m.Ops() != 5 {
		t.Fatalf("%d calls counted, want 5", m.Ops())
	}
	if got := mustRead(t, m.CrashClone(CrashLose, 0), "a"); string(got) != "x" {
		t.Fatalf("found %q", got)
	}
}

func TestMemOnOpSeesTheDiskBeforeEachCall(t *testing.T) {
	m := NewMem()
	var calls []string
	m.OnOp(func(n int, op Op, name string) {
		names, err := m.CrashClone(CrashKeep, 0).List("/")
		must(t, err)
		calls = append(calls, fmt.Sprint(n, " ", op, " ", name, " ", names))
	})
	must(t, WriteFile(m, "a", []byte("x")))
	must(t, m.Rename("a", "b"))
	want := []string{"1 create a []", "2 write a [a]", "3 sync a [a]", "4 rename b [a]"}
	if !slices.Equal(calls, want) {
		t.Fatalf("saw %q, want %q", calls, want)
	}
	m.OnOp(func(int, Op, string) { m.PowerOff() })
	wantErr(t, m.Remove("b"), ErrPowerLost)
	if got := dump(t, m.CrashClone(CrashKeep, 0)); got != "/b 78\n" {
		t.Fatalf("the call took place without power: %s", got)
	}
}

func TestMemCorrupt(t *testing.T) {
	m := NewMem()
	f := mustCreate(t, m, "a", []byte("abc"))
	must(t, m.Corrupt("a", 1, 0x20))
	if got := mustRead(t, m, "a"); string(got) != "aBc" {
		t.Fatalf("live: %q", got)
	}
	if got := mustRead(t, m.CrashClone(CrashLose, 0), "a"); string(got) != "aBc" {
		t.Fatalf("durable: %q", got)
	}
	if m.Corrupt("a", 3, 1) == nil || m.Corrupt("no", 0, 1) == nil {
		t.Fatal("a byte that is not there was changed")
	}
	must(t, f.Close())
}

func TestMemMapIsPoisonedWhenUnmapped(t *testing.T) {
	m := NewMem()
	f := mustCreate(t, m, "a", []byte("abc"))
	data, unmap, ok, err := f.Map(3)
	if err != nil || !ok || string(data) != "abc" {
		t.Fatalf("%q %v %v", data, ok, err)
	}
	mustWrite(t, f, []byte("x"), 0)
	must(t, unmap())
	if bytes.Contains(data, []byte("b")) {
		t.Fatal("memory stays readable after unmap")
	}
	if unmap() == nil {
		t.Fatal("unmapped twice")
	}
}

func TestOpString(t *testing.T) {
	if got := (OpCreate | OpMap).String(); got != "create|map" {
		t.Fatal(got)
	}
	if got := OpAny.String(); len(got) == 0 || OpChange&^OpAny != 0 {
		t.Fatal(got)
	}
}
