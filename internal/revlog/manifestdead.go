package revlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
)

// Dead is which records of a segment were dead when its manifest was captured,
// by their index in the segment. The zero value is none. It is immutable.
type Dead struct {
	count int64
	words []uint64 // as captured: a bit a record, shorter when the rest is live
	coded []byte   // as parsed and checked; stays so until the segment proves to be there
}

// Count is the number of dead records.
func (d Dead) Count() int64 { return d.count }

// In a manifest: the count, and behind it, unless none or all are dead, the
// shorter of
//
//	formRuns  varints: lengths of stretches, live and dead in turn, the first
//	          live (only it may be 0), up to the last dead one
//	formBits  a bit a record, lowest bit of the first byte first
const (
	formRuns = 1
	formBits = 2
)

// appendDead appends the encoding of d for a segment of so many records.
func appendDead(dst []byte, d Dead, records int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.count))
	switch {
	case d.count == 0 || d.count == records:
		return dst
	case d.coded != nil:
		return append(dst, d.coded...)
	}
	bitBytes := int(records+7) / 8
	if d.changes() < bitBytes { // a change takes a byte at least
		if runs, ok := d.appendRuns(append(dst, formRuns), len(dst)+1+bitBytes); ok {
			return runs
		}
	}
	dst = append(dst, formBits)
	at := len(dst)
	for _, w := range d.words {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	if have := len(dst) - at; have < bitBytes {
		return append(dst, make([]byte, bitBytes-have)...)
	}
	return dst[:at+bitBytes]
}

// changes counts the borders between dead records and live ones.
func (d Dead) changes() (n int) {
	last := uint64(0)
	for _, w := range d.words {
		n += bits.OnesCount64(w ^ (w<<1 | last))
		last = w >> 63
	}
	return n
}

// appendRuns appends the varints of formRuns. It gives up when dst has limit
// bytes.
func (d Dead) appendRuns(dst []byte, limit int) ([]byte, bool) {
	end := 0 // of the last dead stretch
	for from, to := range d.wordRuns() {
		if len(dst) >= limit {
			return nil, false
		}
		dst = binary.AppendUvarint(dst, uint64(from-end))
		dst = binary.AppendUvarint(dst, uint64(to-from))
		end = to
	}
	return dst, len(dst) < limit
}

// dead reads what appendDead made. What it keeps is as long as what it
// read: a small manifest cannot ask for much memory.
func (c *cursor) dead(records int64) (Dead, error) {
	d := Dead{count: int64(c.uvarint())}
	switch {
	case c.bad || d.count < 0 || d.count > records:
		return Dead{}, fmt.Errorf("%d of %d records are dead", d.count, records)
	case d.count == 0 || d.count == records:
		return d, nil
	}
	from, size := c.b, 0
	switch form := c.byte(); form {
	case formRuns:
		if !c.skipRuns(d.count, records) {
			return Dead{}, fmt.Errorf("the stretches of %d dead records in %d are malformed", d.count, records)
		}
		size = len(from) - len(c.b)
	case formBits:
		if size = 1 + int(records+7)/8; size > len(from) || !bitsOf(from[1:size], d.count, records) {
			return Dead{}, fmt.Errorf("the bits of %d dead records in %d are malformed", d.count, records)
		}
		c.b = from[size:]
	default:
		return Dead{}, fmt.Errorf("dead records in the unknown form %d", form)
	}
	d.coded = bytes.Clone(from[:size])
	return d, nil
}

// skipRuns checks the varints of formRuns.
func (c *cursor) skipRuns(dead, records int64) bool {
	left := uint64(records)
	take := func(least uint64) uint64 {
		n := c.uvarint()
		if n < least || n > left {
			c.bad = true
		}
		left -= n
		return n
	}
	for first := true; dead > 0 && !c.bad; first = false {
		if first {
			take(0)
		} else {
			take(1)
		}
		if n := take(1); n <= uint64(dead) {
			dead -= int64(n)
		} else {
			c.bad = true
		}
	}
	return !c.bad
}

// bitsOf tells whether b has as many bits set, all of them of records.
func bitsOf(b []byte, dead, records int64) bool {
	n := 0
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	unused := uint(len(b)*8 - int(records))
	return int64(n) == dead && b[len(b)-1]>>(8-unused) == 0
}

// runs yields the dead records of a segment of so many as stretches
// [from, to), ascending.
func (d Dead) runs(records int) iter.Seq2[int, int] {
	switch {
	case d.count == int64(records):
		return func(yield func(from, to int) bool) {
			if records > 0 {
				yield(0, records)
			}
		}
	case d.coded == nil:
		return d.wordRuns()
	case d.coded[0] == formBits:
		padded := append(d.coded[1:len(d.coded):len(d.coded)], make([]byte, 7)...)
		words := make([]uint64, len(padded)/8)
		for i := range words {
			words[i] = binary.LittleEndian.Uint64(padded[i*8:])
		}
		return Dead{words: words}.wordRuns()
	}
	return d.codedRuns
}

// codedRuns yields the stretches of formRuns, which were checked when parsed.
func (d Dead) codedRuns(yield func(from, to int) bool) {
	c := cursor{b: d.coded[1:]}
	for at := 0; len(c.b) > 0; {
		from := at + int(c.uvarint())
		at = from + int(c.uvarint())
		if !yield(from, at) {
			return
		}
	}
}

// wordRuns yields the stretches of set bits.
func (d Dead) wordRuns() iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		from := -1 // begin of the stretch under way
		for w, word := range d.words {
			for at := 0; at < 64; {
				rest := word >> at
				if from >= 0 { // looking for its end
					n := min(bits.TrailingZeros64(^rest), 64-at)
					if at += n; at == 64 {
						break
					}
					if !yield(from, w*64+at) {
						return
					}
					from = -1
					continue
				}
				n := bits.TrailingZeros64(rest)
				if n == 64 {
					break
				}
				at += n
				from = w*64 + at
			}
		}
		if from >= 0 {
			yield(from, len(d.words)*64)
		}
	}
}
