package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Modes of what OS makes. Everything a member stores is private to its user.
const (
	fileMode fs.FileMode = 0o600
	dirMode  fs.FileMode = 0o700
)

// OS is the operating system's file tree. It has no state; every value is the
// same disk.
type OS struct{}

var _ FS = OS{}

// Create implements FS.
func (OS) Create(name string) (File, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

// Open implements FS.
func (OS) Open(name string) (File, error) {
	return openOS(name, os.O_RDONLY)
}

// OpenReadWrite implements FS.
func (OS) OpenReadWrite(name string) (File, error) {
	return openOS(name, os.O_RDWR)
}

// Remove implements FS.
func (OS) Remove(name string) error {
	return wrapOS(os.Remove(filepath.FromSlash(name)))
}

// RemoveAll implements FS.
func (OS) RemoveAll(name string) error {
	return wrapOS(os.RemoveAll(filepath.FromSlash(name)))
}

// Rename implements FS.
func (OS) Rename(oldName, newName string) error {
	return wrapOS(os.Rename(filepath.FromSlash(oldName), filepath.FromSlash(newName)))
}

// MkdirAll implements FS.
func (OS) MkdirAll(dir string) error {
	return wrapOS(os.MkdirAll(filepath.FromSlash(dir), dirMode))
}

// List implements FS.
func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.FromSlash(dir))
	if err != nil {
		return nil, wrapOS(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// Stat implements FS.
func (OS) Stat(name string) (Info, error) {
	st, err := os.Stat(filepath.FromSlash(name))
	if err != nil {
		return Info{}, wrapOS(err)
	}
	return Info{Size: st.Size(), IsDir: st.IsDir(), Mode: st.Mode()}, nil
}

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	return wrapOS(syncDir(filepath.FromSlash(dir)))
}

// Lock implements FS.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := openOS(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := f.TryLock(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// FreeBytes implements FS.
func (OS) FreeBytes(dir string) (int64, error) {
	n, err := freeBytes(filepath.FromSlash(dir))
	if err != nil {
		return 0, pathError("statfs", dir, err)
	}
	return n, nil
}

// osFile is an open file of the operating system. It is immutable; the
// kernel orders concurrent calls.
type osFile struct {
	f    *os.File
	raw  syscall.RawConn // keeps the descriptor from being reused during a call
	name string
}

func openOS(name string, flag int) (*osFile, error) {
	f, err := os.OpenFile(filepath.FromSlash(name), flag, fileMode)
	if err != nil {
		return nil, wrapOS(err)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(wrapOS(err), f.Close())
	}
	return &osFile{f: f, raw: raw, name: name}, nil
}

func (f *osFile) Name() string { return f.name }

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if err == io.EOF {
		return n, err
	}
	return n, wrapOS(err)
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.f.WriteAt(p, off)
	return n, wrapOS(err)
}

func (f *osFile) Close() error { return wrapOS(f.f.Close()) }

func (f *osFile) Size() (int64, error) {
	st, err := f.f.Stat()
	if err != nil {
		return 0, wrapOS(err)
	}
	return st.Size(), nil
}

func (f *osFile) Truncate(size int64) error { return wrapOS(f.f.Truncate(size)) }

func (f *osFile) Sync() error { return wrapOS(f.f.Sync()) }

func (f *osFile) SyncData() error { return f.syncData() }

// Preallocate asks the file system for the room and, where it cannot promise
// any, writes zeros. Either way a failure leaves the old length.
func (f *osFile) Preallocate(size int64) error {
	old, err := f.Size()
	if err != nil {
		return err
	}
	if size <= 0 {
		return nil
	}
	err = f.allocate(size)
	if errors.Is(err, errors.ErrUnsupported) {
		err = f.writeZeros(old, size)
	}
	if err != nil {
		// A partial allocation may have moved the end of the file already.
		return errors.Join(err, f.restoreLength(old))
	}
	return nil
}

// restoreLength undoes a failed Preallocate.
func (f *osFile) restoreLength(size int64) error {
	now, err := f.Size()
	if err != nil || now <= size {
		return err
	}
	return f.Truncate(size)
}

// zeroChunkBytes is large enough that the system calls do not count, and
// small enough not to matter as memory.
const zeroChunkBytes = 256 << 10

// writeZeros extends the file from its length from to size by real writes,
// the portable way to own the blocks.
func (f *osFile) writeZeros(from, size int64) error {
	if from >= size {
		return nil
	}
	zeros := make([]byte, min(zeroChunkBytes, size-from))
	for from < size {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

func (f *osFile) TryLock() error {
	err := f.tryLock()
	if err != nil {
		return pathError("lock", f.name, err)
	}
	return nil
}

func (f *osFile) Map(size int64) (data []byte, unmap func() error, ok bool, err error) {
	length, err := f.Size()
	if err != nil {
		return nil, nil, false, err
	}
	if size < 0 || size > length || int64(int(size)) != size {
		return nil, nil, false, pathError("mmap", f.name,
			fmt.Errorf("%d bytes asked of a file of %d: %w", size, length, io.ErrUnexpectedEOF))
	}
	if size == 0 { // the kernel refuses empty mappings
		return []byte{}, func() error { return nil }, mapSupported, nil
	}
	return f.mapFile(size)
}

// control runs call with the descriptor and prefers the call's error.
func (f *osFile) control(op string, call func(fd uintptr) error) error {
	var callErr error
	if err := f.raw.Control(func(fd uintptr) { callErr = call(fd) }); err != nil {
		return pathError(op, f.name, err)
	}
	if callErr != nil {
		return pathError(op, f.name, callErr)
	}
	return nil
}

// pathError wraps err with the operation and the name.
func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: spaceError(err)}
}

// wrapOS puts ErrNoSpace in place of the system's numbers for a full disk and
// keeps the operation and the path around it.
func wrapOS(err error) error {
	if err == nil || !isNoSpace(err) {
		return err
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return &fs.PathError{Op: p.Op, Path: p.Path, Err: spaceError(p.Err)}
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return &fs.PathError{Op: l.Op, Path: l.New, Err: spaceError(l.Err)}
	}
	return spaceError(err)
}

// spaceError keeps the system's number behind ErrNoSpace, so that a log line
// tells a quota from a full disk.
func spaceError(err error) error {
	if !isNoSpace(err) || errors.Is(err, ErrNoSpace) {
		return err
	}
	return fmt.Errorf("%w (%w)", ErrNoSpace, err)
}
