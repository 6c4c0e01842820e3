package revlog

import (
	"encoding/binary"
	"math"

	"keelson/internal/base"
)

// Flags of an encoded Meta. A field whose flag is not set is zero and takes no
// bytes.
const (
	flagTombstone = 1 << iota
	flagSub
	flagPrev
	flagCreate
	flagVersion
	flagLease
	flagKeyInside // records only: the key is read out of the payload

	flagsKnown = 1<<iota - 1
)

// maxMetaBytes bounds an encoded Meta without its key: the flags and eight
// numbers.
const maxMetaBytes = 1 + 8*binary.MaxVarintLen64

// appendMeta encodes m without the bytes of its key. Main is stored as the
// distance from from, Create and Prev as distances from Main: in the common
// case each takes one or two bytes. Distances wrap around, so every value
// survives.
func appendMeta(dst []byte, m *Meta, from int64, flags byte) []byte {
	at := len(dst)
	dst = append(dst, 0)
	dst = binary.AppendUvarint(dst, uint64(m.Rev.Main-from))
	if m.Rev.Sub != 0 {
		flags |= flagSub
		dst = binary.AppendUvarint(dst, uint64(m.Rev.Sub))
	}
	if !m.Prev.IsZero() {
		flags |= flagPrev
		dst = binary.AppendUvarint(dst, uint64(m.Rev.Main-m.Prev.Main))
		dst = binary.AppendUvarint(dst, uint64(m.Prev.Sub))
	}
	if m.Create != 0 {
		flags |= flagCreate
		dst = binary.AppendUvarint(dst, uint64(m.Rev.Main-m.Create))
	}
	if m.Version != 0 {
		flags |= flagVersion
		dst = binary.AppendUvarint(dst, uint64(m.Version))
	}
	if m.Lease != 0 {
		flags |= flagLease
		dst = binary.AppendUvarint(dst, uint64(m.Lease))
	}
	if m.Tombstone {
		flags |= flagTombstone
	}
	dst[at] = flags
	return binary.AppendUvarint(dst, uint64(len(m.Key)))
}

// cursor reads numbers off the front of b. After the first that is not there
// bad is set and everything reads as zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) uvarint() uint64 {
	if len(c.b) > 0 && c.b[0] < 0x80 {
		v := c.b[0]
		c.b = c.b[1:]
		return uint64(v)
	}
	return c.longUvarint()
}

func (c *cursor) longUvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.b, c.bad = nil, true
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.bad = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

// meta decodes what appendMeta made into all of m but its key, and returns the
// flags and the length of the key.
func (c *cursor) meta(m *Meta, from int64) (flags byte, keyLen uint64) {
	flags = c.byte()
	*m = Meta{Tombstone: flags&flagTombstone != 0}
	m.Rev.Main = from + int64(c.uvarint())
	if flags&flagSub != 0 {
		m.Rev.Sub = int64(c.uvarint())
	}
	if flags&flagPrev != 0 {
		m.Prev.Main = m.Rev.Main - int64(c.uvarint())
		m.Prev.Sub = int64(c.uvarint())
	}
	if flags&flagCreate != 0 {
		m.Create = m.Rev.Main - int64(c.uvarint())
	}
	if flags&flagVersion != 0 {
		m.Version = int64(c.uvarint())
	}
	if flags&flagLease != 0 {
		m.Lease = base.LeaseID(c.uvarint())
	}
	keyLen = c.uvarint()
	if flags&^byte(flagsKnown) != 0 || !validRevision(m.Rev) {
		c.bad = true
	}
	return flags, keyLen
}

// validRevision tells whether a record may have the revision: position tables
// keep Sub in 32 bits.
func validRevision(r base.Revision) bool {
	return r.Main > 0 && r.Sub >= 0 && r.Sub <= math.MaxUint32
}
