//go:build linux || darwin

package vfs

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const mapSupported = true

// isNoSpace reports whether err is the system's word for a full disk.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// mapFile maps the first size bytes; size is positive and inside the file.
func (f *osFile) mapFile(size int64) (data []byte, unmap func() error, ok bool, err error) {
	err = f.control("mmap", func(fd uintptr) error {
		var err error
		data, err = unix.Mmap(int(fd), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
		return err
	})
	if err != nil {
		return nil, nil, false, err
	}
	return data, func() error { return unix.Munmap(data) }, true, nil
}

// flock is the lock of systems without open-file-description locks.
func (f *osFile) flock() error {
	var errno error
	err := f.raw.Control(func(fd uintptr) {
		errno = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB)
	})
	switch {
	case err != nil:
		return err
	case errors.Is(errno, unix.EWOULDBLOCK):
		return ErrLocked
	}
	return errno
}
