package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"go.uber.org/zap"

	"keelson/internal/base"
)

// ReleaseTo gives up the segments whose entries all lie below index: their
// locks and handles go, their entries can no longer be read, and the oldest
// files are deleted while there are more than Options.MaxFiles. The caller has
// state at index or later that is durable.
//
// Any goroutine may call it. Failing to delete a file is reported and tried
// again by the next call; the log itself is not affected.
func (w *WAL) ReleaseTo(index base.Index) error {
	w.release.Lock()
	defer w.release.Unlock()
	dropped, held := w.dropTo(index)
	for _, seg := range dropped {
		w.release.files = append(w.release.files, path.Base(seg.name))
	}
	err := releaseAll(dropped)
	return errors.Join(err, w.purge(held))
}

// PurgeReleased deletes every released file, whatever Options.MaxFiles says: on
// a full disk they are the first thing to go.
func (w *WAL) PurgeReleased() error {
	w.release.Lock()
	defer w.release.Unlock()
	return w.purgeTo(0)
}

// dropTo takes the segments below index out of the index. A segment goes when
// its successor's name says that every entry before it is below index.
func (w *WAL) dropTo(index base.Index) (dropped []*segment, held int) {
	w.index.Lock()
	defer w.index.Unlock()
	segs := w.index.segs
	n := len(segs) - 1
	for n > 0 && segs[n].first > index {
		n--
	}
	if n <= 0 {
		return nil, len(segs)
	}
	w.index.table.release(segs[n].seq)
	w.index.segs = append([]*segment(nil), segs[n:]...)
	return segs[:n], len(w.index.segs)
}

// purge deletes released files, oldest first, so that what remains is a log
// without a hole at every moment.
func (w *WAL) purge(held int) error {
	if w.opts.MaxFiles <= 0 {
		return nil
	}
	return w.purgeTo(max(w.opts.MaxFiles-held, 0))
}

// purgeTo is purge with the number of released files to keep.
func (w *WAL) purgeTo(keep int) error {
	files := w.release.files
	removed := false
	for len(files) > keep {
		name := w.opts.path(files[0])
		if err := w.opts.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("wal: delete released segment: %w", err)
		}
		w.opts.Logger.Info("purged", zap.String("path", name))
		files = files[1:]
		w.release.files = files
		removed = true
	}
	if !removed {
		return nil
	}
	if err := w.barrier(func() error { return w.opts.FS.SyncDir(w.opts.Dir) }); err != nil {
		return fmt.Errorf("wal: delete released segments: %w", err)
	}
	return nil
}
