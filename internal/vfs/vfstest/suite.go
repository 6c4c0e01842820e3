package vfstest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"

	"keelson/internal/vfs"
)

// Run checks an FS. open returns one with an empty directory to work in; it is
// called once per case.
func Run(t *testing.T, open func(t *testing.T) (fsys vfs.FS, dir string)) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, d disk)
	}{
		{"create and read back", testCreateReadBack},
		{"create truncates", testCreateTruncates},
		{"read past the end", testReadPastEnd},
		{"sparse write", testSparseWrite},
		{"truncate", testTruncate},
		{"open modes", testOpenModes},
		{"missing names", testMissing},
		{"closed file", testClosed},
		{"rename", testRename},
		{"rename of a directory", testRenameDir},
		{"remove", testRemove},
		{"removed but open", testRemovedOpen},
		{"directories", testDirs},
		{"preallocate", testPreallocate},
		{"lock file", testLock},
		{"lock of an open file", testTryLock},
		{"map", testMap},
		{"whole files", testWholeFiles},
		{"space", testSpace},
		{"concurrent writers", testConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys, dir := open(t)
			c.test(t, disk{FS: fsys, t: t, dir: dir})
		})
	}
}

// disk is an FS in a directory, with the checks the cases share.
type disk struct {
	vfs.FS
	t   *testing.T
	dir string
}

// at names a file in the directory.
func (d disk) at(name string) string { return d.dir + "/" + name }

func (d disk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d disk) create(name string, content string) vfs.File {
	d.t.Helper()
	f, err := d.Create(d.at(name))
	d.must(err)
	n, err := f.WriteAt([]byte(content), 0)
	d.must(err)
	if n != len(content) {
		d.t.Fatalf("wrote %d of %d bytes", n, len(content))
	}
	return f
}

// put makes a file and closes it.
func (d disk) put(name, content string) {
	d.t.Helper()
	d.must(d.create(name, content).Close())
}

func (d disk) wantContent(name, want string) {
	d.t.Helper()
	got, err := vfs.ReadFile(d.FS, d.at(name), 1<<20)
	d.must(err)
	if string(got) != want {
		d.t.Fatalf("%s holds %q, want %q", name, got, want)
	}
}

func (d disk) wantList(want ...string) {
	d.t.Helper()
	got, err := d.List(d.dir)
	d.must(err)
	if !slices.Equal(got, want) {
		d.t.Fatalf("names are %q, want %q", got, want)
	}
}

func (d disk) wantErr(err, want error) {
	d.t.Helper()
	if !errors.Is(err, want) {
		d.t.Fatalf("got error %v, want %v", err, want)
	}
	var p *fs.PathError
	if !errors.As(err, &p) || p.Path == "" {
		d.t.Fatalf("%v names no path", err)
	}
}

func (d disk) wantSize(f vfs.File, want int64) {
	d.t.Helper()
	got, err := f.Size()
	d.must(err)
	if got != want {
		d.t.Fatalf("size is %d, want %d", got, want)
	}
}

func testCreateReadBack(t *testing.T, d disk) {
	f := d.create("a", "hello world")
	if f.Name() != d.at("a") {
		t.Fatalf("name is %q", f.Name())
	}
	_, err := f.WriteAt([]byte("W"), 6)
	d.must(err)
	got := make([]byte, 5)
	_, err = f.ReadAt(got, 6)
	d.must(err)
	if string(got) != "World" {
		t.Fatalf("read %q", got)
	}
	d.must(f.SyncData())
	d.must(f.Sync())
	d.must(f.Close())
	d.must(d.SyncDir(d.dir))
	d.wantContent("a", "hello World")
	info, err := d.Stat(d.at("a"))
	d.must(err)
	if info.Size != 11 || info.IsDir || !info.Mode.IsRegular() {
		t.Fatalf("stat says %+v", info)
	}
}

func testCreateTruncates(t *testing.T, d disk) {
	d.put("a", "long content")
	d.put("a", "x")
	d.wantContent("a", "x")
	d.wantList("a")
}

func testReadPastEnd(t *testing.T, d disk) {
	f := d.create("a", "abc")
	got := make([]byte, 8)
	n, err := f.ReadAt(got, 1)
	if n != 2 || err != io.EOF || string(got[:n]) != "bc" {
		t.Fatalf("read %d %q %v, want 2 bytes and EOF", n, got[:n], err)
	}
	if n, err := f.ReadAt(got, 100); n != 0 || err != io.EOF {
		t.Fatalf("read far behind the end: %d %v", n, err)
	}
	if _, err := f.ReadAt(got, -1); err == nil || err == io.EOF {
		t.Fatalf("negative offset: %v", err)
	}
	d.must(f.Close())
}

func testSparseWrite(t *testing.T, d disk) {
	f := d.create("a", "")
	_, err := f.WriteAt([]byte("end"), 10000)
	d.must(err)
	d.wantSize(f, 10003)
	got := make([]byte, 10003)
	_, err = f.ReadAt(got, 0)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if !bytes.Equal(got, append(make([]byte, 10000), "end"...)) {
		t.Fatal("a hole does not read as zeros")
	}
	d.must(f.Close())
}

func testTruncate(t *testing.T, d disk) {
	f := d.create("a", "abcdef")
	d.must(f.Truncate(3))
	d.wantSize(f, 3)
	d.must(f.Truncate(5))
	d.must(f.Close())
	d.wantContent("a", "abc\x00\x00")
}

func testOpenModes(t *testing.T, d disk) {
	d.put("a", "abc")
	r, err := d.Open(d.at("a"))
	d.must(err)
	if _, err := r.WriteAt([]byte("x"), 0); err == nil {
		t.Fatal("a file open for reading was written")
	}
	if err := r.Truncate(0); err == nil {
		t.Fatal("a file open for reading was truncated")
	}
	d.must(r.Close())
	w, err := d.OpenReadWrite(d.at("a"))
	d.must(err)
	_, err = w.WriteAt([]byte("x"), 0)
	d.must(err)
	d.must(w.Close())
	d.wantContent("a", "xbc")
}

func testMissing(_ *testing.T, d disk) {
	_, err := d.Open(d.at("no"))
	d.wantErr(err, fs.ErrNotExist)
	_, err = d.OpenReadWrite(d.at("no"))
	d.wantErr(err, fs.ErrNotExist)
	_, err = d.Create(d.at("no/a"))
	d.wantErr(err, fs.ErrNotExist)
	_, err = d.Stat(d.at("no"))
	d.wantErr(err, fs.ErrNotExist)
	_, err = d.List(d.at("no"))
	d.wantErr(err, fs.ErrNotExist)
	d.wantErr(d.Remove(d.at("no")), fs.ErrNotExist)
	if err := d.Rename(d.at("no"), d.at("b")); !errors.Is(err, fs.ErrNotExist) {
		d.t.Fatalf("rename of a missing name: %v", err)
	}
	d.must(d.RemoveAll(d.at("no")))
	d.must(d.RemoveAll(d.at("no/further")))
	_, err = d.Lock(d.at("no/lock"))
	d.wantErr(err, fs.ErrNotExist)
}

func testClosed(t *testing.T, d disk) {
	f := d.create("a", "abc")
	d.must(f.Close())
	b := make([]byte, 1)
	_, err := f.ReadAt(b, 0)
	d.wantErr(err, fs.ErrClosed)
	_, err = f.WriteAt(b, 0)
	d.wantErr(err, fs.ErrClosed)
	for what, err := range map[string]error{
		"sync": f.Sync(), "syncdata": f.SyncData(), "close": f.Close(), "lock": f.TryLock(),
		"preallocate": f.Preallocate(1),
	} {
		if err == nil {
			t.Fatalf("%s of a closed file succeeds", what)
		}
	}
}

func testRename(_ *testing.T, d disk) {
	d.put("a", "new")
	d.put("b", "old")
	d.must(d.Rename(d.at("a"), d.at("b")))
	d.must(d.SyncDir(d.dir))
	d.wantList("b")
	d.wantContent("b", "new")
	d.must(d.MkdirAll(d.at("sub")))
	d.must(d.Rename(d.at("b"), d.at("sub/c")))
	d.wantList("sub")
	d.wantContent("sub/c", "new")
	d.must(d.Rename(d.at("sub/c"), d.at("sub/c")))
	d.wantContent("sub/c", "new")
}

func testRenameDir(t *testing.T, d disk) {
	d.must(d.MkdirAll(d.at("wal.tmp")))
	d.put("wal.tmp/0", "x")
	d.must(d.Rename(d.at("wal.tmp"), d.at("wal")))
	d.wantContent("wal/0", "x")
	d.wantList("wal")
	if err := d.Rename(d.at("wal"), d.at("wal/in")); err == nil {
		t.Fatal("a directory was moved into itself")
	}
	d.wantContent("wal/0", "x")
}

func testRemove(t *testing.T, d disk) {
	d.put("a", "x")
	d.must(d.MkdirAll(d.at("sub/deep")))
	d.put("sub/deep/f", "x")
	if err := d.Remove(d.at("sub")); err == nil {
		t.Fatal("a directory that is not empty was removed")
	}
	d.must(d.Remove(d.at("a")))
	d.wantList("sub")
	d.must(d.RemoveAll(d.at("sub")))
	d.wantList()
	d.must(d.MkdirAll(d.at("empty")))
	d.must(d.Remove(d.at("empty")))
	d.put("b", "x")
	d.must(d.RemoveAll(d.at("b")))
	d.wantList()
}

// An open file outlives its name: segments are removed while a reader still
// holds them.
func testRemovedOpen(t *testing.T, d disk) {
	f := d.create("a", "kept")
	d.must(d.Remove(d.at("a")))
	d.put("a", "other")
	got := make([]byte, 4)
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != "kept" {
		t.Fatalf("read %q %v after the name was gone", got, err)
	}
	d.must(f.Close())
	d.wantContent("a", "other")
}

func testDirs(_ *testing.T, d disk) {
	d.must(d.MkdirAll(d.at("x/y/z")))
	d.must(d.MkdirAll(d.at("x/y/z")))
	d.put("x/b", "")
	d.put("x/a", "")
	got, err := d.List(d.at("x"))
	d.must(err)
	if !slices.Equal(got, []string{"a", "b", "y"}) {
		d.t.Fatalf("names are %q", got)
	}
	info, err := d.Stat(d.at("x/y"))
	d.must(err)
	if !info.IsDir || !info.Mode.IsDir() {
		d.t.Fatalf("stat of a directory says %+v", info)
	}
	d.must(d.SyncDir(d.at("x")))
	if err := d.MkdirAll(d.at("x/a")); err == nil {
		d.t.Fatal("a directory was made over a file")
	}
}

func testPreallocate(_ *testing.T, d disk) {
	f := d.create("a", "abc")
	d.must(f.Preallocate(100_000))
	d.wantSize(f, 100_000)
	got := make([]byte, 100_000)
	_, err := f.ReadAt(got, 0)
	if err != nil && err != io.EOF {
		d.t.Fatal(err)
	}
	if !bytes.Equal(got, append([]byte("abc"), make([]byte, 99_997)...)) {
		d.t.Fatal("reserved space does not read as zeros behind the content")
	}
	d.must(f.Preallocate(50_000))
	d.wantSize(f, 100_000)
	d.must(f.Preallocate(0))
	d.must(f.Close())
}

func testLock(_ *testing.T, d disk) {
	first, err := d.Lock(d.at("lock"))
	d.must(err)
	_, err = d.Lock(d.at("lock"))
	d.wantErr(err, vfs.ErrLocked)
	d.must(first.Close())
	again, err := d.Lock(d.at("lock"))
	d.must(err)
	d.must(again.Close())
}

func testTryLock(_ *testing.T, d disk) {
	f := d.create("a", "abc")
	d.must(f.TryLock())
	d.must(f.TryLock()) // it is ours already
	other, err := d.OpenReadWrite(d.at("a"))
	d.must(err)
	d.wantErr(other.TryLock(), vfs.ErrLocked)
	_, err = d.Lock(d.at("a"))
	d.wantErr(err, vfs.ErrLocked)
	// The lock is advice: it does not keep anybody from writing.
	_, err = other.WriteAt([]byte("x"), 2)
	d.must(err)
	// It follows the file to its new name, as WAL segments need.
	d.must(d.Rename(d.at("a"), d.at("b")))
	d.wantErr(other.TryLock(), vfs.ErrLocked)
	d.must(f.Close())
	d.must(other.TryLock())
	d.must(other.Close())
}

func testMap(t *testing.T, d disk) {
	f := d.create("a", "mapped bytes")
	data, unmap, ok, err := f.Map(6)
	d.must(err)
	if ok {
		if string(data) != "mapped" {
			t.Fatalf("mapping holds %q", data)
		}
		d.must(unmap())
		empty, unmap, ok, err := f.Map(0)
		if err != nil || !ok || len(empty) != 0 {
			t.Fatalf("empty mapping: %v %v %v", empty, ok, err)
		}
		d.must(unmap())
	}
	_, _, _, err = f.Map(13)
	d.wantErr(err, io.ErrUnexpectedEOF)
	_, _, _, err = f.Map(-1)
	d.wantErr(err, io.ErrUnexpectedEOF)
	d.must(f.Close())
}

func testWholeFiles(t *testing.T, d disk) {
	d.must(vfs.WriteFile(d.FS, d.at("a"), []byte("abc")))
	d.wantContent("a", "abc")
	if _, err := vfs.ReadFile(d.FS, d.at("a"), 2); err == nil {
		t.Fatal("a file over the limit was read")
	}
	d.must(vfs.WriteFile(d.FS, d.at("a"), nil))
	d.wantContent("a", "")
}

func testSpace(t *testing.T, d disk) {
	n, err := d.FreeBytes(d.dir)
	d.must(err)
	if n <= 0 {
		t.Fatalf("%d bytes free", n)
	}
	_, err = d.FreeBytes(d.at("no"))
	d.wantErr(err, fs.ErrNotExist)
}

// Writers of distinct ranges, readers and syncs share one file.
func testConcurrent(t *testing.T, d disk) {
	const writers, chunk = 8, 5000
	f := d.create("a", "")
	errs := make(chan error, writers)
	for i := range writers {
		go func() {
			part := bytes.Repeat([]byte{byte('a' + i)}, chunk)
			_, err := f.WriteAt(part, int64(i*chunk))
			if err == nil {
				err = f.SyncData()
			}
			if err == nil {
				got := make([]byte, chunk)
				if _, err = f.ReadAt(got, int64(i*chunk)); err == io.EOF {
					err = nil
				}
				if err == nil && !bytes.Equal(got, part) {
					err = errors.New("another writer's bytes in the range")
				}
			}
			errs <- err
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	d.wantSize(f, writers*chunk)
	d.must(f.Close())
}
