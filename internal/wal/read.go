package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
)

// readWindowBytes is read at once by ReadEntries; one batch for a follower
// (1 MiB) takes a few reads and little memory.
const readWindowBytes = 256 << 10

// stretch is the part of a read that lies in one segment.
type stretch struct {
	seg    *segment
	places []place
}

// ReadEntries returns entries from lo on, up to but not including hi, as many
// as fit into maxBytes of their encoded size, but at least one if there is
// any. Any goroutine may call it; it holds no lock while it reads the disk, and
// each entry is checked against its checksum. The entries own their bytes.
//
// It is ErrCompacted when lo was released, ErrUnavailable when hi-1 is not in
// the log.
func (w *WAL) ReadEntries(lo, hi base.Index, maxBytes uint64) ([]*raftpb.Entry, error) {
	stretches, err := w.locate(lo, hi, maxBytes)
	if err != nil {
		return nil, err
	}
	r := entryReader{maxBytes: maxBytes}
	var errs []error
	for _, st := range stretches {
		if len(errs) == 0 && !r.full {
			errs = appendError(errs, r.read(st))
		}
		errs = appendError(errs, st.seg.release())
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return r.entries, nil
}

func appendError(errs []error, err error) []error {
	if err != nil {
		errs = append(errs, err)
	}
	return errs
}

// locate finds where the entries lie and takes a reference on each segment. It
// stops when maxBytes are certainly reached, so a long range costs no more
// than what is read of it.
func (w *WAL) locate(lo, hi base.Index, maxBytes uint64) ([]stretch, error) {
	w.index.RLock()
	defer w.index.RUnlock()
	t := &w.index.table
	switch {
	case lo < t.first():
		return nil, fmt.Errorf("%w: index %d, first %d", ErrCompacted, lo, t.first())
	case hi > t.last()+1:
		return nil, fmt.Errorf("%w: index %d, last %d", ErrUnavailable, hi-1, t.last())
	case lo >= hi:
		return nil, nil
	case w.index.segs == nil:
		return nil, ErrClosed
	}
	var found []stretch
	var sure uint64 // bytes the entries found so far take at least
	for k := t.find(lo); k < len(t.runs) && t.runs[k].first < hi && sure <= maxBytes; k++ {
		r := &t.runs[k]
		from := int(max(lo, r.first) - r.first)
		to := int(min(hi, r.end()) - r.first)
		n := from + 1
		for n < to && sure <= maxBytes {
			sure += atLeast(r.places[n-1], r.places[n])
			n++
		}
		r.seg.acquire()
		found = append(found, stretch{r.seg, slices.Clone(r.places[from:n])})
	}
	return found, nil
}

// atLeast bounds from below the encoded size of the entry at p when the next
// one is at q. Between them lie framing and at most a hard state or a snapshot
// record, usually; where more lies between, less is read in one go.
func atLeast(p, q place) uint64 {
	const between = 2*recordOverhead + 3*11
	return uint64(max(0, q.offset()-p.offset()-between))
}

// entryReader collects entries until they reach maxBytes.
type entryReader struct {
	maxBytes uint64
	bytes    uint64
	full     bool
	entries  []*raftpb.Entry

	window    []byte
	windowOff int64
}

func (r *entryReader) read(st stretch) error {
	r.window = r.window[:0]
	for _, p := range st.places {
		data, err := r.record(st.seg, p)
		if err != nil {
			return err
		}
		if r.bytes += uint64(len(data)); r.bytes > r.maxBytes && len(r.entries) > 0 {
			r.full = true
			return nil
		}
		e, err := parseEntry(data)
		if err != nil {
			return corrupt(st.seg.name, p.offset(), "%v", err)
		}
		r.entries = append(r.entries, e.message())
	}
	return nil
}

// record returns the checked data of the entry record at p.
func (r *entryReader) record(seg *segment, p place) ([]byte, error) {
	head, err := r.at(seg, p.offset(), frameHeadBytes)
	if err != nil {
		return nil, err
	}
	n, _, ok := parseLengthWord(binary.LittleEndian.Uint64(head))
	if !ok || n > maxRecordBytes {
		return nil, corrupt(seg.name, p.offset(), "impossible record length")
	}
	body, err := r.at(seg, p.offset()+frameHeadBytes, int(n))
	if err != nil {
		return nil, err
	}
	rec, reason := parseRecord(body)
	switch {
	case reason != "":
	case rec.kind != KindEntry:
		reason = fmt.Sprintf("a %v record where an entry was written", rec.kind)
	case uint32(p.prev.add(rec.data)) != rec.crc:
		reason = "checksum mismatch"
	default:
		return rec.data, nil
	}
	return nil, corrupt(seg.name, p.offset(), "%s", reason)
}

// maxRecordBytes refuses lengths that a damaged file may claim before memory
// is taken for them. Requests are bounded far below it.
const maxRecordBytes = 1 << 30

// at returns n bytes of the segment at off, valid until the next call.
func (r *entryReader) at(seg *segment, off int64, n int) ([]byte, error) {
	i := off - r.windowOff
	if i >= 0 && i+int64(n) <= int64(len(r.window)) {
		return r.window[i : i+int64(n)], nil
	}
	want := max(n, readWindowBytes)
	if cap(r.window) < want {
		r.window = make([]byte, want)
	}
	got, err := seg.file.ReadAt(r.window[:want], off)
	r.window, r.windowOff = r.window[:got], off
	if got < n {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, corrupt(seg.name, off, "the file ends inside a record")
		}
		return nil, fmt.Errorf("wal: read %s: %w", seg.name, err)
	}
	return r.window[:n], nil
}
