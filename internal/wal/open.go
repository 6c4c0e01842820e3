package wal

import (
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"
)

// Open opens the log in opts.Dir for state that stands at from, and returns
// what was written after it. It reads from the segment that covers from on;
// older segments count as released.
//
//	list -> lock -> replay -> repair the tail -> join with from
//
// When the log does not contain from itself, the state is newer: it came from
// a leader as a snapshot. Then it replaces the log, as a snapshot record that
// Open writes.
func Open(opts Options, from Position) (*WAL, Replay, error) {
	w := &WAL{opts: opts.withDefaults()}
	h := &history{from: from, collect: true}
	if err := w.load(h); err != nil {
		err = errors.Join(err, releaseAll(w.index.segs))
		return nil, Replay{}, fmt.Errorf("wal: open %s: %w", w.opts.Dir, err)
	}
	w.spare = newSpare(w.opts)
	if err := w.join(h); err != nil {
		err = errors.Join(err, w.Close())
		return nil, Replay{}, fmt.Errorf("wal: open %s: %w", w.opts.Dir, err)
	}
	return w, h.replay(), nil
}

// load locks and reads the segments and prepares the last one for writing.
func (w *WAL) load(h *history) error {
	infos, err := Segments(w.opts.FS, w.opts.Dir)
	if err != nil {
		return err
	}
	start, err := covering(w.opts.Dir, infos, h.from.Index)
	if err != nil {
		return err
	}
	for _, info := range infos[:start] {
		w.release.files = append(w.release.files, info.Name)
	}
	for _, info := range infos[start:] {
		if err := w.hold(info); err != nil {
			return err
		}
	}
	if err := w.removeSpares(); err != nil {
		return err
	}
	s := &scanner{}
	h.begin(s, infos[start])
	for i, seg := range w.index.segs {
		if err := w.replaySegment(h, s, seg, i == len(w.index.segs)-1); err != nil {
			return err
		}
	}
	w.metadata = h.metadata
	w.tail.sum, w.tail.state = s.sum, h.state
	return nil
}

// hold opens and locks one segment.
func (w *WAL) hold(info SegmentInfo) error {
	name := w.opts.path(info.Name)
	file, err := w.opts.FS.OpenReadWrite(name)
	if err != nil {
		return err
	}
	if err := lockFile(file); err != nil {
		return errors.Join(err, file.Close())
	}
	w.index.segs = append(w.index.segs, newSegment(info.Seq, info.First, name, file))
	return nil
}

// removeSpares deletes what is left of the next segment of an earlier run. The
// locks are held, so no other member is about to use it.
func (w *WAL) removeSpares() error {
	names, err := w.opts.FS.List(w.opts.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, spareSuffix) {
			if err := w.opts.FS.Remove(w.opts.path(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// replaySegment feeds one segment to the history. Only the last one may end in
// a torn write.
func (w *WAL) replaySegment(h *history, s *scanner, seg *segment, last bool) error {
	if err := s.open(seg.file); err != nil {
		return err
	}
	bad, err := h.read(s, seg, last, nil)
	if err != nil || !last {
		return err
	}
	return w.repairTail(s, seg, bad)
}

// join makes the log end where the next entry belongs. Nobody else has w yet,
// so it needs no lock.
func (w *WAL) join(h *history) error {
	before := h.table.last()
	replaced, err := h.finish()
	if err != nil {
		return corrupt(w.opts.Dir, 0, "%v", err)
	}
	w.index.table = h.table
	if !replaced {
		return nil
	}
	w.opts.Logger.Warn("the state is newer than the log and replaces it",
		zap.Uint64("state-index", uint64(h.from.Index)), zap.Uint64("state-term", uint64(h.from.Term)),
		zap.Uint64("last-log-index", uint64(before)))
	data, err := Snapshot{Index: h.from.Index, Term: h.from.Term, ConfState: h.from.ConfState}.append(nil)
	if err != nil {
		return err
	}
	return w.saveSnapshotLocked(h.from.Index, h.from.Term, data)
}
