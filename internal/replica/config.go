package replica

import (
	"errors"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"keelson/internal/base"
	"keelson/internal/clock"
)

// Errors a proposal can be refused with.
var (
	// ErrBusy means that MaxPendingBytes of proposals already wait.
	ErrBusy = errors.New("too many proposals wait")
	// ErrDropped means that raft refused the proposal; it is not in the log.
	ErrDropped = errors.New("raft proposal dropped")
	// ErrStopped means that the replica stopped first.
	ErrStopped = errors.New("replica stopped")
)

// Log is the raft log on disk. Append is called by one goroutine at a time,
// the others from any.
type Log interface {
	// Append stores entries and, when not nil, the hard state; it returns
	// when they are durable if mustSync. Entries are not changed or kept.
	Append(hs *pb.HardState, ents []*pb.Entry, mustSync bool) error
	// ReadEntries returns entries [lo, hi), at least one and then up to about
	// maxBytes.
	ReadEntries(lo, hi base.Index, maxBytes uint64) ([]*pb.Entry, error)
	// Term returns the term of an entry in [FirstIndex()-1, LastIndex()].
	Term(i base.Index) (base.Term, error)
}

// Machine is what the log drives.
type Machine interface {
	// Apply applies committed entries, in log order, on the apply goroutine.
	// Each configuration change among them must be passed to conf exactly
	// once, at its place; nil stands for one that was found invalid. Entries'
	// bytes are immutable and may be kept. An error stops the replica.
	Apply(ents []*pb.Entry, conf func(*pb.ConfChange) *pb.ConfState) error
	// Background does one small slice (well under a millisecond) of work on
	// the apply goroutine and reports whether there is more.
	Background() (more bool, err error)
	// ReadIndex answers Replica.ReadIndex(id): reads that wait for it may run
	// once index is applied. Called on the loop goroutine; must not block.
	ReadIndex(id uint64, index base.Index)
	// StateChanged tells of a new leader, term or role. Called on the loop
	// goroutine; must not block.
	StateChanged(State)
	// Failed tells that storage failed and the replica stopped. Called once,
	// from any of its goroutines; must not block.
	Failed(error)
}

// Transport sends raft messages to other members. Send must not block; it may
// drop, raft will try again.
type Transport interface {
	Send([]*pb.Message)
}

// State is who leads, as this member knows it.
type State struct {
	Term     base.Term
	Leader   base.MemberID // 0: none known
	IsLeader bool
}

// Config is what a replica needs.
type Config struct {
	ID        base.MemberID
	Log       Log
	Machine   Machine
	Transport Transport
	Clock     clock.Clock
	Logger    *zap.Logger

	Tick           time.Duration // one raft tick, the heartbeat interval
	ElectionTicks  int
	HeartbeatTicks int
	PreVote        bool

	// Where the log stands, as read back at start. A new member of a new
	// cluster passes Bootstrap instead.
	HardState *pb.HardState
	ConfState *pb.ConfState
	First     base.Index // first index the log can still deliver; 0 is 1
	FirstTerm base.Term  // term of entry First-1
	Last      base.Index // last index in the log
	Applied   base.Index // the machine has applied this far
	Entries   []*pb.Entry
	Bootstrap []Peer // the first members by ascending ID; nil when not new

	MaxPendingBytes int // proposals that wait for the loop
	CacheBytes      int // entries kept in memory
	MaxBatchBytes   int // committed bytes handed to the machine at once
	CatchUpEntries  uint64
}

// Peer is a first member, with the context of its configuration change.
type Peer struct {
	ID      base.MemberID
	Context []byte
}

// Defaults for the bounds, chosen so that a burst of 1000 clients with large
// values fits and a stalled disk cannot take more than some 200 MiB.
const (
	defaultPendingBytes = 128 << 20
	defaultCacheBytes   = 32 << 20
	defaultBatchBytes   = 4 << 20
	maxMessageBytes     = 1 << 20 // one MsgApp or MsgProp, as in etcd
	maxInflightMessages = 512
	maxUncommittedBytes = 256 << 20
)

func (c *Config) setDefaults() {
	if c.MaxPendingBytes == 0 {
		c.MaxPendingBytes = defaultPendingBytes
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = defaultCacheBytes
	}
	if c.MaxBatchBytes == 0 {
		c.MaxBatchBytes = defaultBatchBytes
	}
}
