package revlog

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"keelson/internal/base"
)

// source is where the records of one segment are read from. It is immutable:
//
//	0        header             tailOff              end
//	|--------|---- in the file ----|---- in tail ------|
//	                            tail[0]
//
// A sealed segment has no tail. The tail's memory belongs to the heap, so the
// slices handed out of it outlive everything here.
type source struct {
	file    *segFile
	tab     table
	end     int64
	tail    []byte
	tailOff int64
}

// extent is the offset of record i and of what follows it.
func (s *source) extent(i int) (from, to int64) {
	from, to = int64(s.tab.pos[i].offset), s.end
	if i+1 < len(s.tab.pos) {
		to = int64(s.tab.pos[i+1].offset)
	}
	return from, to
}

// record reads record i into r. It aliases the tail, the mapping, or memory of
// its own where there is no mapping.
func (s *source) record(i int, r *Record) error {
	from, to := s.extent(i)
	switch mp := s.file.mapping.Load(); {
	case from >= s.tailOff:
		return s.checked(i, r, openRecord(s.tail[from-s.tailOff:to-s.tailOff], r))
	case mp != nil && to <= int64(len(mp.data)):
		return s.checked(i, r, openMapped(mp.data[from:to], r))
	}
	b := make([]byte, to-from)
	if err := s.readAt(b, from); err != nil {
		return err
	}
	return s.checked(i, r, openRecord(b, r))
}

// checked turns the result of opening record i into what callers see: damage
// with its place, and a record only if it is the one asked for.
func (s *source) checked(i int, r *Record, err error) error {
	if want := s.tab.rev(i); err == nil && r.Rev != want {
		err = fmt.Errorf("the record is of revision %v, the position table says %v", r.Rev, want)
	}
	if err == nil {
		return nil
	}
	*r = Record{}
	from, _ := s.extent(i)
	return &CorruptError{File: s.file.name, Offset: from, Reason: err.Error()}
}

// readAt fills b. A file that ends early is damaged.
func (s *source) readAt(b []byte, off int64) error {
	n, err := s.file.f.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case errors.Is(err, io.EOF):
		return &CorruptError{File: s.file.name, Offset: off, Reason: fmt.Sprintf("the file ends at byte %d", off+int64(n))}
	}
	return err
}

// scan yields the records from index i on, below to. It reports false when
// yield ended it.
func (s *source) scan(i int, to base.Revision, yield func(Record) bool) (bool, error) {
	var (
		r     Record
		chunk chunkReader
	)
	for ; i < len(s.tab.pos) && s.tab.rev(i).Less(to); i++ {
		from, end := s.extent(i)
		var err error
		if mp := s.file.mapping.Load(); from >= s.tailOff || mp != nil && end <= int64(len(mp.data)) {
			err = s.record(i, &r)
		} else {
			var b []byte
			if b, err = chunk.next(s, i, from, end); err == nil {
				err = s.checked(i, &r, openRecord(b, &r))
			}
		}
		if err != nil {
			return false, err
		}
		if !yield(r) {
			return false, nil
		}
	}
	return true, nil
}

// chunkBytes is how much a scan without a mapping reads at a time.
const chunkBytes = 256 << 10

// chunkReader serves consecutive records out of large reads. Its memory is
// never used again, so records stay valid.
type chunkReader struct {
	b   []byte
	off int64
}

func (c *chunkReader) next(s *source, i int, from, to int64) ([]byte, error) {
	if from < c.off || to > c.off+int64(len(c.b)) || c.b == nil {
		n := max(to-from, min(chunkBytes, s.tailOff-from))
		c.b, c.off = make([]byte, n), from
		if err := s.readAt(c.b, from); err != nil {
			c.b = nil
			return nil, err
		}
	}
	return c.b[from-c.off : to-c.off : to-c.off], nil
}

// openMapped is openRecord for mapped memory, where a failing disk or a file
// that was cut by somebody else shows as a fault of the processor. The fault
// becomes an error; without this it would end the process.
func openMapped(b []byte, r *Record) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if e := recover(); e != nil {
			fault, ok := e.(interface {
				runtime.Error
				Addr() uintptr
			})
			if !ok {
				panic(e)
			}
			err = fmt.Errorf("the mapped file cannot be read: %w", fault)
		}
	}()
	return openRecord(b, r)
}
