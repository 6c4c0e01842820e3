package server

import (
	"context"
	"errors"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/lease"
	"keelson/internal/mvcc"
	"keelson/internal/replica"
	"keelson/internal/vfs"
	"keelson/internal/wire"
)

// Server is one member's request side.
type Server struct {
	// Set once.
	cfg     Config
	log     *zap.Logger
	kv      *mvcc.Store
	lessor  *lease.Lessor
	rep     *replica.Replica
	ids     *ids
	waiters *waiters
	timers  timers
	reads   reads
	answers budget
	stopped chan struct{}
	ready   chan struct{}
	ctx     context.Context // ends with the server
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	// Any goroutine.
	applied     atomic.Uint64
	logBytes    atomic.Int64 // what the space quota counts, as of the last batch
	leaderSince atomic.Pointer[time.Time]
	fullSince   atomic.Pointer[time.Time] // when a full disk was last logged
	fault       fault
	physical    gate // shut while a compaction is being carried out
	lead        leadership
	monitor     monitor

	// Owned by the checkpointer: how much room to hold for the next checkpoint.
	reserveBytes int64

	// Owned by the apply goroutine.
	appliedTerm base.Term
	answered    []answer // of the batch being applied
	since       sinceCheckpoint
	compactFrom time.Time // when the compaction under way began; zero if none
	nextSlice   time.Time // of it

	// Checkpoints.
	tasks    chan func() // for the apply goroutine, see onApply
	takeNow  chan take   // requests to the checkpointer
	due      chan struct{}
	reclaims chan struct{}

	compactions chan struct{} // there is a compaction to carry out
	overfull    chan struct{} // to the alarmer

	stopOnce sync.Once
	failed   chan error  // one place: why the server had to stop
	broken   atomic.Bool // failed was used: what is in memory may be half an entry
}

// New builds a server around opened parts. Attach it to a replica with Bind
// before Start.
func New(cfg Config) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		cfg: cfg, log: cfg.Logger, kv: cfg.Machine.KV,
		lessor:  lease.NewLessor(cfg.Clock),
		ids:     newIDs(cfg.MemberID, cfg.Start),
		waiters: newWaiters(),
		timers:  timers{clock: cfg.Clock},
		answers: newBudget(cfg.AnswerBytes),
		stopped: make(chan struct{}),
		ready:   make(chan struct{}),
		ctx:     ctx, cancel: cancel,
		tasks:       make(chan func(), 16),
		takeNow:     make(chan take),
		due:         make(chan struct{}, 1),
		reclaims:    make(chan struct{}, 1),
		compactions: make(chan struct{}, 1),
		overfull:    make(chan struct{}, 1),
		failed:      make(chan error, 1),
	}
	s.lead.init()
	s.applied.Store(uint64(cfg.Applied))
	s.logBytes.Store(cfg.Log.Stats().Bytes)
	s.appliedTerm = cfg.AppliedTerm
	s.fault.report = s.Failed
	if s.kv.CompactionPending() { // of the last run
		s.compacting()
	}
	return s
}

// Bind joins the server to the replica it proposes to.
func (s *Server) Bind(r *replica.Replica) {
	s.rep = r
	s.reads = reads{ask: r.ReadIndex, applied: s.Applied, slow: s.cfg.Metrics.ReadIndexSlow}
}

// Start starts the server's goroutines; the replica is started by its owner.
func (s *Server) Start() {
	s.spawn("checkpointer", s.checkpointLoop)
	s.spawn("reclaimer", s.reclaimLoop)
	s.spawn("compactor", s.compactLoop)
	s.spawn("leader", s.leaderLoop)
	s.spawn("monitor", s.monitorLoop)
	s.spawn("publisher", s.publishLoop)
	s.spawn("alarmer", s.alarmLoop)
	s.spawn("reader", func() { s.repeatReads(s.cfg.Clock) })
}

func (s *Server) spawn(name string, f func()) {
	s.wg.Add(1)
	go pprof.Do(context.Background(), pprof.Labels("server", name), func(context.Context) {
		defer s.wg.Done()
		f()
	})
}

// Ready is closed when the member has announced itself through the log: from
// then on it serves clients.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Failure delivers the storage fault that made the member stop, if one does.
func (s *Server) Failure() <-chan error { return s.failed }

// Stop ends all waits and the server's goroutines, then the replica, and takes
// a last checkpoint so that the next start has nothing to replay. Remaining
// lease TTLs are replicated first when this member leads.
func (s *Server) Stop() {
	s.stopOnce.Do(func() {
		s.saveLeases()
		close(s.stopped)
		s.cancel()
		s.wg.Wait()
		s.rep.Stop()
		s.lastCheckpoint()
	})
}

// Failed is the replica's and the readers' way to report broken storage.
func (s *Server) Failed(err error) {
	s.broken.Store(true)
	select {
	case s.failed <- err:
		s.log.Error("storage failed; this member stops and acknowledges nothing more", zap.Error(err))
	default:
	}
}

// fault separates refusals, which go to the client, from broken storage, which
// stops the member.
type fault struct {
	report func(error)
}

func (f *fault) check(err error) error {
	var refusal *errs.Error
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return contextError(err)
	case errors.Is(err, vfs.ErrNoSpace): // nothing is broken, and it can be tried again
		return errs.ErrNoSpace
	}
	f.report(err)
	return errs.New(errs.DataLoss, "etcdserver: corrupt storage: "+err.Error())
}

// leadership tells those who wait when who leads changes.
type leadership struct {
	mu      sync.Mutex
	changed chan struct{}
	last    base.MemberID // who led last
}

func (l *leadership) init() { l.changed = make(chan struct{}) }

// next returns a channel that is closed when the leader changes.
func (l *leadership) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *leadership) notify() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

// HasLeader reports whether a leader is known.
func (s *Server) HasLeader() bool { return s.rep.State().Leader != 0 }

// LeaderChanged returns a channel that is closed when who leads changes.
func (s *Server) LeaderChanged() <-chan struct{} { return s.lead.next() }

// IsLearner reports whether this member only learns.
func (s *Server) IsLearner() bool {
	m, ok := s.cfg.Machine.Members.Get(s.cfg.MemberID)
	return ok && m.IsLearner
}

// IsCapable reports whether this version serves the cluster's version; it
// serves all that it accepts into its log.
func (s *Server) IsCapable() bool { return true }

// Header is the header of an answer now.
func (s *Server) Header() wire.ResponseHeader { return s.header(s.revision()) }

func (s *Server) revision() int64 {
	v := s.kv.View()
	defer v.Release()
	return v.Revision()
}

// onApply runs f on the apply goroutine, between batches, and returns when it
// has run.
func (s *Server) onApply(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case s.tasks <- func() { defer close(done); f() }:
	case <-ctx.Done():
		return contextError(ctx.Err())
	case <-s.stopped:
		return errStopped
	}
	s.rep.Nudge()
	select {
	case <-done:
		return nil
	case <-s.stopped:
		return errStopped
	}
}

// sleep waits on the injected clock; false when the server stops first.
func (s *Server) sleep(d time.Duration) bool {
	t := s.cfg.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
		return true
	case <-s.stopped:
		return false
	}
}

var _ replica.Machine = (*Server)(nil)
