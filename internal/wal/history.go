package wal

import (
	"bytes"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
)

// history rebuilds the log from its records, in the order they were written:
//
//   - an entry whose index is there already overrides it and drops all after it,
//   - a snapshot record whose entry the log does not have replaces the log,
//   - the last hard state counts,
//   - a gap is allowed only up to the position the reader starts from.
//
// Open keeps the result; Verify only wants to know that there is one.
type history struct {
	from Position
	// collect keeps entries after from; the offline walk goes without.
	collect bool

	metadata []byte
	state    hardState
	snaps    []Snapshot
	table    table
	entries  []*raftpb.Entry // after max(from.Index, table.before)

	// inSegment counts the records of the present segment.
	inSegment int
}

// begin prepares reading from the given segment on.
func (h *history) begin(s *scanner, info SegmentInfo) {
	before := max(info.First, 1) - 1
	h.table.reset(before, 0)
	// The first record of a log continues an empty one; elsewhere the first
	// crc record says what the log before it came to.
	s.started = info.Seq == 0
}

// read applies all records of the segment s stands at. Damage is an error,
// except that a write torn by a crash at the end of the last segment is
// returned as torn. yield, if not nil, sees every record after it was applied.
func (h *history) read(s *scanner, seg *segment, last bool, yield func(frame) error) (torn *badFrame, err error) {
	h.inSegment = 0
	for {
		f, ok, err := s.next()
		switch {
		case err != nil:
			return h.judge(s, seg, err, last)
		case !ok && h.inSegment < 2:
			return nil, corrupt(seg.name, s.off, "the segment ends inside its head")
		case !ok:
			return nil, nil
		}
		if err := h.add(seg, f); err != nil {
			return nil, corrupt(seg.name, f.off, "%v", err)
		}
		if yield == nil {
			continue
		}
		if err := yield(f); err != nil {
			return nil, err
		}
	}
}

// judge tells a torn write from damage, and both from a file that cannot be
// read.
func (h *history) judge(s *scanner, seg *segment, cause error, last bool) (torn *badFrame, err error) {
	var bad *badFrame
	if !errors.As(cause, &bad) {
		return nil, cause
	}
	if last && h.inSegment >= 2 {
		isTorn, err := s.torn(bad)
		if err != nil {
			return nil, err
		}
		if isTorn {
			return bad, nil
		}
	}
	return nil, corrupt(seg.name, s.off, "%s", bad.reason)
}

// add applies a record. The error says what is wrong with it; damaged records
// with a good checksum exist, because the record type is not covered by it.
func (h *history) add(seg *segment, f frame) error {
	h.inSegment++
	if h.inSegment == 1 && f.kind != KindCRC {
		return fmt.Errorf("the segment begins with a record of type %v, not crc", f.kind)
	}
	if h.inSegment == 2 && f.kind != KindMetadata {
		return fmt.Errorf("the second record has type %v, not metadata", f.kind)
	}
	switch f.kind {
	case KindCRC:
		if h.inSegment > 1 {
			return fmt.Errorf("a crc record in the middle of a segment")
		}
	case KindMetadata:
		return h.addMetadata(f.data)
	case KindEntry:
		return h.addEntry(seg, f)
	case KindState:
		s, err := parseHardState(f.data)
		if err != nil {
			return err
		}
		h.state = s
	case KindSnapshot:
		return h.addSnapshot(f.data)
	}
	return nil
}

func (h *history) addMetadata(b []byte) error {
	if h.metadata == nil {
		h.metadata = append([]byte{}, b...)
	}
	if !bytes.Equal(h.metadata, b) {
		return fmt.Errorf("the metadata differs from that of the first segment")
	}
	return nil
}

func (h *history) addEntry(seg *segment, f frame) error {
	e, err := parseEntry(f.data)
	if err != nil {
		return err
	}
	last := h.table.last()
	switch {
	case e.index > max(last, h.from.Index)+1:
		return fmt.Errorf("entry %d follows entry %d, the ones between are missing", e.index, max(last, h.from.Index))
	case e.index > last+1: // the gap is part of the state the reader starts from
		h.reset(e.index-1, 0)
	}
	h.table.add(seg, e.index, e.term, newPlace(f.off, f.prev))
	if !h.collect {
		return nil
	}
	if e.index <= h.from.Index {
		h.entries = h.entries[:0]
		return nil
	}
	if n := len(h.entries); n > 0 {
		first := base.Index(h.entries[0].GetIndex())
		h.entries = h.entries[:max(e.index, first)-first]
	}
	h.entries = append(h.entries, e.message())
	return nil
}

func (h *history) addSnapshot(b []byte) error {
	s, err := parseSnapshot(b)
	if err != nil {
		return err
	}
	if s.Index == h.from.Index && s.Index > 0 && s.Term != h.from.Term && h.collect {
		return fmt.Errorf("the snapshot record of index %d has term %d, the state opened with it has %d",
			s.Index, s.Term, h.from.Term)
	}
	h.snaps = append(h.snaps, s)
	if h.table.snapshot(s.Index, s.Term) {
		h.entries = nil
	}
	return nil
}

func (h *history) reset(index base.Index, term base.Term) {
	h.table.reset(index, term)
	h.entries = nil
}

// finish joins the log to the position it was opened from and reports whether
// the log did not contain that position: then the state is newer than the log
// (it came from a leader) and replaces it.
func (h *history) finish() (replaced bool, err error) {
	if h.table.before > h.from.Index {
		return false, fmt.Errorf("the log goes on from a snapshot at index %d, newer than the state at index %d",
			h.table.before, h.from.Index)
	}
	if h.table.snapshot(h.from.Index, h.from.Term) {
		h.entries = nil
		return true, nil
	}
	return false, nil
}

// replay is what Open hands to its caller.
func (h *history) replay() Replay {
	return Replay{
		Metadata:  h.metadata,
		HardState: h.state.message(),
		Entries:   h.entries,
		Snapshots: h.snaps,
	}
}
