package wal

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// A frame is what lies between two record boundaries of a segment:
//
//	| 8 bytes little-endian length word | record, n bytes | 0..7 zero bytes |
//
// and a record is the protobuf message {type=1, crc=2, data=3}. Both are
// written in exactly one way, and read strictly: the checksum covers the data
// only, so every other byte must be proven by having no choice.

// Kind is the type of a record; the numbers are etcd's.
type Kind uint8

const (
	KindMetadata Kind = 1 // who writes this log, second record of each segment
	KindEntry    Kind = 2 // one raft entry
	KindState    Kind = 3 // raft hard state
	KindCRC      Kind = 4 // first record of each segment: the checksum so far
	KindSnapshot Kind = 5 // state up to an index is kept outside the log
)

// String is the word that dumps print.
func (k Kind) String() string {
	switch k {
	case KindMetadata:
		return "metadata"
	case KindEntry:
		return "entry"
	case KindState:
		return "state"
	case KindCRC:
		return "crc"
	case KindSnapshot:
		return "snapshot"
	}
	return "unknown"
}

const (
	frameHeadBytes = 8
	// recordOverhead bounds what frame and record add to the data: length
	// word, type, crc, data's tag and length, padding.
	recordOverhead = frameHeadBytes + 2 + 6 + 11 + 7

	tagType = 0x08
	tagCRC  = 0x10
	tagData = 0x1a
)

// record is a decoded record. data aliases what it was decoded from.
type record struct {
	kind Kind
	crc  uint32
	data []byte
}

// chain is the running checksum: CRC-32C over the data of all records since
// the log began, across segments. A record stores the value after its data.
type chain uint32

// castagnoli returns the shared table; after the first call MakeTable only
// hands out the one that selects the processor's own instruction.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (c chain) add(data []byte) chain {
	return chain(crc32.Update(uint32(c), castagnoli(), data))
}

// lengthWord encodes the size n of a record and the padding behind it.
func lengthWord(n int) (word uint64, pad int) {
	pad = (8 - n%8) % 8
	word = uint64(n)
	if pad != 0 {
		word |= uint64(0x80|pad) << 56
	}
	return word, pad
}

// parseLengthWord is the inverse of lengthWord; any other word is refused.
func parseLengthWord(word uint64) (n int64, pad int, ok bool) {
	n = int64(word &^ (0xff << 56))
	back, pad := lengthWord(int(n))
	return n, pad, n > 0 && back == word
}

// appendRecord appends the frame of a record whose data is head followed by
// body. crc is the chain after that data. Crc records have no data.
func appendRecord(dst []byte, kind Kind, crc chain, head, body []byte) []byte {
	dataBytes := len(head) + len(body)
	n := 3 + uvarintLen(uint64(crc))
	if kind != KindCRC {
		n += 1 + uvarintLen(uint64(dataBytes)) + dataBytes
	}
	word, pad := lengthWord(n)
	dst = binary.LittleEndian.AppendUint64(dst, word)
	dst = append(dst, tagType, byte(kind), tagCRC)
	dst = binary.AppendUvarint(dst, uint64(crc))
	if kind != KindCRC {
		dst = append(dst, tagData)
		dst = binary.AppendUvarint(dst, uint64(dataBytes))
		dst = append(dst, head...)
		dst = append(dst, body...)
	}
	for range pad {
		dst = append(dst, 0)
	}
	return dst
}

// parseRecord decodes b, which must be one whole record. reason says what is
// wrong with it, "" if nothing.
func parseRecord(b []byte) (rec record, reason string) {
	rec, n, reason := parseRecordPrefix(b)
	if reason == "" && n != len(b) {
		reason = "record and frame disagree about the length"
	}
	return rec, reason
}

// parseRecordPrefix decodes the record at the start of b by its own fields and
// returns how many bytes it takes.
func parseRecordPrefix(b []byte) (rec record, n int, reason string) {
	if len(b) < 4 || b[0] != tagType || b[2] != tagCRC {
		return rec, 0, "not a record"
	}
	rec.kind = Kind(b[1])
	if rec.kind < KindMetadata || rec.kind > KindSnapshot {
		return rec, 0, "unknown record type"
	}
	crc, size := uvarint(b[3:])
	if size == 0 || crc > math.MaxUint32 {
		return rec, 0, "checksum field cannot be read"
	}
	rec.crc = uint32(crc)
	n = 3 + size
	if rec.kind == KindCRC {
		return rec, n, ""
	}
	if n >= len(b) || b[n] != tagData {
		return rec, 0, "record has no data"
	}
	n++
	dataBytes, size := uvarint(b[n:])
	if size == 0 || dataBytes > uint64(len(b)-n-size) {
		return rec, 0, "data runs past the end of its record"
	}
	n += size
	end := n + int(dataBytes)
	rec.data = b[n:end:end]
	return rec, end, ""
}

// uvarint decodes a varint in its shortest form; size 0 is a bad one.
func uvarint(b []byte) (v uint64, size int) {
	v, size = binary.Uvarint(b)
	if size <= 0 || size > 1 && b[size-1] == 0 {
		return 0, 0
	}
	return v, size
}

func uvarintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}
