package snap

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// The file, in little-endian numbers (docs/format/checkpoint.md draws it):
//
//	header   magic, version, flags, length, section count, CRC of these
//	section  name length, data length, name, data, CRC of these
//	...
//	trailer  CRC of all the CRCs above, in order
//
// The trailer ties the pieces together. It covers the CRCs and not the bytes,
// because a CRC that runs over data and the data's own CRC comes out the same
// whatever the data: sections of two files of the same shape could be mixed.
const (
	magic         = "KEELCKPT"
	formatVersion = 1

	headerBytes        = 8 + 4 + 4 + 8 + 4 + crcBytes
	sectionHeaderBytes = 4 + 8
	crcBytes           = 4
	minFileBytes       = headerBytes + crcBytes

	// maxFileBytes bounds the memory a file can cost. Leases are the only
	// store that grows with the users' data; a million of them are 50 MB.
	maxFileBytes = 1 << 30
	maxNameBytes = 255
)

// The first three sections are ours and always there, in this order.
const (
	stateSection = "state"
	confSection  = "confstate"
	logSection   = "log"

	ownSections = 3
	stateFields = 5
	stateBytes  = stateFields * 8
)

// checksum is CRC-32C, which the processors compute themselves.
func checksum(b []byte) uint32 {
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}

// Encode returns the bytes of a checkpoint file.
func (c *Checkpoint) Encode() ([]byte, error) {
	size, err := c.encodedBytes()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, size)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(size))
	b = binary.LittleEndian.AppendUint32(b, uint32(ownSections+len(c.Sections)))
	b = binary.LittleEndian.AppendUint32(b, checksum(b))
	sums := slices.Clone(b[headerBytes-crcBytes:])

	state := make([]byte, 0, stateBytes)
	for _, v := range c.fixed() {
		state = binary.LittleEndian.AppendUint64(state, v)
	}
	own := [ownSections]Section{{stateSection, state}, {confSection, c.ConfState}, {logSection, c.Log}}
	for _, s := range slices.Concat(own[:], c.Sections) {
		b = appendSection(b, s)
		sums = append(sums, b[len(b)-crcBytes:]...)
	}
	return binary.LittleEndian.AppendUint32(b, checksum(sums)), nil
}

// encodedBytes is the exact length of the file. It refuses what could not be
// read back.
func (c *Checkpoint) encodedBytes() (int, error) {
	size := minFileBytes + sectionBytes(stateSection, stateBytes) +
		sectionBytes(confSection, len(c.ConfState)) + sectionBytes(logSection, len(c.Log))
	names := map[string]bool{stateSection: true, confSection: true, logSection: true}
	for _, s := range c.Sections {
		if s.Name == "" || len(s.Name) > maxNameBytes || names[s.Name] {
			return 0, fmt.Errorf("checkpoint section name %q is empty, too long or taken", s.Name)
		}
		names[s.Name] = true
		size += sectionBytes(s.Name, len(s.Data))
	}
	if size > maxFileBytes {
		return 0, fmt.Errorf("checkpoint of %d bytes is over the limit of %d", size, maxFileBytes)
	}
	return size, nil
}

func sectionBytes(name string, dataBytes int) int {
	return sectionHeaderBytes + len(name) + dataBytes + crcBytes
}

func appendSection(b []byte, s Section) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.Name)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.Data)))
	b = append(b, s.Name...)
	b = append(b, s.Data...)
	return binary.LittleEndian.AppendUint32(b, checksum(b[start:]))
}
