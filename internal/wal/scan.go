package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"keelson/internal/vfs"
)

// scanWindowBytes is read at once. Larger reads do not make replay faster
// (decoding is the larger part), smaller ones cost system calls.
const scanWindowBytes = 1 << 20

// sectorBytes is the unit a disk writes as a whole: after a crash a sector
// has its old content or its new one. Disks with larger sectors keep the
// rule, since their sectors consist of whole ones of these.
const sectorBytes = 512

// frame is one record with its place in the file.
type frame struct {
	off   int64 // of the length word
	bytes int64 // with length word and padding
	prev  chain // checksum before it
	record
}

// badFrame is a frame that cannot be accepted. Whether it is a torn write or
// damage depends on where it is; see scanner.torn.
type badFrame struct {
	reason string
	damage bool  // no crash explains it, wherever it is
	bytes  int64 // of the record, as the length word says
	end    int64 // where the frame claims to end, at most the file's length
	cut    bool  // the file ends before the frame does
}

func (b *badFrame) Error() string { return b.reason }

// scanner reads the frames of one segment from its start.
type scanner struct {
	file vfs.File
	size int64
	off  int64 // of the next frame: everything before it is good
	sum  chain // after the last good record
	// started is false until the first crc record was adopted.
	started bool

	window    []byte // file content from windowOff on
	windowOff int64
	buf       []byte
}

// open starts at the head of a file, carrying the checksum over from the
// segment before it.
func (s *scanner) open(file vfs.File) error {
	size, err := file.Size()
	if err != nil {
		return err
	}
	s.file, s.size, s.off = file, size, 0
	s.window = nil
	return nil
}

// next returns the next record; ok is false at the end of the segment. Its
// data is valid until the following call. The error is a *badFrame, or that
// of reading the file.
func (s *scanner) next() (f frame, ok bool, err error) {
	rest := s.size - s.off
	if rest < frameHeadBytes {
		return s.nextTiny(rest)
	}
	head, err := s.bytes(s.off, frameHeadBytes)
	if err != nil {
		return f, false, err
	}
	word := binary.LittleEndian.Uint64(head)
	if word == 0 {
		return f, false, s.checkEnd()
	}
	n, pad, valid := parseLengthWord(word)
	f.off, f.bytes, f.prev = s.off, frameHeadBytes+n+int64(pad), s.sum
	switch {
	case !valid:
		return f, false, &badFrame{reason: fmt.Sprintf("impossible record length word %#016x", word), damage: true}
	case f.bytes > rest:
		return f, false, &badFrame{
			reason: fmt.Sprintf("a record of %d bytes does not fit into the file", n),
			bytes:  n, end: s.size, cut: true,
		}
	}
	body, err := s.bytes(s.off+frameHeadBytes, int(n)+pad)
	if err != nil {
		return f, false, err
	}
	if reason := s.check(&f, body[:n], body[n:]); reason != "" {
		return f, false, &badFrame{reason: reason, bytes: n, end: s.off + f.bytes}
	}
	s.off += f.bytes
	return f, true, nil
}

// check decodes the record and moves the checksum on; "" when all is well.
func (s *scanner) check(f *frame, body, padding []byte) string {
	rec, reason := parseRecord(body)
	if reason != "" {
		return reason
	}
	if !allZero(padding) {
		return "padding is not zero"
	}
	sum := chain(rec.crc)
	if rec.kind == KindCRC {
		if s.started && sum != s.sum {
			return fmt.Sprintf("checksum %08x does not continue %08x", sum, s.sum)
		}
		s.started = true
	} else if sum = s.sum.add(rec.data); uint32(sum) != rec.crc {
		return fmt.Sprintf("checksum is %08x, the record says %08x", uint32(sum), rec.crc)
	}
	s.sum, f.record = sum, rec
	return ""
}

// nextTiny handles the last few bytes of a file, too few for a length word.
func (s *scanner) nextTiny(rest int64) (f frame, ok bool, err error) {
	if rest == 0 {
		return f, false, nil
	}
	b, err := s.bytes(s.off, int(rest))
	if err != nil || allZero(b) {
		return f, false, err
	}
	return f, false, &badFrame{reason: "the file ends inside a record length", end: s.size, cut: true}
}

// checkEnd is called at a zero length word. Nothing after it in the same
// sector may have been written: a record that begins there would have brought
// its length word along.
func (s *scanner) checkEnd() error {
	end := min(nextSector(s.off), s.size)
	b, err := s.bytes(s.off, int(end-s.off))
	if err != nil || allZero(b) {
		return err
	}
	return &badFrame{reason: "zeros where a record length should be", damage: true}
}

// torn reports whether a crash during an unfinished write explains a bad frame
// of the last segment. Sectors reach the disk in any order, each as a whole,
// over zeros. So some sector that begins inside the frame is still all zeros,
// or the file ends inside the frame; and the length word, which lies in one
// sector, is right.
func (s *scanner) torn(bad *badFrame) (bool, error) {
	if bad.damage {
		return false, nil
	}
	if wrong, err := s.lengthWordWrong(bad.bytes); err != nil || wrong {
		return false, err
	}
	if bad.cut {
		return true, nil
	}
	for off := nextSector(s.off); off < bad.end; off += sectorBytes {
		b, err := s.bytes(off, int(min(off+sectorBytes, s.size)-off))
		if err != nil {
			return false, err
		}
		if allZero(b) {
			return true, nil
		}
	}
	return false, nil
}

// lengthWordWrong reports whether the record at the present offset is whole
// when measured by its own fields, and not of the length that its frame says.
// Then the length word is damaged, however much this looks like a torn write.
func (s *scanner) lengthWordWrong(framed int64) (bool, error) {
	start := s.off + frameHeadBytes
	if start >= s.size {
		return false, nil
	}
	b, err := s.bytes(start, int(s.size-start))
	if err != nil {
		return false, err
	}
	rec, n, reason := parseRecordPrefix(b)
	whole := reason == "" && rec.kind != KindCRC && uint32(s.sum.add(rec.data)) == rec.crc
	return whole && int64(n) != framed, nil
}

// written returns the end of the last bytes behind the present offset that are
// not zero, or the offset itself when all are.
func (s *scanner) written() (int64, error) {
	end := s.off
	for off := s.off; off < s.size; off += scanWindowBytes {
		b, err := s.bytes(off, int(min(scanWindowBytes, s.size-off)))
		if err != nil {
			return 0, err
		}
		if !allZero(b) {
			end = off + int64(len(bytes.TrimRight(b, "\x00")))
		}
	}
	return end, nil
}

// bytes returns n bytes of the file at off, valid until the next call.
func (s *scanner) bytes(off int64, n int) ([]byte, error) {
	at := off - s.windowOff
	if at >= 0 && at+int64(n) <= int64(len(s.window)) {
		return s.window[at : at+int64(n)], nil
	}
	want := max(n, int(min(scanWindowBytes, s.size-off)))
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	s.window, s.windowOff = s.buf[:want], off
	got, err := s.file.ReadAt(s.window, off)
	if got < n || err != nil && !errors.Is(err, io.EOF) {
		s.window = nil
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("wal: read %s at %d: %w", s.file.Name(), off, err)
	}
	s.window = s.window[:got]
	return s.window[:n], nil
}

func nextSector(off int64) int64 { return (off/sectorBytes + 1) * sectorBytes }

// allZero compares b with itself shifted by one byte, at the speed of memory.
func allZero(b []byte) bool {
	return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}
