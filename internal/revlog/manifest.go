package revlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"keelson/internal/base"
)

// SegmentInfo is what a checkpoint knows of one segment.
type SegmentInfo struct {
	ID      uint64
	Bytes   int64 // exact length, header included
	Records int64
	Sealed  bool
	First   base.Revision // of the first and the last record; zero when empty
	Last    base.Revision
	// Dead is filled in manifests only: the log's own marks go on changing.
	Dead Dead
}

// Manifest names the segments that hold the log's records, in revision order.
// All but the last are sealed.
type Manifest struct {
	Segments []SegmentInfo
	// NextID is above every segment ID used before the manifest was captured.
	NextID uint64
}

// manifestVersion is the first byte of an encoded manifest. Version 1, of
// before the first release, did not say which records are dead.
const manifestVersion = 2

// AppendTo appends the encoding of m, for a checkpoint. The checkpoint's
// checksum covers it; it has none of its own.
func (m Manifest) AppendTo(dst []byte) []byte {
	dst = append(dst, manifestVersion)
	dst = binary.AppendUvarint(dst, m.NextID)
	dst = binary.AppendUvarint(dst, uint64(len(m.Segments)))
	for _, s := range m.Segments {
		sealed := uint64(0)
		if s.Sealed {
			sealed = 1
		}
		for _, v := range [...]uint64{
			s.ID, uint64(s.Bytes), uint64(s.Records), sealed,
			uint64(s.First.Main), uint64(s.First.Sub), uint64(s.Last.Main), uint64(s.Last.Sub),
		} {
			dst = binary.AppendUvarint(dst, v)
		}
		dst = appendDead(dst, s.Dead, s.Records)
	}
	return dst
}

var errManifest = errors.New("revlog: malformed manifest")

// ParseManifest decodes what AppendTo made and checks that it can describe a
// log.
func ParseManifest(b []byte) (Manifest, error) {
	var m Manifest
	if len(b) == 0 {
		return m, fmt.Errorf("%w: it is empty", errManifest)
	}
	if b[0] != manifestVersion {
		return m, fmt.Errorf("revlog: manifest of version %d, this release knows only version %d", b[0], manifestVersion)
	}
	c := cursor{b: b[1:]}
	m.NextID = c.uvarint()
	n := c.uvarint()
	const leastBytes = 9 // per segment: every number takes one at least
	if c.bad || n > uint64(len(c.b)/leastBytes) {
		return m, fmt.Errorf("%w: %d segments do not fit", errManifest, n)
	}
	for range n {
		s := SegmentInfo{ID: c.uvarint(), Bytes: int64(c.uvarint()), Records: int64(c.uvarint())}
		sealed := c.uvarint()
		s.Sealed = sealed == 1
		s.First = base.Revision{Main: int64(c.uvarint()), Sub: int64(c.uvarint())}
		s.Last = base.Revision{Main: int64(c.uvarint()), Sub: int64(c.uvarint())}
		if c.bad || sealed > 1 {
			return Manifest{}, fmt.Errorf("%w: segment %d", errManifest, len(m.Segments))
		}
		if err := s.check(); err != nil {
			return Manifest{}, err
		}
		var err error
		if s.Dead, err = c.dead(s.Records); err != nil {
			return Manifest{}, fmt.Errorf("%w: segment %016x: %w", errManifest, s.ID, err)
		}
		m.Segments = append(m.Segments, s)
	}
	if len(c.b) != 0 {
		return Manifest{}, fmt.Errorf("%w: %d bytes too many", errManifest, len(c.b))
	}
	return m, m.check()
}

// check refuses numbers that no segment can have.
func (s SegmentInfo) check() error {
	switch {
	case s.Bytes < headerBytes || s.Bytes > maxFileBytes || s.Records < 0 || s.Records > (s.Bytes-headerBytes)/leastRecordBytes,
		(s.Records == 0) != (s.Bytes == headerBytes), s.Sealed && s.Records == 0:
		return fmt.Errorf("%w: segment %016x: %d records in %d bytes", errManifest, s.ID, s.Records, s.Bytes)
	case s.Dead.count < 0 || s.Dead.count > s.Records:
		return fmt.Errorf("%w: segment %016x: %d of %d records are dead", errManifest, s.ID, s.Dead.count, s.Records)
	}
	return nil
}

// check refuses manifests that no log could have captured.
func (m Manifest) check() error {
	if len(m.Segments) == 0 {
		return fmt.Errorf("%w: no segment", errManifest)
	}
	ids := make(map[uint64]bool, len(m.Segments))
	var last base.Revision
	for i, s := range m.Segments {
		switch {
		case s.ID >= m.NextID || ids[s.ID]:
			return fmt.Errorf("%w: segment ID %d is used twice or not below %d", errManifest, s.ID, m.NextID)
		case s.Sealed != (i < len(m.Segments)-1):
			return fmt.Errorf("%w: segment %016x: all but the last must be sealed", errManifest, s.ID)
		}
		if err := s.check(); err != nil {
			return err
		}
		ids[s.ID] = true
		if s.Records == 0 {
			continue
		}
		if !last.Less(s.First) || s.Last.Less(s.First) {
			return fmt.Errorf("%w: segment %016x: revisions %v to %v after %v", errManifest, s.ID, s.First, s.Last, last)
		}
		last = s.Last
	}
	return nil
}

// active is the segment that is appended to.
func (m Manifest) active() SegmentInfo { return m.Segments[len(m.Segments)-1] }
