package wal

import (
	"errors"
	"fmt"
	"path"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// WAL is an open log. It holds every segment that is not released: open, and
// locked so that neither etcd nor a second member uses the directory.
type WAL struct {
	// Set once.
	opts     Options
	metadata []byte
	spare    *spare

	// failure is set by the first failed write or sync and never cleared.
	failure atomic.Pointer[error]

	// tail is where records are written. Its lock serialises Append,
	// SaveSnapshot and Close, and is held while they wait for the disk.
	tail struct {
		sync.Mutex
		seg    *segment
		off    int64 // end of the last record
		room   int64 // the file is preallocated up to here
		sum    chain // after the last record
		state  hardState
		closed bool

		// Scratch space of one batch, kept for the next one.
		buf    []byte
		head   [entryHeadBytes]byte
		places []place
	}

	// index is what readers use. Its lock is held for memory accesses only.
	// It may be taken while tail's lock is held, never the other way round.
	index struct {
		sync.RWMutex
		table table
		segs  []*segment // held, in order
	}

	// release serialises ReleaseTo and remembers what it may delete.
	release struct {
		sync.Mutex
		files []string // released, not yet deleted, oldest first; base names
	}
}

// FirstIndex is the first entry ReadEntries can return; it is LastIndex()+1
// when there is none.
func (w *WAL) FirstIndex() base.Index {
	w.index.RLock()
	defer w.index.RUnlock()
	return w.index.table.first()
}

// LastIndex is the last entry of the log, or the index of the snapshot that
// replaced it.
func (w *WAL) LastIndex() base.Index {
	w.index.RLock()
	defer w.index.RUnlock()
	return w.index.table.last()
}

// Term returns the term of an entry between FirstIndex()-1 and LastIndex().
// It is ErrCompacted before that (at FirstIndex()-1 it may be, too) and
// ErrUnavailable after it.
func (w *WAL) Term(i base.Index) (base.Term, error) {
	w.index.RLock()
	defer w.index.RUnlock()
	if i > w.index.table.last() {
		return 0, fmt.Errorf("%w: index %d, last %d", ErrUnavailable, i, w.index.table.last())
	}
	term, ok := w.index.table.term(i)
	if !ok {
		return 0, fmt.Errorf("%w: index %d, first %d", ErrCompacted, i, w.index.table.first())
	}
	return term, nil
}

// SpaceOK is nil while the log has room ahead: the next segment is there or
// being made. Otherwise it is why not, vfs.ErrNoSpace for a full disk; the
// segment in use still takes entries then. Each call may cause one more
// attempt, at most one a second, whose result a later call sees.
func (w *WAL) SpaceOK() error {
	if err := w.failed(); err != nil {
		return err
	}
	return w.spare.check()
}

func (w *WAL) failed() error {
	if p := w.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// fail makes a storage error permanent and returns what callers get from now
// on. The first error wins.
func (w *WAL) fail(op string, cause error) error {
	err := fmt.Errorf("%w: %s: %w", ErrFailed, op, cause)
	if w.failure.CompareAndSwap(nil, &err) {
		w.opts.Logger.Error("the write-ahead log failed and accepts nothing more",
			zap.String("dir", w.opts.Dir), zap.String("operation", op), zap.Error(cause))
	}
	return w.failed()
}

// Close syncs what was written, stops the spare maker and gives up files and
// locks. Reads under way finish first.
func (w *WAL) Close() error {
	w.tail.Lock()
	defer w.tail.Unlock()
	if w.tail.closed {
		return nil
	}
	w.tail.closed = true
	var errs []error
	if w.failed() == nil && !w.opts.NoSync {
		if err := w.tail.seg.file.SyncData(); err != nil {
			errs = append(errs, w.fail("sync at close", err))
		}
	}
	w.spare.close()
	w.index.Lock()
	segs := w.index.segs
	w.index.segs = nil
	w.index.Unlock()
	return errors.Join(append(errs, releaseAll(segs))...)
}

// lockFile locks a segment against other processes.
func lockFile(f vfs.File) error {
	err := f.TryLock()
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("wal: %s is in use, is another member running on this data directory?: %w", f.Name(), err)
	}
	return err
}

func (o Options) path(name string) string { return path.Join(o.Dir, name) }
