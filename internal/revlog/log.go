package revlog

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Log is a revision log. See the package comment for who may call what.
type Log struct {
	opts Options // set once

	app appender // owned by the applier

	failure  atomic.Pointer[failure]
	dirDirty atomic.Bool // names were made that SyncDir has not seen
	liveMaps atomic.Bool // mappings show later writes, see newFile
	reported struct {    // of the active segment, as of the last Publish
		bytes, records atomic.Int64
	}

	// Locks are taken in the order of this list; mu is held for memory only.
	reclaiming sync.Mutex // one Reclaim at a time
	durable    sync.Mutex // one SyncTo or finishing at a time; guards segFile.synced, finished
	spareMu    sync.Mutex // one maker of the spare segment at a time
	tidying    sync.Mutex // one closer and deleter of files at a time

	mu struct {
		sync.Mutex
		set    *segmentSet // what Publish hands out; the log holds one reference
		nextID uint64      // of the next file
		// activeDead marks records of the active segment.
		activeDead *deadSet
		// captured is the view of the last Capture: it keeps the files of a
		// checkpoint that is being written.
		captured *View
		// onDisk is every segment file of the directory but the spare. The
		// value is nil where no handle is open.
		onDisk   map[uint64]*segFile
		retained map[uint64]bool // named by checkpoints on disk
		idle     []*segFile      // no set names them; tidy closes them
		closed   bool

		spare      *segFile // the next segment, preallocated
		spareErr   error    // why there is none
		spareTried time.Time
	}

	kicked  chan struct{} // one pending kick is enough: work is found, not sent
	stop    chan struct{}
	stopped chan struct{}
}

// failure is a storage error that ended the log.
type failure struct{ err error }

func newLog(opts Options) *Log {
	l := &Log{
		opts:    opts,
		kicked:  make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	l.mu.onDisk = map[uint64]*segFile{}
	l.mu.retained = map[uint64]bool{}
	l.mu.activeDead = &deadSet{}
	return l
}

// Create starts an empty log. It deletes every segment file in the directory:
// without a checkpoint nothing in them can be used.
func Create(opts Options) (*Log, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	l := newLog(opts)
	l.mu.nextID = 1
	if err := l.adoptDir(Manifest{NextID: 0}); err != nil {
		return nil, err
	}
	first, err := l.newFile(opts.SegmentBytes)
	if err != nil {
		return nil, fmt.Errorf("revlog: first segment: %w", err)
	}
	l.mapActive(first, opts.SegmentBytes)
	l.app.start(first, opts.SegmentBytes)
	l.mu.onDisk[first.id] = first
	l.mu.set = newSet(nil, first)
	l.run()
	return l, nil
}

// run makes the spare segment and starts the housekeeper.
func (l *Log) run() {
	l.makeSpare()
	l.report()
	if l.opts.Inline {
		close(l.stopped)
		return
	}
	go pprof.Do(context.Background(), pprof.Labels("keelson", "revlog housekeeper"), func(context.Context) {
		l.housekeep()
	})
}

// housekeep waits for kicks and does whatever there is to do. It ends with
// Close.
func (l *Log) housekeep() {
	defer close(l.stopped)
	for {
		select {
		case <-l.stop:
			return
		case <-l.kicked:
			l.chores()
		}
	}
}

// chores is all background work. A round that finds none is cheap.
func (l *Log) chores() {
	l.makeSpare()
	l.finishSealed()
	l.tidy()
}

// kick has the housekeeper look for work. No lock may be held.
func (l *Log) kick() {
	if l.opts.Inline {
		l.chores()
		return
	}
	select {
	case l.kicked <- struct{}{}:
	default:
	}
}

// fail records the first storage error, which from then on answers every call
// that stores.
func (l *Log) fail(err error) error {
	f := &failure{fmt.Errorf("revlog: storage failed: %w", err)}
	if l.failure.CompareAndSwap(nil, f) {
		l.opts.Logger.Error("revision log stops after a storage error", zap.String("dir", l.opts.Dir), zap.Error(err))
	}
	return l.failure.Load().err
}

// failed returns the error that ended the log.
func (l *Log) failed() error {
	if f := l.failure.Load(); f != nil {
		return f.err
	}
	return nil
}

// Close stops the housekeeper and gives up the files; those that a View still
// reads are closed with its Release. Nothing is flushed: what no SyncTo made
// durable comes back from the raft log. The caller makes sure that no other
// call is under way or follows. It returns the error that ended the log before.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.mu.Unlock()
	close(l.stop)
	<-l.stopped

	err := l.failed()
	l.failure.CompareAndSwap(nil, &failure{ErrClosed})
	l.mu.Lock()
	l.mu.closed = true
	captured, spare := l.mu.captured, l.mu.spare
	l.mu.captured, l.mu.spare = nil, nil
	l.dropSetLocked(l.mu.set)
	l.mu.Unlock()
	if captured != nil {
		captured.Release()
	}
	if spare != nil {
		err = errors.Join(err, spare.close(), l.opts.FS.Remove(spare.name))
	}
	l.tidy()
	return err
}

func zapFile(name string) zap.Field { return zap.String("file", name) }
func zapError(err error) zap.Field  { return zap.Error(err) }
