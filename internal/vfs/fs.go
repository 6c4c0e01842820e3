package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// Errors every FS reports, wrapped in *fs.PathError where there is a path.
// Not-exist and exist errors are fs.ErrNotExist and fs.ErrExist.
var (
	// ErrNoSpace is a full disk or an exhausted quota (ENOSPC, EDQUOT).
	ErrNoSpace = errors.New("no space left on device")
	// ErrLocked is a lock that another process or another File holds.
	ErrLocked = errors.New("file is locked by another process")
)

// Info is what Stat tells.
type Info struct {
	Size  int64
	IsDir bool
	Mode  fs.FileMode
}

// FS is a tree of files. Names use '/' on every system. All methods may be
// called from any goroutine.
type FS interface {
	// Create makes an empty file with mode 0600, open for reading and writing,
	// truncating one of that name.
	Create(name string) (File, error)
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// OpenReadWrite opens an existing file for reading and writing.
	OpenReadWrite(name string) (File, error)
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// RemoveAll removes a tree; a missing one is no error.
	RemoveAll(name string) error
	// Rename replaces newName by oldName atomically. It is durable after
	// SyncDir of newName's directory.
	Rename(oldName, newName string) error
	// MkdirAll makes a directory and its parents with mode 0700.
	MkdirAll(dir string) error
	// List returns the base names in a directory, sorted.
	List(dir string) ([]string, error)
	// Stat describes a file or directory.
	Stat(name string) (Info, error)
	// SyncDir makes created, renamed and removed names of a directory durable.
	SyncDir(dir string) error
	// Lock creates name if needed and takes an exclusive lock on it without
	// waiting; ErrLocked when it is taken. Close releases it.
	Lock(name string) (io.Closer, error)
	// FreeBytes tells how many bytes the volume of dir can still take.
	FreeBytes(dir string) (int64, error)
}

// File is an open file. ReadAt, WriteAt, Sync and SyncData may be called from
// any goroutine at the same time.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Name is the name the file was opened by.
	Name() string
	// Size is the current length in bytes.
	Size() (int64, error)
	// Truncate sets the length; a longer file reads as zeros.
	Truncate(size int64) error
	// Sync makes content and metadata durable. After an error nothing may be
	// assumed about any byte since the last success: never retry.
	Sync() error
	// SyncData makes content durable, and of the metadata only what reading
	// it back needs (fdatasync).
	SyncData() error
	// Preallocate reserves [0, size) on the disk and extends the file to size
	// with zeros, so that later writes inside it cannot run out of space.
	// ErrNoSpace when there is no room; the file is then unchanged in length.
	Preallocate(size int64) error
	// TryLock takes an exclusive whole-file lock that etcd's own processes
	// respect (an open-file-description lock on Linux); ErrLocked if taken.
	// Close releases it.
	TryLock() error
	// Map returns the first size bytes as read-only memory, valid until unmap
	// is called. Systems without mappings return ok=false; use ReadAt there.
	Map(size int64) (data []byte, unmap func() error, ok bool, err error)
}
