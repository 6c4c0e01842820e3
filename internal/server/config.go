package server

import (
	"time"

	"go.uber.org/zap"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/revlog"
	"keelson/internal/snap"
	"keelson/internal/state"
	"keelson/internal/vfs"
	"keelson/internal/wal"
	"keelson/internal/watch"
)

// maxApplyLag is how many committed entries may wait for being applied before
// new requests are refused.
const maxApplyLag = 5000

// Config is what a server is built from. The parts were opened by the caller,
// who closes them after Stop, in reverse order.
type Config struct {
	MemberID   base.MemberID
	ClusterID  base.ClusterID
	Name       string
	ClientURLs []string

	Machine *state.Machine
	Log     *revlog.Log
	WAL     *wal.WAL
	Hub     *watch.Hub
	FS      vfs.FS
	SnapDir string // checkpoints
	TempDir string // snapshot files being built for a client

	// Where recovery left off.
	Applied     base.Index
	AppliedTerm base.Term
	Checkpoints []Kept // checkpoints on disk, oldest first

	Clock   clock.Clock
	Logger  *zap.Logger
	Metrics Metrics
	Start   time.Time // of the process; request IDs begin with it

	Version         string // "3.7.1"
	StorageVersion  string // "3.7.0"
	ElectionTimeout time.Duration
	QuotaBytes      int64 // negative: none
	MaxRequestBytes int
	AnswerBytes     int64
	SnapshotCount   uint64
	SnapshotBytes   int64
	CatchUpEntries  uint64
	SlowApply       time.Duration
}

// Kept is a checkpoint on disk and the files it needs.
type Kept struct {
	Applied  base.Index
	Manifest revlog.Manifest
}

// Metrics are the hooks a server reports through; any may be nil-safe no-ops.
// They are called from many goroutines.
type Metrics interface {
	ProposalPending(delta int)
	ProposalFailed()
	ReadIndexSlow()
	ReadIndexFailed()
	Request(kind string, took time.Duration, ok bool)
	Applied(kind string, took time.Duration, ok bool)
	SlowApply()
	RangeServed(took time.Duration, ok bool)
	Operation(puts, deletes, txns, ranges int)
	LeaseGranted(ttl int64)
	LeaseRevoked()
	LeaseRenewed()
	LeaseExpired()
	LeaderChanged()
	CompactionDone(keys int64, took time.Duration)
	CheckpointTaken(took time.Duration)
	DefragDone(took time.Duration)
	Alarm(member base.MemberID, kind string, raised bool)
}

// requestTimeout bounds every wait for consensus.
func (c *Config) requestTimeout() time.Duration { return 5*time.Second + 2*c.ElectionTimeout }

// checkpoint sections.
const (
	sectionLeases  = "leases"
	sectionMembers = "members"
	sectionAlarms  = "alarms"
	sectionHashes  = "hashes"
)

// Sections encodes the small stores for a checkpoint.
func Sections(m *state.Machine, hashes []byte) ([]snap.Section, error) {
	members, err := m.Members.AppendTo(nil)
	if err != nil {
		return nil, err
	}
	return []snap.Section{
		{Name: sectionLeases, Data: m.Leases.AppendTo(nil)},
		{Name: sectionMembers, Data: members},
		{Name: sectionAlarms, Data: m.Alarms.AppendTo(nil)},
		{Name: sectionHashes, Data: hashes},
	}, nil
}

// RestoreSections fills the small stores from a checkpoint and returns the
// cached compaction hashes.
func RestoreSections(secs []snap.Section, m *state.Machine) (hashes []byte, err error) {
	for _, s := range secs {
		switch s.Name {
		case sectionLeases:
			err = m.Leases.Restore(s.Data)
		case sectionMembers:
			err = m.Members.Restore(s.Data)
		case sectionAlarms:
			err = m.Alarms.Restore(s.Data)
		case sectionHashes:
			hashes = s.Data
		}
		if err != nil {
			return nil, err
		}
	}
	return hashes, nil
}
