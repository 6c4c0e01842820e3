package vfs

import (
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// etcd's processes look for exactly this lock.
func TestOSLockIsAnOpenFileDescriptionLock(t *testing.T) {
	name := t.TempDir() + "/a"
	f, err := OS{}.Create(name)
	must(t, err)
	must(t, f.TryLock())
	other, err := openOS(name, unix.O_RDWR)
	must(t, err)
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	must(t, other.control("getlk", func(fd uintptr) error {
		return unix.FcntlFlock(fd, unix.F_OFD_GETLK, &lock)
	}))
	if lock.Type != unix.F_WRLCK || lock.Start != 0 || lock.Len != 0 || lock.Pid != -1 {
		t.Fatalf("the kernel knows the lock as %+v", lock)
	}
	must(t, other.Close())
	must(t, f.Close())
}

// A real refusal by the kernel: no volume takes a file of 2^62 bytes.
func TestOSPreallocateRefusedKeepsTheLength(t *testing.T) {
	f, err := openOS(t.TempDir()+"/a", unix.O_RDWR|unix.O_CREAT)
	must(t, err)
	mustWrite(t, f, []byte("abc"), 0)
	const tooLarge = 1 << 62
	if err := f.allocate(tooLarge); errors.Is(err, errors.ErrUnsupported) {
		t.Logf("no fallocate here: %v", err) // the portable way would fill the disk
	} else if err := f.Preallocate(tooLarge); err == nil {
		t.Fatal("reserved")
	}
	if size, err := f.Size(); err != nil || size != 3 {
		t.Fatalf("size %d, %v", size, err)
	}
	must(t, f.Close())
}

func TestOSPreallocateReservesBlocks(t *testing.T) {
	name := t.TempDir() + "/a"
	f, err := OS{}.Create(name)
	must(t, err)
	const size = 1 << 20
	must(t, f.Preallocate(size))
	var st unix.Stat_t
	must(t, unix.Stat(name, &st))
	if st.Size != size || st.Blocks*512 < size {
		t.Fatalf("%d bytes long, %d reserved", st.Size, st.Blocks*512)
	}
	must(t, f.Close())
}

// The write path of the WAL and the revision log must not allocate here.
func TestOSWriteAndSyncDoNotAllocate(t *testing.T) {
	f, err := OS{}.Create(t.TempDir() + "/a")
	must(t, err)
	block := make([]byte, 4096)
	if n := testing.AllocsPerRun(10, func() {
		if _, err := f.WriteAt(block, 0); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("WriteAt allocates %v times", n)
	}
	// The closure that keeps the descriptor alive is one or two.
	if n := testing.AllocsPerRun(3, func() {
		if err := f.SyncData(); err != nil {
			t.Fatal(err)
		}
	}); n > 4 {
		t.Errorf("SyncData allocates %v times", n)
	}
	must(t, f.Close())
}

// What a batch of the WAL costs: one write and one fdatasync in space that is
// reserved (unwritten extents) and in space that was written before.
func BenchmarkOSWriteSync(b *testing.B) {
	for _, c := range []struct {
		name    string
		prepare func(f *osFile) error
	}{
		{"reserved", func(f *osFile) error { return f.Preallocate(64 << 20) }},
		{"zeroed", func(f *osFile) error { return errors.Join(f.writeZeros(0, 64<<20), f.Sync()) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			f, err := openOS(b.TempDir()+"/a", unix.O_RDWR|unix.O_CREAT)
			if err == nil {
				err = c.prepare(f)
			}
			if err != nil {
				b.Fatal(err)
			}
			block := make([]byte, 4096)
			b.ResetTimer()
			for i := range b.N {
				if _, err := f.WriteAt(block, int64(i%(16<<10))*4096); err != nil {
					b.Fatal(err)
				}
				if err := f.SyncData(); err != nil {
					b.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
