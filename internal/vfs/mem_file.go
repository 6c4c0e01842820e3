package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// memFile is an open file of a Mem. Its mutable fields are guarded by the
// disk's mu.
type memFile struct {
	disk     *Mem
	node     *memNode
	name     string
	writable bool
	closed   bool
}

var _ File = (*memFile)(nil)

func (f *memFile) Name() string { return f.name }

// enter starts a call on an open file; it returns with the disk's mu held when
// the error is nil.
func (f *memFile) enter(op Op, needWritable bool) error {
	if err := f.disk.enter(op, f.name); err != nil {
		return err
	}
	var err error
	switch {
	case f.closed:
		err = fs.ErrClosed
	case needWritable && !f.writable:
		err = errors.New("file is open for reading only")
	default:
		return nil
	}
	f.disk.mu.Unlock()
	return pathError(op.String(), f.name, err)
}

func (f *memFile) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	if f.node.holder == f {
		f.node.holder = nil
	}
	f.node.opens--
	f.disk.freeLocked(f.node)
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.enter(OpRead, false); err != nil {
		return 0, err
	}
	defer f.disk.mu.Unlock()
	if off < 0 {
		return 0, pathError("read", f.name, errors.New("negative offset"))
	}
	n := f.node.live.readAt(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes page by page, so a disk that fills up takes the beginning.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.enter(OpWrite, true); err != nil {
		return 0, err
	}
	defer f.disk.mu.Unlock()
	if off < 0 {
		return 0, pathError("write", f.name, errors.New("negative offset"))
	}
	written, n := 0, f.node
	for written < len(p) {
		i, at := off/pageBytes, off%pageBytes
		chunk := p[written:min(len(p), written+int(pageBytes-at))]
		if n.live.pages[i] == nil && i >= n.live.reserved {
			if err := f.disk.roomLocked(1); err != nil {
				return written, pathError("write", f.name, err)
			}
			f.disk.used++
		}
		n.writePage(i, int(at), chunk)
		written += len(chunk)
		off += int64(len(chunk))
		n.live.size = max(n.live.size, off)
	}
	return written, nil
}

func (f *memFile) Size() (int64, error) {
	if err := f.enter(OpStat, false); err != nil {
		return 0, err
	}
	defer f.disk.mu.Unlock()
	return f.node.live.size, nil
}

func (f *memFile) Truncate(size int64) error {
	if err := f.enter(OpTruncate, true); err != nil {
		return err
	}
	defer f.disk.mu.Unlock()
	if size < 0 {
		return pathError("truncate", f.name, fs.ErrInvalid)
	}
	f.disk.used -= f.node.live.charged()
	f.node.truncate(size)
	f.disk.used += f.node.live.charged()
	return nil
}

func (f *memFile) Sync() error { return f.sync() }

func (f *memFile) SyncData() error { return f.sync() }

func (f *memFile) sync() error {
	if err := f.enter(OpSync, false); err != nil {
		return err
	}
	defer f.disk.mu.Unlock()
	f.node.sync()
	return nil
}

func (f *memFile) Preallocate(size int64) error {
	if err := f.enter(OpPreallocate, true); err != nil {
		return err
	}
	defer f.disk.mu.Unlock()
	c := &f.node.live
	old, oldReserved := c.charged(), c.reserved
	c.reserved = max(c.reserved, pagesFor(size))
	more := c.charged() - old
	if err := f.disk.roomLocked(more); err != nil {
		c.reserved = oldReserved
		return pathError("preallocate", f.name, err)
	}
	f.disk.used += more
	c.size = max(c.size, size)
	return nil
}

func (f *memFile) TryLock() error {
	if err := f.enter(OpLock, true); err != nil {
		return err
	}
	defer f.disk.mu.Unlock()
	if f.node.holder != nil && f.node.holder != f {
		return pathError("lock", f.name, ErrLocked)
	}
	f.node.holder = f
	return nil
}

// poison fills memory whose mapping is gone, so that a reader who kept a
// pointer into it reads bytes that no checksum takes for good.
const poison = 0xdb

// Map implements File with a copy of the bytes as they are now; later writes
// do not show in it.
func (f *memFile) Map(size int64) (data []byte, unmap func() error, ok bool, err error) {
	if err := f.enter(OpMap, false); err != nil {
		return nil, nil, false, err
	}
	defer f.disk.mu.Unlock()
	length := f.node.live.size
	if size < 0 || size > length {
		return nil, nil, false, pathError("map", f.name,
			fmt.Errorf("%d bytes asked of a file of %d: %w", size, length, io.ErrUnexpectedEOF))
	}
	if f.disk.noMap {
		return nil, nil, false, nil
	}
	data = make([]byte, size)
	f.node.live.readAt(data, 0)
	mapped := true
	return data, func() error {
		if !mapped {
			return pathError("unmap", f.name, fs.ErrInvalid)
		}
		mapped = false
		copy(data, slices.Repeat([]byte{poison}, len(data)))
		return nil
	}, true, nil
}
