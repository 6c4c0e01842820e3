package watch

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"keelson/internal/clock"
)

// ErrClosed is what Next returns once its stream or the hub is closed.
var ErrClosed = errors.New("watch: closed")

// Config is what the hub is built from. Zero numbers take their defaults.
type Config struct {
	Source Source
	Clock  clock.Clock
	Logger *zap.Logger
	// Rand draws the jitter of the progress timers; nil means no jitter. The
	// hub uses it under its own lock.
	Rand *rand.Rand

	// InboxBytes bounds the batches that the matcher has not taken yet.
	InboxBytes int
	// WatcherBytes, StreamBytes and TotalBytes bound the events queued for
	// one watcher, for one stream and for all streams. A stream counts bytes
	// that several of its watchers share once, the total counts every byte
	// once.
	WatcherBytes int
	StreamBytes  int
	TotalBytes   int64
	// MaxFragmentBytes is the size that a fragment of a response stays below.
	MaxFragmentBytes int
	// MaxAnswers bounds the answers to a stream's own requests that were not
	// taken out yet; further requests wait.
	MaxAnswers int
	// ProgressInterval is the pause between progress messages of a quiet
	// watcher; each stream adds up to a tenth of it.
	ProgressInterval time.Duration
	// Workers is the number of goroutines that read history.
	Workers int
}

// Defaults. The inbox holds about 60,000 changes of 512 bytes, a second or
// more of writes at full speed. A watcher's MiB is some 2,000 such events, far
// above what a healthy client leaves lying; a stream's is four times what a
// transport buffers. Two workers saturate the two cores of a small member.
const (
	defaultInboxBytes       = 32 << 20
	defaultWatcherBytes     = 1 << 20
	defaultStreamBytes      = 16 << 20
	defaultTotalBytes       = 256 << 20
	defaultMaxFragmentBytes = 2 << 20
	defaultMaxAnswers       = 16 << 10
	defaultProgressInterval = 10 * time.Minute
	defaultWorkers          = 2
)

func (c Config) withDefaults() Config {
	orInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	orInt(&c.InboxBytes, defaultInboxBytes)
	orInt(&c.WatcherBytes, defaultWatcherBytes)
	orInt(&c.StreamBytes, defaultStreamBytes)
	orInt(&c.MaxFragmentBytes, defaultMaxFragmentBytes)
	orInt(&c.MaxAnswers, defaultMaxAnswers)
	orInt(&c.Workers, defaultWorkers)
	if c.TotalBytes == 0 {
		c.TotalBytes = defaultTotalBytes
	}
	if c.ProgressInterval == 0 {
		c.ProgressInterval = defaultProgressInterval
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c
}

// Hub connects the applier with all watch streams of a member.
type Hub struct {
	cfg   Config // set once
	inbox *inbox // set once
	done  chan struct{}
	tasks sync.WaitGroup

	// Counters, see Stats.
	watchers      atomic.Int64
	slowWatchers  atomic.Int64
	pendingEvents atomic.Int64
	queuedEvents  atomic.Uint64
	queuedBytes   atomic.Int64 // every encoded event that a queue refers to, once

	mu          sync.Mutex
	readyFilled sync.Cond // signalled when ready grows or the hub closes

	// Guarded by mu.
	closed    bool
	matched   int64 // every live watcher was given everything up to here; only the matcher advances it
	compacted int64 // newest compaction the hub was told of; -1 if none
	streams   map[*Stream]struct{}
	matching  matchSet    // the live watchers, by key
	live      watcherList // the same watchers as matching
	ready     watcherList
	paused    watcherList
	asking    []*Stream // waiting for matched to reach their askedAt

	round round // owned by the matcher
}

// NewHub makes a hub that continues from what src shows now. Streams may be
// opened at once; nothing is delivered before Start.
func NewHub(cfg Config) *Hub {
	h := &Hub{
		cfg:       cfg.withDefaults(),
		done:      make(chan struct{}),
		compacted: -1,
		streams:   make(map[*Stream]struct{}),
	}
	h.readyFilled.L = &h.mu
	h.inbox = newInbox(h.cfg.InboxBytes)
	h.round.reader.source = cfg.Source
	view := cfg.Source.Acquire()
	h.matched = view.Revision()
	view.Release()
	return h
}

// Start starts the hub's goroutines: the matcher and the catch-up workers.
func (h *Hub) Start() {
	h.spawn("watch-matcher", h.match)
	for range h.cfg.Workers {
		h.spawn("watch-catch-up", h.catchUp)
	}
}

func (h *Hub) spawn(name string, run func()) {
	h.tasks.Go(func() {
		pprof.Do(context.Background(), pprof.Labels("goroutine", name), func(context.Context) { run() })
	})
}

// Close ends all streams and waits for the hub's goroutines. Publish may still
// be called and does nothing.
func (h *Hub) Close() {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.closed = true
	close(h.done)
	h.readyFilled.Broadcast()
	for s := range h.streams {
		h.closeStreamLocked(s)
	}
	h.mu.Unlock()
	h.inbox.close()
	h.tasks.Wait()
}

// Publish hands the hub what the applier changed, in order. The view that
// shows the batch must be published before. It never blocks. An empty batch
// with a higher revision says that the store was replaced (snapshot): watchers
// continue from their positions through the Source.
func (h *Hub) Publish(b Batch) { h.inbox.put(b) }

// Compacted tells that history below rev is going: watchers that still need
// it are cancelled. Live watchers are not touched. It never blocks.
func (h *Hub) Compacted(rev int64) { h.inbox.putCompacted(rev) }

// Stats is a picture of the hub for metrics.
type Stats struct {
	Streams       int64
	Watchers      int64
	SlowWatchers  int64  // those that read history
	PendingEvents int64  // queued in streams, per receiver
	PendingBytes  int64  // bytes all queued events keep alive
	InboxBytes    int64  // published, not matched yet
	QueuedEvents  uint64 // ever queued for a receiver
}

// Stats may be called from any goroutine. Its numbers are not one instant's.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	streams := len(h.streams)
	h.mu.Unlock()
	return Stats{
		Streams:       int64(streams),
		Watchers:      h.watchers.Load(),
		SlowWatchers:  h.slowWatchers.Load(),
		PendingEvents: h.pendingEvents.Load(),
		PendingBytes:  h.queuedBytes.Load(),
		InboxBytes:    int64(h.inbox.queuedBytes()),
		QueuedEvents:  h.queuedEvents.Load(),
	}
}

// present is the store's revision and compaction revision as any client can
// have seen them by now. The view may be ahead of what was published: the
// applier publishes it first, and a read may have been answered from it.
func (h *Hub) present() (revision, compacted int64) {
	view := h.cfg.Source.Acquire()
	revision, compacted = view.Revision(), view.CompactRevision()
	view.Release()
	return max(revision, h.inbox.published.Load()), compacted
}
