package wal

import (
	"errors"
	"fmt"

	"keelson/internal/vfs"
)

// errNoSpare is a cut that did not happen for want of a next segment.
var errNoSpare = errors.New("wal: there is no next segment")

// makeRoomLocked sees to it that the next bytes bytes fall into preallocated
// space, so that writing them cannot meet a full disk:
//
//  1. they fit into the present segment, or
//  2. the log goes on in the spare, which was preallocated long ago, or
//  3. the present segment grows: the batch is larger than a segment, or there
//     is no spare (the disk is full, or there are no more file handles).
//
// vfs.ErrNoSpace means that none of it worked and nothing was changed.
func (w *WAL) makeRoomLocked(bytes int64) error {
	t := &w.tail
	if t.off+bytes <= t.room {
		return nil
	}
	if t.off > w.headBound() { // a segment without entries is not worth leaving
		if err := w.cutLocked(); err != nil && !errors.Is(err, errNoSpare) {
			return err
		}
		if t.off+bytes <= t.room {
			return nil
		}
	}
	err := t.seg.file.Preallocate(t.off + bytes)
	switch {
	case err == nil:
		t.room = t.off + bytes
		return nil
	case errors.Is(err, vfs.ErrNoSpace):
		return fmt.Errorf("wal: no room for %d bytes at the end of %s: %w", bytes, t.seg.name, err)
	}
	return w.fail("preallocate "+t.seg.name, err)
}

// headBound is at least the size of a segment's head.
func (w *WAL) headBound() int64 {
	return 3*recordOverhead + int64(len(w.metadata)) + 3*11
}

// cutLocked ends the present segment and goes on in the next one:
//
//	old:  truncate to the last record, sync         nothing after it can be torn now
//	next: head at offset 0 of N.tmp, sync
//	      rename to its final name, sync directory
//
// A crash in between leaves the old segment as the last one, complete.
// errNoSpare means that nothing was changed.
func (w *WAL) cutLocked() error {
	t := &w.tail
	file, tmp, err := w.spare.take()
	if err != nil {
		return fmt.Errorf("%w: %w", errNoSpare, err)
	}
	w.index.RLock()
	first := w.index.table.last() + 1
	w.index.RUnlock()
	next := newSegment(t.seg.seq+1, first, w.opts.path(segmentName(t.seg.seq+1, first)), file)

	off, err := w.moveLocked(next, tmp)
	if err != nil {
		return errors.Join(w.fail("cut to "+next.name, err), file.Close())
	}
	w.index.Lock()
	w.index.segs = append(w.index.segs, next)
	w.index.Unlock()
	t.seg, t.off, t.room = next, off, max(w.opts.SegmentBytes, off)
	return nil
}

// moveLocked does the disk work of a cut and returns the end of the head.
func (w *WAL) moveLocked(next *segment, tmp string) (off int64, err error) {
	t := &w.tail
	if err := t.seg.file.Truncate(t.off); err != nil {
		return 0, err
	}
	if err := w.barrier(t.seg.file.Sync); err != nil {
		return 0, err
	}
	t.buf = appendRecord(t.buf[:0], KindCRC, t.sum, nil, nil)
	w.encodeLocked(KindMetadata, w.metadata, nil)
	if !t.state.isZero() {
		w.encodeLocked(KindState, t.state.append(t.head[:0]), nil)
	}
	if _, err := next.file.WriteAt(t.buf, 0); err != nil {
		return 0, err
	}
	if err := w.barrier(next.file.Sync); err != nil {
		return 0, err
	}
	if err := w.opts.FS.Rename(tmp, next.name); err != nil {
		return 0, err
	}
	return int64(len(t.buf)), w.barrier(func() error { return w.opts.FS.SyncDir(w.opts.Dir) })
}

// barrier runs a sync unless the log runs without.
func (w *WAL) barrier(sync func() error) error {
	if w.opts.NoSync {
		return nil
	}
	return sync()
}
