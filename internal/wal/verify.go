package wal

import (
	"errors"
	"path"

	"go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// Record is one record as an offline tool sees it. The message that belongs to
// its kind is set and owns its bytes; Data is valid during the call only.
type Record struct {
	File   string // base name of the segment
	Offset int64  // of the length word
	Bytes  int64  // with length word and padding
	Kind   Kind
	CRC    uint32
	Data   []byte

	Entry    *raftpb.Entry     // KindEntry
	State    *raftpb.HardState // KindState
	Snapshot *Snapshot         // KindSnapshot
}

// Summary is what Verify found.
type Summary struct {
	Segments  []SegmentInfo
	Records   int
	Metadata  []byte
	HardState *raftpb.HardState
	Snapshots []Snapshot
	// FirstIndex and LastIndex bound the entries that count after overrides;
	// FirstIndex is LastIndex+1 when there are none.
	FirstIndex, LastIndex base.Index
	LastTerm              base.Term
	// EndOffset is the end of the last good record in the last segment.
	EndOffset int64
	// Torn tells of an unfinished write behind EndOffset, which Open would
	// cut; "" if there is none.
	Torn string
}

// Valid returns the snapshot records whose index is committed, oldest first:
// etcd starts from the last of them.
func (s Summary) Valid() []Snapshot {
	var valid []Snapshot
	for _, snap := range s.Snapshots {
		if uint64(snap.Index) <= s.HardState.GetCommit() {
			valid = append(valid, snap)
		}
	}
	return valid
}

// Verify walks over all records of the log in dir without changing or locking
// anything. It checks what Open checks, and calls yield, if not nil, for every
// record; an error from yield ends the walk. Damage is a *CorruptError; the
// records before it were yielded and the summary covers them.
func Verify(fs vfs.FS, dir string, yield func(Record) error) (Summary, error) {
	infos, err := Segments(fs, dir)
	if err != nil {
		return Summary{}, err
	}
	if len(infos) == 0 {
		_, err := covering(dir, nil, 0)
		return Summary{}, err
	}
	sum := Summary{Segments: infos}
	if err := checkSequence(dir, infos); err != nil {
		return sum, err
	}
	first := max(infos[0].First, 1) - 1
	h := &history{from: Position{Index: first}}
	s := &scanner{}
	h.begin(s, infos[0])
	for i, info := range infos {
		err = verifySegment(fs, path.Join(dir, info.Name), h, s, &sum, i == len(infos)-1, yield)
		if err != nil {
			break
		}
	}
	sum.Metadata, sum.HardState, sum.Snapshots = h.metadata, h.state.message(), h.snaps
	sum.FirstIndex, sum.LastIndex = h.table.first(), h.table.last()
	sum.LastTerm, _ = h.table.term(sum.LastIndex)
	sum.EndOffset = s.off
	return sum, err
}

func verifySegment(fs vfs.FS, name string, h *history, s *scanner, sum *Summary, last bool, yield func(Record) error) (err error) {
	file, err := fs.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := s.open(file); err != nil {
		return err
	}
	seg := newSegment(0, 0, name, file)
	torn, err := h.read(s, seg, last, func(f frame) error {
		sum.Records++
		if yield == nil {
			return nil
		}
		return yield(f.forTools(path.Base(name)))
	})
	if torn != nil {
		sum.Torn = torn.reason
	}
	return err
}

// forTools decodes a frame that the history has accepted already.
func (f frame) forTools(file string) Record {
	r := Record{File: file, Offset: f.off, Bytes: f.bytes, Kind: f.kind, CRC: f.crc, Data: f.data}
	switch f.kind {
	case KindEntry:
		if e, err := parseEntry(f.data); err == nil {
			r.Entry = e.message()
		}
	case KindState:
		if s, err := parseHardState(f.data); err == nil {
			r.State = s.message()
		}
	case KindSnapshot:
		if s, err := parseSnapshot(f.data); err == nil {
			r.Snapshot = &s
		}
	}
	return r
}
