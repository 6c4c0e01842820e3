package wal

import (
	"errors"
	"sync/atomic"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// segment is a held segment file: open and locked. The log owns one reference
// until the segment is released; a read takes another one while it reads, so
// that releasing never closes a file under it.
type segment struct {
	seq   uint64
	first base.Index // from the file name
	name  string     // whole path
	file  vfs.File
	refs  atomic.Int32
}

func newSegment(seq uint64, first base.Index, name string, file vfs.File) *segment {
	s := &segment{seq: seq, first: first, name: name, file: file}
	s.refs.Store(1)
	return s
}

// acquire takes a reference. The caller holds the lock under which the log
// gives up its own, so the count cannot be zero.
func (s *segment) acquire() { s.refs.Add(1) }

// release gives a reference back; the last one closes the file and with it
// ends the lock.
func (s *segment) release() error {
	if s.refs.Add(-1) > 0 {
		return nil
	}
	return s.file.Close()
}

func releaseAll(segs []*segment) error {
	var errs []error
	for _, s := range segs {
		errs = append(errs, s.release())
	}
	return errors.Join(errs...)
}
