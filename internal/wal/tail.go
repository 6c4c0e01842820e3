package wal

import (
	"errors"
	"io"
	"path"

	"go.uber.org/zap"

	"keelson/internal/vfs"
)

// repairTail makes the last segment ready for writing at the scanner's offset,
// the end of the last good record: whatever lies behind is cut off, after a
// copy was made, and the file is preallocated again. torn is why the scanner
// stopped, nil if it met zeros.
//
// The cut is durable before anything is written, so that what was cut cannot
// come back between new records after another crash.
func (w *WAL) repairTail(s *scanner, seg *segment, torn *badFrame) error {
	end, err := s.written()
	if err != nil {
		return err
	}
	room := max(s.size, w.opts.SegmentBytes)
	if torn != nil || end > s.off {
		reason := "bytes behind the last record"
		if torn != nil {
			reason = torn.reason
		}
		w.opts.Logger.Warn("cutting an unfinished write off the end of the log",
			zap.String("path", seg.name), zap.Int64("offset", s.off), zap.Int64("bytes", end-s.off), zap.String("reason", reason))
		if err := w.keepBroken(s, seg, end); err != nil {
			return err
		}
		if err := seg.file.Truncate(s.off); err != nil {
			return err
		}
		room = max(s.off, w.opts.SegmentBytes)
	}
	err = seg.file.Preallocate(room)
	switch {
	case errors.Is(err, vfs.ErrNoSpace):
		// Appends will go to the spare as soon as there is one; until then
		// SpaceOK says why not.
		w.opts.Logger.Warn("no room to preallocate the last log segment", zap.String("path", seg.name), zap.Error(err))
		room = s.off
	case err != nil:
		return err
	}
	w.tail.seg, w.tail.off, w.tail.room = seg, s.off, room
	return w.barrier(seg.file.Sync)
}

// keepBroken copies the segment up to end beside it, for those who want to
// know what was cut. A full disk does without the copy: what is cut was never
// acknowledged.
func (w *WAL) keepBroken(s *scanner, seg *segment, end int64) error {
	name := seg.name + brokenSuffix
	err := copyTo(w.opts.FS, name, s, end)
	if errors.Is(err, vfs.ErrNoSpace) {
		w.opts.Logger.Warn("no room to keep a copy of the broken log segment", zap.String("path", name), zap.Error(err))
		return w.opts.FS.RemoveAll(name)
	}
	return err
}

func copyTo(fs vfs.FS, name string, s *scanner, end int64) error {
	out, err := fs.Create(name)
	if err != nil {
		return err
	}
	err = copyBytes(out, s, end)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return fs.SyncDir(path.Dir(name))
}

func copyBytes(out io.WriterAt, s *scanner, end int64) error {
	for off := int64(0); off < end; {
		b, err := s.bytes(off, int(min(scanWindowBytes, end-off)))
		if err != nil {
			return err
		}
		n, err := out.WriteAt(b, off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}
