package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"keelson/internal/vfs"
)

// Create makes a new log in opts.Dir, which must not exist or be empty. The
// metadata says who writes the log and is repeated in each segment.
//
// The log is built in <dir>.tmp and renamed when it is complete and durable,
// so a crash leaves no log or a whole one.
func Create(opts Options, metadata []byte) (*WAL, error) {
	opts = opts.withDefaults()
	w, err := create(opts, metadata)
	if err != nil {
		return nil, fmt.Errorf("wal: create %s: %w", opts.Dir, err)
	}
	w.spare = newSpare(opts)
	return w, nil
}

func create(opts Options, metadata []byte) (*WAL, error) {
	if err := claimDir(opts.FS, opts.Dir); err != nil {
		return nil, err
	}
	tmp := path.Clean(opts.Dir) + createSuffix
	if err := opts.FS.RemoveAll(tmp); err != nil {
		return nil, err
	}
	if err := opts.FS.MkdirAll(tmp); err != nil {
		return nil, err
	}
	name := segmentName(0, 0)
	file, err := makeSegmentFile(opts.FS, path.Join(tmp, name), opts.SegmentBytes)
	if err != nil {
		return nil, err
	}
	w := &WAL{opts: opts, metadata: slices.Clone(metadata)}
	if err := w.writeFirstHead(file, tmp); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	seg := newSegment(0, 0, opts.path(name), file)
	w.tail.seg, w.tail.room = seg, opts.SegmentBytes
	w.index.segs = []*segment{seg}
	w.index.table.reset(0, 0)
	return w, nil
}

// claimDir makes sure that the name is free, so that the rename replaces
// nothing but an empty directory.
func claimDir(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(names) > 0:
		return fmt.Errorf("the directory is not empty, it holds %s: %w", names[0], fs.ErrExist)
	}
	return fsys.Remove(dir)
}

// makeSegmentFile makes an empty, locked, preallocated file.
func makeSegmentFile(fs vfs.FS, name string, bytes int64) (vfs.File, error) {
	file, err := fs.Create(name)
	if err != nil {
		return nil, err
	}
	if err := file.Preallocate(bytes); err != nil {
		return nil, errors.Join(err, file.Close(), fs.Remove(name))
	}
	if err := file.TryLock(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// writeFirstHead writes the head of the first segment and puts the finished
// directory in its place.
func (w *WAL) writeFirstHead(file vfs.File, tmp string) error {
	t := &w.tail
	t.buf = appendRecord(t.buf[:0], KindCRC, 0, nil, nil)
	w.encodeLocked(KindMetadata, w.metadata, nil)
	origin, err := Snapshot{}.append(nil)
	if err != nil {
		return err
	}
	w.encodeLocked(KindSnapshot, origin, nil)
	if _, err := file.WriteAt(t.buf, 0); err != nil {
		return err
	}
	t.off = int64(len(t.buf))
	if !w.opts.NoSync {
		if err := file.Sync(); err != nil {
			return err
		}
		if err := w.opts.FS.SyncDir(tmp); err != nil {
			return err
		}
	}
	if err := w.opts.FS.Rename(tmp, w.opts.Dir); err != nil {
		return err
	}
	if w.opts.NoSync {
		return nil
	}
	return w.opts.FS.SyncDir(path.Dir(path.Clean(w.opts.Dir)))
}
