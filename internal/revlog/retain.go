package revlog

import (
	"errors"
	"io/fs"
	"slices"
)

// A segment file leaves the disk when nobody needs it any more:
//
//	current set --+
//	any View -----+-- handle open --+
//	last Capture -+                 +-- file stays
//	Retain: checkpoints on disk ----+

// Retain names the checkpoints on disk whose files must stay. Every other
// segment file that the log and its views do not use is deleted, now or when
// the last View that reads it is released. Until the first call after Open
// nothing that was found on disk is deleted.
func (l *Log) Retain(ms ...Manifest) {
	keep := map[uint64]bool{}
	for _, m := range ms {
		for _, s := range m.Segments {
			keep[s.ID] = true
		}
	}
	l.mu.Lock()
	l.mu.retained = keep
	l.mu.Unlock()
	l.tidy()
}

// tidy closes the files that no set names and deletes those that no checkpoint
// names either. After Close it deletes nothing: the directory may have a new
// owner.
func (l *Log) tidy() {
	l.tidying.Lock()
	defer l.tidying.Unlock()
	l.mu.Lock()
	idle := l.mu.idle
	l.mu.idle = nil
	l.mu.Unlock()
	for _, sf := range idle {
		if err := sf.close(); err != nil {
			l.opts.Logger.Warn("closing a segment failed", zapFile(sf.name), zapError(err))
		}
	}
	for _, id := range l.takeUnneeded(idle) {
		if err := l.removeSegment(id); err != nil {
			l.opts.Logger.Warn("deleting a segment failed, it is tried again later", zapFile(segmentName(l.opts.Dir, id)), zapError(err))
			l.mu.Lock()
			l.mu.onDisk[id] = nil
			l.mu.Unlock()
		}
	}
}

// takeUnneeded forgets the handles of the files just closed and takes the IDs
// of the files to delete off the books.
func (l *Log) takeUnneeded(closed []*segFile) []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sf := range closed {
		l.mu.onDisk[sf.id] = nil
	}
	if l.mu.closed {
		return nil
	}
	var gone []uint64
	for id, sf := range l.mu.onDisk {
		if sf == nil && !l.mu.retained[id] {
			gone = append(gone, id)
			delete(l.mu.onDisk, id)
		}
	}
	slices.Sort(gone)
	return gone
}

// removeSegment deletes the files of a segment; missing ones are no error.
func (l *Log) removeSegment(id uint64) error {
	return errors.Join(l.removeFile(sidecarName(l.opts.Dir, id)), l.removeFile(segmentName(l.opts.Dir, id)))
}

func (l *Log) removeFile(name string) error {
	err := l.opts.FS.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// acquireSet returns the current set with a reference.
func (l *Log) acquireSet() *segmentSet {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.set.refs++
	return l.mu.set
}

// releaseSet gives up a reference of acquireSet or of a View.
func (l *Log) releaseSet(s *segmentSet) {
	l.mu.Lock()
	before := len(l.mu.idle)
	l.dropSetLocked(s)
	work, closed := len(l.mu.idle) > before, l.mu.closed
	l.mu.Unlock()
	switch {
	case work && closed: // the housekeeper is gone
		l.tidy()
	case work:
		l.kick()
	}
}
