package vfs

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

func (f *osFile) syncData() error {
	return f.control("fdatasync", func(fd uintptr) error {
		for {
			// An interrupted call has reported nothing about the data, so
			// calling again is not the forbidden retry after a failure.
			if err := unix.Fdatasync(int(fd)); err != unix.EINTR {
				return err
			}
		}
	})
}

// allocateAttempts bounds the retries of an interrupted fallocate: tmpfs throws
// away its progress on every signal, and a profiler sends a hundred per second.
const allocateAttempts = 20

// allocate reserves blocks with fallocate. errors.ErrUnsupported sends the
// caller to the portable way.
func (f *osFile) allocate(size int64) error {
	return f.control("fallocate", func(fd uintptr) error {
		for range allocateAttempts {
			err := unix.Fallocate(int(fd), 0, 0, size)
			switch {
			case err == unix.EINTR:
				continue
			case errors.Is(err, errors.ErrUnsupported): // EOPNOTSUPP, ENOSYS
				return errors.ErrUnsupported
			}
			return err
		}
		return errors.ErrUnsupported
	})
}

// tryLock takes an open-file-description lock over the whole file, the kind
// that etcd takes, and flock on kernels and file systems without them.
func (f *osFile) tryLock() error {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	var errno error
	err := f.raw.Control(func(fd uintptr) {
		errno = unix.FcntlFlock(fd, unix.F_OFD_SETLK, &lock)
	})
	switch {
	case err != nil:
		return err
	case errors.Is(errno, unix.EAGAIN), errors.Is(errno, unix.EACCES):
		return ErrLocked
	case errors.Is(errno, unix.EINVAL):
		return f.flock()
	}
	return errno
}

func (f *osFile) startWriteback(off, n int64) error {
	return f.control("sync_file_range", func(fd uintptr) error {
		return unix.SyncFileRange(int(fd), off, n, unix.SYNC_FILE_RANGE_WRITE)
	})
}
