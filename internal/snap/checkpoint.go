package snap

import (
	"bytes"
	"fmt"

	"keelson/internal/base"
)

// NeverCompacted is the CompactRev of a store without a compaction.
const NeverCompacted = -1

// Checkpoint is the state of the machine at one applied index, apart from the
// values, which the revision log holds.
type Checkpoint struct {
	Applied     base.Index // the last entry whose effects are inside
	AppliedTerm base.Term  // the term of that entry

	Revision         int64 // the store's revision
	CompactRev       int64 // the last finished compaction, or NeverCompacted
	ScheduledCompact int64 // the last requested one; unfinished when it differs

	ConfState []byte // marshalled raftpb.ConfState at Applied
	Log       []byte // the revision log's manifest, opaque here

	// Sections are the small stores, each in an encoding of its owner. Names
	// are unique and in the order they were given. A reader ignores names it
	// does not know.
	Sections []Section
}

// Section is one named piece of a checkpoint.
type Section struct {
	Name string // 1 to 255 bytes
	Data []byte
}

// Section returns the data of a section; ok is false when there is none.
func (c *Checkpoint) Section(name string) (data []byte, ok bool) {
	for i := range c.Sections {
		if c.Sections[i].Name == name {
			return c.Sections[i].Data, true
		}
	}
	return nil, false
}

// Equal reports whether two checkpoints hold the same.
func (c *Checkpoint) Equal(o *Checkpoint) bool {
	if c.fixed() != o.fixed() || len(c.Sections) != len(o.Sections) ||
		!bytes.Equal(c.ConfState, o.ConfState) || !bytes.Equal(c.Log, o.Log) {
		return false
	}
	for i, s := range c.Sections {
		if s.Name != o.Sections[i].Name || !bytes.Equal(s.Data, o.Sections[i].Data) {
			return false
		}
	}
	return true
}

// fixed returns the numbers in the order they have on disk.
func (c *Checkpoint) fixed() [stateFields]uint64 {
	return [stateFields]uint64{
		uint64(c.Applied), uint64(c.AppliedTerm),
		uint64(c.Revision), uint64(c.CompactRev), uint64(c.ScheduledCompact),
	}
}

// CorruptError is a checkpoint whose bytes cannot be trusted.
type CorruptError struct {
	File   string // empty where the bytes came from no file
	Offset int64  // of the piece that is wrong
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("checkpoint %s is damaged at byte %d: %s", e.File, e.Offset, e.Reason)
}

// VersionError is an intact checkpoint of a release this one knows nothing
// about. Older checkpoints beside it are no way out: what happened since would
// be lost without a word.
type VersionError struct {
	File    string
	Version uint32
	Flags   uint32
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("checkpoint %s has format version %d and flags %#x, this release reads version %d "+
		"without flags: start the release that wrote it", e.File, e.Version, e.Flags, formatVersion)
}
