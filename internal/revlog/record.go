package revlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/bits"

	"keelson/internal/base"
)

// Meta is what the key index knows of a record.
type Meta struct {
	Rev base.Revision
	// Prev is the record of the same key that this one supersedes, tombstones
	// included; zero when there is none.
	Prev      base.Revision
	Tombstone bool
	Create    int64
	Version   int64
	Lease     base.LeaseID
	Key       []byte
}

// Record is a Meta and the payload. Key and KV alias the memory they were read
// from; see who returns it for how long they stay.
type Record struct {
	Meta
	KV []byte
}

// A record on disk, see docs/format/segment.md:
//
//	crc u32 | size u32 | meta | key, unless inside the payload | payload
//
// crc is CRC-32C over everything behind it, size the number of bytes behind
// itself. It does not depend on where the record lies, so a rewrite carries it
// along unchanged and it protects the payload from the first append to the
// last read.
//
// sealRecord and openRecord are the only places that know these bytes; a
// cipher goes there.
const (
	recordPrefixBytes = 8
	leastRecordBytes  = recordPrefixBytes + 3 // flags, main and key length
)

// crcTable is CRC-32C (Castagnoli): processors have an instruction for it.
var crcTable = crc32.MakeTable(crc32.Castagnoli)

// recordBound is the most bytes that the record of m and kv can take.
func recordBound(m *Meta, kv []byte) int64 {
	return recordPrefixBytes + maxMetaBytes + int64(len(m.Key)) + int64(len(kv))
}

// sealRecord appends the record of m and kv to dst, whose capacity must hold
// recordBound. It returns the longer dst and where in it the payload begins.
func sealRecord(dst []byte, m *Meta, kv []byte) (_ []byte, payload int) {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	if i := keyOffset(len(m.Key)); len(m.Key) > 0 && len(kv) >= i+len(m.Key) && bytes.Equal(kv[i:i+len(m.Key)], m.Key) {
		dst = appendMeta(dst, m, 0, flagKeyInside)
	} else {
		dst = appendMeta(dst, m, 0, 0)
		dst = append(dst, m.Key...)
	}
	payload = len(dst)
	dst = append(dst, kv...)
	b := dst[at:]
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-recordPrefixBytes))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], crcTable))
	return dst, payload
}

// keyOffset is where a marshalled KeyValue has its key: behind one byte of tag
// and the length as a varint. A payload that has it elsewhere is stored with
// the key in front.
func keyOffset(keyLen int) int {
	return 1 + (bits.Len64(uint64(keyLen)|1)+6)/7
}

var (
	errRecordShort = errors.New("record does not fit")
	errRecordCRC   = errors.New("checksum does not match")
	errRecordMeta  = errors.New("record is malformed behind a valid checksum")
)

// recordSize reads the length of a record from its first recordPrefixBytes.
func recordSize(prefix []byte) int64 {
	return recordPrefixBytes + int64(binary.LittleEndian.Uint32(prefix[4:]))
}

// openRecord checks the record that fills b exactly and decodes it into r,
// which aliases b.
func openRecord(b []byte, r *Record) error {
	if len(b) < recordPrefixBytes || recordSize(b) != int64(len(b)) {
		return errRecordShort
	}
	if crc32.Checksum(b[4:], crcTable) != binary.LittleEndian.Uint32(b) {
		return errRecordCRC
	}
	c := cursor{b: b[recordPrefixBytes:]}
	flags, keyLen := c.meta(&r.Meta, 0)
	if c.bad || keyLen > uint64(len(c.b)) {
		return errRecordMeta
	}
	n := int(keyLen)
	if flags&flagKeyInside == 0 {
		r.Key, r.KV = c.b[:n:n], c.b[n:len(c.b):len(c.b)]
		return nil
	}
	i := keyOffset(n)
	if i+n > len(c.b) {
		return errRecordMeta
	}
	r.Key, r.KV = c.b[i:i+n:i+n], c.b[:len(c.b):len(c.b)]
	return nil
}
