package revlog

import (
	"errors"
	"fmt"

	"keelson/internal/vfs"
)

// Capture returns the manifest of everything appended and marked dead so far,
// for a checkpoint. It copies no marks: those of a segment are copied by the
// next MarkDead in it. The files it names stay at least until the next Capture, so one
// checkpoint is made at a time: Capture, SyncTo, write it, Retain. Applier
// only, at a batch boundary.
func (l *Log) Capture() Manifest {
	v := l.Publish()
	l.mu.Lock()
	old := l.mu.captured
	l.mu.captured = v
	m := v.manifest(l.mu.nextID, l.deadLocked(v))
	l.mu.Unlock()
	if old != nil {
		old.Release()
	}
	return m
}

// SyncTo makes every byte that m names durable: what of the tail it covers,
// the segments, the sidecars of the sealed ones, their names. m is the
// manifest of the last Capture.
func (l *Log) SyncTo(m Manifest) error {
	if err := l.failed(); err != nil {
		return err
	}
	if err := m.check(); err != nil {
		return err
	}
	l.mu.Lock()
	v := l.mu.captured
	if v == nil || !v.TryRef() {
		l.mu.Unlock()
		return errors.New("revlog: SyncTo without Capture")
	}
	l.mu.Unlock()
	defer v.Release() // behind the unlock: it may do chores

	l.durable.Lock()
	defer l.durable.Unlock()
	err := l.syncSegments(v, m)
	if err == nil {
		err = l.syncDir()
	}
	return l.storageError(err)
}

// syncSegments makes the files of m durable up to their lengths. durable is
// held; the files are those of v.
func (l *Log) syncSegments(v *View, m Manifest) error {
	sealed := make(map[uint64]*segment, len(v.set.sealed))
	for _, g := range v.set.sealed {
		sealed[g.info.ID] = g
	}
	for _, info := range m.Segments {
		g := sealed[info.ID]
		src := &v.active
		switch {
		case g != nil:
			src = &g.source
		case info.ID != v.info.ID || info.Sealed:
			return fmt.Errorf("revlog: segment %016x is not of the last Capture", info.ID)
		}
		if info.Bytes > src.end {
			return fmt.Errorf("revlog: segment %016x has no %d bytes", info.ID, info.Bytes)
		}
		if info.Sealed {
			if err := l.finish(g); err != nil {
				return err
			}
			continue
		}
		if err := src.file.flush(src, info.Bytes); err != nil {
			return err
		}
		if err := l.syncUpTo(src.file, info.Bytes); err != nil {
			return err
		}
	}
	return nil
}

// syncUpTo makes the first n bytes of a segment durable; they are written.
// durable is held.
func (l *Log) syncUpTo(sf *segFile, n int64) error {
	if sf.synced >= n {
		return nil
	}
	sf.write.Lock()
	written := sf.write.written
	sf.write.Unlock()
	if err := l.syncFile(sf.f); err != nil {
		return err
	}
	sf.synced = written
	return nil
}

// finish gives a sealed segment its final form: cut to its length, durable,
// with a sidecar. The sidecar is made from what reading the file returns, not
// from memory, so a disk that swallowed the bytes shows here. durable is held.
func (l *Log) finish(g *segment) error {
	sf := g.file
	if sf.finished {
		return nil
	}
	if err := sf.f.Truncate(g.info.Bytes); err != nil {
		return err
	}
	if err := l.syncFile(sf.f); err != nil {
		return err
	}
	sf.synced = g.info.Bytes
	if sf.mapping.Load() == nil {
		l.mapFile(sf, g.info.Bytes)
	}
	side := newSidecarBuilder(g.info.ID)
	err := walkSegment(sf.f, g.info.ID, g.info.Bytes, func(_ int64, raw []byte, r *Record) error {
		side.add(&r.Meta, int64(len(raw)))
		return nil
	})
	if err == nil {
		err = matches(sf.name, &side.tab, g.info)
	}
	if err != nil {
		return err
	}
	if err := l.writeSidecar(g.info.ID, side.finish()); err != nil {
		return err
	}
	sf.finished = true
	return nil
}

// finishSealed finishes the sealed segments of the current set. What a full
// disk prevents is left to SyncTo.
func (l *Log) finishSealed() {
	if l.failed() != nil {
		return
	}
	set := l.acquireSet()
	defer l.releaseSet(set)
	l.durable.Lock()
	defer l.durable.Unlock()
	for _, g := range set.sealed {
		if err := l.finish(g); err != nil {
			if err = l.storageError(err); errors.Is(err, vfs.ErrNoSpace) {
				l.opts.Logger.Warn("no room to finish a sealed segment", zapFile(g.file.name), zapError(err))
			}
			return
		}
	}
}

// storageError fails the log, except where a full disk refused room before
// anything was at stake.
func (l *Log) storageError(err error) error {
	if err == nil || errors.Is(err, vfs.ErrNoSpace) {
		return err
	}
	return l.fail(err)
}

func (l *Log) syncFile(f vfs.File) error {
	if l.opts.NoSync {
		return nil
	}
	return f.SyncData()
}

// syncDir makes the names durable that were made since the last call. The
// flag falls first: a name made during the call asks for another one.
func (l *Log) syncDir() error {
	if !l.dirDirty.Swap(false) || l.opts.NoSync {
		return nil
	}
	return l.opts.FS.SyncDir(l.opts.Dir)
}
