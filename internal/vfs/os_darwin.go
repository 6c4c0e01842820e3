package vfs

import "errors"

// syncData is Sync: the system's fsync does not flush the drive's cache, and
// os.File.Sync asks for the full flush that does.
func (f *osFile) syncData() error { return wrapOS(f.f.Sync()) }

// allocate leaves the work to the portable way.
func (f *osFile) allocate(int64) error { return errors.ErrUnsupported }

func (f *osFile) tryLock() error { return f.flock() }
