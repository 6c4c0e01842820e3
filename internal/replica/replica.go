package replica

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime/pprof"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"keelson/internal/base"
)

// Replica is one member's part in consensus.
type Replica struct {
	// Set once.
	cfg     Config
	log     *zap.Logger
	storage *storage
	mail    *mailbox
	logq    *queue
	applyq  *queue
	stop    chan struct{}
	wg      sync.WaitGroup

	// Owned by the loop goroutine.
	rn    *raft.RawNode
	held  []*Proposal // wait for a leader
	state State

	// Atomic: written by one goroutine, read by anyone.
	term, leader, commit, applied atomic.Uint64
	isLeader                      atomic.Bool

	stopOnce sync.Once
	failOnce sync.Once
}

// New builds a replica from what was read back from the log. Nothing runs
// until Start.
func New(cfg Config) (*Replica, error) {
	cfg.setDefaults()
	st := newStorage(&cfg)
	r := &Replica{
		cfg: cfg, log: cfg.Logger, storage: st, mail: newMailbox(),
		logq: newQueue(), applyq: newQueue(), stop: make(chan struct{}),
	}
	var err error
	r.rn, err = raft.NewRawNode(&raft.Config{
		ID:                        uint64(cfg.ID),
		ElectionTick:              cfg.ElectionTicks,
		HeartbeatTick:             cfg.HeartbeatTicks,
		Storage:                   st,
		Applied:                   uint64(cfg.Applied),
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             maxMessageBytes,
		MaxCommittedSizePerReady:  uint64(cfg.MaxBatchBytes),
		MaxUncommittedEntriesSize: maxUncommittedBytes,
		MaxInflightMsgs:           maxInflightMessages,
		CheckQuorum:               true,
		PreVote:                   cfg.PreVote,
		StepDownOnRemoval:         true,
		Logger:                    raftLogger{cfg.Logger.Named("raft").WithOptions(zap.AddCallerSkip(1)).Sugar()},
	})
	if err != nil {
		return nil, fmt.Errorf("start raft: %w", err)
	}
	if cfg.Bootstrap != nil {
		peers := make([]raft.Peer, len(cfg.Bootstrap))
		for i, p := range cfg.Bootstrap {
			peers[i] = raft.Peer{ID: uint64(p.ID), Context: p.Context}
		}
		if err := r.rn.Bootstrap(peers); err != nil {
			return nil, fmt.Errorf("bootstrap raft: %w", err)
		}
	}
	r.applied.Store(uint64(cfg.Applied))
	r.commit.Store(r.rn.BasicStatus().HardState.GetCommit())
	return r, nil
}

// Start starts the three goroutines.
func (r *Replica) Start() {
	r.spawn("loop", r.loop)
	r.spawn("log", r.logLoop)
	r.spawn("apply", r.applyLoop)
}

func (r *Replica) spawn(name string, f func()) {
	r.wg.Add(1)
	go pprof.Do(context.Background(), pprof.Labels("replica", name), func(context.Context) {
		defer r.wg.Done()
		f()
	})
}

// Stop ends the goroutines and waits for them. Proposals that still wait are
// refused with ErrStopped. It may be called more than once.
func (r *Replica) Stop() {
	r.halt()
	r.wg.Wait()
}

func (r *Replica) halt() {
	r.stopOnce.Do(func() {
		close(r.stop)
		r.logq.close()
		r.applyq.close()
	})
}

// fail stops the replica because of a storage or machine error.
func (r *Replica) fail(err error) {
	r.failOnce.Do(func() {
		r.halt()
		r.cfg.Machine.Failed(err)
	})
}

// Propose queues a proposal; it never blocks. An error means that it is not
// queued. While no leader is known it stays queued: bound the wait yourself
// and Withdraw.
func (r *Replica) Propose(p *Proposal) error {
	return r.mail.putProposal(p, r.cfg.MaxPendingBytes)
}

// ReadIndex asks for an index that is at least the commit index of the moment
// of the call. The answer comes through Machine.ReadIndex; it may never come
// (no leader, a lost message): ask again with another id.
func (r *Replica) ReadIndex(id uint64) {
	r.mail.put(func(m *mail) { m.reads = append(m.reads, id) })
}

// Step gives a message from another member to raft. It never blocks.
func (r *Replica) Step(m *pb.Message) {
	r.mail.put(func(in *mail) { in.messages = append(in.messages, m) })
}

// Do runs f on the loop goroutine, soon. f must not block or keep rn.
func (r *Replica) Do(f func(rn *raft.RawNode)) bool {
	return r.mail.put(func(in *mail) { in.calls = append(in.calls, f) })
}

// Nudge makes the apply goroutine call Machine.Background.
func (r *Replica) Nudge() { r.applyq.nudge() }

// Compact tells that entries below first will not be needed again.
func (r *Replica) Compact(first base.Index) error { return r.storage.Compact(first) }

// State is who leads.
func (r *Replica) State() State {
	return State{Term: base.Term(r.term.Load()), Leader: base.MemberID(r.leader.Load()), IsLeader: r.isLeader.Load()}
}

// Committed is the last index known to be committed.
func (r *Replica) Committed() base.Index { return base.Index(r.commit.Load()) }

// Applied is the last index the machine has applied.
func (r *Replica) Applied() base.Index { return base.Index(r.applied.Load()) }

func encodeReadID(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

func decodeReadID(b []byte) (uint64, bool) {
	if len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}
