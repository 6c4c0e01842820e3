package wal

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/vfs"
)

// DefaultSegmentBytes is the size etcd gives a segment. Its tools show it, and
// directories of both kinds should look alike.
const DefaultSegmentBytes = 64_000_000

// slowSync is the time after which a sync is worth a warning; etcd warns at
// the same point and operators look for the line.
const slowSync = time.Second

// Options say where a log lives and what it reports to.
type Options struct {
	FS  vfs.FS
	Dir string
	// SegmentBytes is preallocated for each segment; 0 is DefaultSegmentBytes.
	SegmentBytes int64
	// MaxFiles bounds the number of segment files: released ones are deleted,
	// oldest first, while there are more. 0 keeps all, as --max-wals=0 does.
	MaxFiles int
	// NoSync never waits for the disk: a crash of the machine may lose
	// acknowledged entries (--unsafe-no-fsync).
	NoSync bool
	Logger *zap.Logger
	Clock  clock.Clock
	// OnWrite is told the bytes and the time of each write, OnSync the time of
	// each sync of a batch. Both may be nil; they run inside Append.
	OnWrite func(bytes int, d time.Duration)
	OnSync  func(d time.Duration)
}

func (o Options) withDefaults() Options {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	return o
}

// Position is a place in the log that some state on disk stands at: every
// entry up to and including Index is part of that state.
type Position struct {
	Index base.Index
	Term  base.Term
	// ConfState is the membership at Index. It may be nil; Open stores it if
	// it has to write a snapshot record for the position.
	ConfState *raftpb.ConfState
}

// Replay is what Open found.
type Replay struct {
	Metadata []byte
	// HardState is the last one stored, nil if there is none. Its commit may
	// lag behind what was committed, and behind the position opened from.
	HardState *raftpb.HardState
	// Entries follow the position without a gap. Each owns its bytes.
	Entries []*raftpb.Entry
	// Snapshots are the snapshot records that were read, oldest first.
	Snapshots []Snapshot
}

// Snapshot is the record that state up to Index is kept outside the log.
type Snapshot struct {
	Index     base.Index
	Term      base.Term
	ConfState *raftpb.ConfState // nil in the first record of a log
}
