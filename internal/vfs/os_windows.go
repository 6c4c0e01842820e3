package vfs

import (
	"errors"

	"golang.org/x/sys/windows"
)

const mapSupported = false

// isNoSpace reports whether err is the system's word for a full disk.
func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) ||
		errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

func (f *osFile) syncData() error { return wrapOS(f.f.Sync()) }

// syncDir does nothing: NTFS journals names itself and directories cannot be
// flushed by ordinary processes.
func syncDir(string) error { return nil }

func freeBytes(dir string) (int64, error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return 0, err
	}
	return int64(free), nil
}

// allocate leaves the work to the portable way.
func (f *osFile) allocate(int64) error { return errors.ErrUnsupported }

// tryLock locks the first byte, the range that etcd locks.
func (f *osFile) tryLock() error {
	var errno error
	err := f.raw.Control(func(fd uintptr) {
		errno = windows.LockFileEx(windows.Handle(fd),
			windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
			0, 1, 0, new(windows.Overlapped))
	})
	switch {
	case err != nil:
		return err
	case errors.Is(errno, windows.ERROR_LOCK_VIOLATION), errors.Is(errno, windows.ERROR_IO_PENDING):
		return ErrLocked
	}
	return errno
}

// mapFile reports that the system has no mapping we use: a mapped file can be
// neither removed nor renamed there.
func (f *osFile) mapFile(int64) ([]byte, func() error, bool, error) {
	return nil, nil, false, nil
}
