package snap

import (
	"encoding/binary"
	"fmt"
	"slices"

	"keelson/internal/base"
)

// Decode reads the bytes of a checkpoint file. The result's slices alias b. It
// accepts exactly what Encode makes; anything else is a *CorruptError or a
// *VersionError, with an empty File.
func Decode(b []byte) (*Checkpoint, error) {
	count, err := decodeHeader(b)
	if err != nil {
		return nil, err
	}
	d := decoder{
		all:  b,
		rest: b[headerBytes : len(b)-crcBytes],
		sums: slices.Clone(b[headerBytes-crcBytes : headerBytes]),
	}
	sections, err := d.sections(count)
	if err != nil {
		return nil, err
	}
	// Each piece is as it was written; now whether they were written together.
	trailer := len(b) - crcBytes
	if binary.LittleEndian.Uint32(b[trailer:]) != checksum(d.sums) {
		return nil, corrupt(trailer, "checksum of the file does not match")
	}
	return assemble(sections)
}

// decodeHeader checks the header and returns the number of sections it claims.
func decodeHeader(b []byte) (sections uint32, err error) {
	if len(b) < minFileBytes {
		return 0, corrupt(0, "%d bytes are too few for any checkpoint", len(b))
	}
	h := b[:headerBytes]
	if string(h[:8]) != magic {
		return 0, corrupt(0, "it does not begin with %q", magic)
	}
	if binary.LittleEndian.Uint32(h[28:]) != checksum(h[:28]) {
		return 0, corrupt(28, "checksum of the header does not match")
	}
	// Every version keeps the header's shape, so that it can be told apart
	// from damage.
	version, flags := binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
	if version != formatVersion || flags != 0 {
		return 0, &VersionError{Version: version, Flags: flags}
	}
	if size := binary.LittleEndian.Uint64(h[16:]); size != uint64(len(b)) {
		return 0, corrupt(16, "the header says %d bytes, the file has %d", size, len(b))
	}
	return binary.LittleEndian.Uint32(h[24:]), nil
}

// decoder walks through the sections.
type decoder struct {
	all  []byte
	rest []byte // what is not read yet, without the trailer
	sums []byte // the checksums met so far, as the trailer covers them
}

// offset is the position of rest in the file.
func (d *decoder) offset() int { return len(d.all) - crcBytes - len(d.rest) }

func (d *decoder) sections(count uint32) ([]Section, error) {
	var out []Section // grows with what is there, not with what count claims
	names := map[string]bool{}
	for range count {
		at := d.offset()
		s, err := d.section()
		if err != nil {
			return nil, err
		}
		if names[s.Name] {
			return nil, corrupt(at, "section %q is there twice", s.Name)
		}
		names[s.Name] = true
		out = append(out, s)
	}
	if len(d.rest) > 0 {
		return nil, corrupt(d.offset(), "%d bytes after the last section", len(d.rest))
	}
	return out, nil
}

func (d *decoder) section() (Section, error) {
	at := d.offset()
	if len(d.rest) < sectionHeaderBytes+crcBytes {
		return Section{}, corrupt(at, "the file ends inside a section header")
	}
	nameBytes := binary.LittleEndian.Uint32(d.rest)
	dataBytes := binary.LittleEndian.Uint64(d.rest[4:])
	if nameBytes == 0 || nameBytes > maxNameBytes {
		return Section{}, corrupt(at, "section name of %d bytes", nameBytes)
	}
	// Compared like this the sum cannot overflow.
	room := uint64(len(d.rest) - sectionHeaderBytes - crcBytes)
	if uint64(nameBytes) > room || dataBytes > room-uint64(nameBytes) {
		return Section{}, corrupt(at, "section of %d bytes where %d are left", dataBytes, room)
	}
	nameEnd := sectionHeaderBytes + int(nameBytes)
	dataEnd := nameEnd + int(dataBytes)
	s := Section{Name: string(d.rest[sectionHeaderBytes:nameEnd]), Data: d.rest[nameEnd:dataEnd:dataEnd]}
	if binary.LittleEndian.Uint32(d.rest[dataEnd:]) != checksum(d.rest[:dataEnd]) {
		return Section{}, corrupt(at, "checksum of section %q does not match", s.Name)
	}
	d.sums = append(d.sums, d.rest[dataEnd:dataEnd+crcBytes]...)
	d.rest = d.rest[dataEnd+crcBytes:]
	return s, nil
}

// assemble takes our own sections off the front.
func assemble(sections []Section) (*Checkpoint, error) {
	own := [ownSections]string{stateSection, confSection, logSection}
	for i, name := range own {
		if i >= len(sections) || sections[i].Name != name {
			return nil, corrupt(headerBytes, "section %d is not %q", i, name)
		}
	}
	state := sections[0].Data
	if len(state) != stateBytes {
		return nil, corrupt(headerBytes, "section %q has %d bytes, not %d", stateSection, len(state), stateBytes)
	}
	field := func(i int) uint64 { return binary.LittleEndian.Uint64(state[i*8:]) }
	c := &Checkpoint{
		Applied:          base.Index(field(0)),
		AppliedTerm:      base.Term(field(1)),
		Revision:         int64(field(2)),
		CompactRev:       int64(field(3)),
		ScheduledCompact: int64(field(4)),
		ConfState:        sections[1].Data,
		Log:              sections[2].Data,
		Sections:         sections[ownSections:],
	}
	return c, nil
}

func corrupt(offset int, format string, args ...any) *CorruptError {
	return &CorruptError{Offset: int64(offset), Reason: fmt.Sprintf(format, args...)}
}
