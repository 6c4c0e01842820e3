package revlog

import (
	"errors"
	"fmt"
	"io"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// walkBytes is how much a walk reads at a time.
const walkBytes = 1 << 20

// walker reads a segment file from front to back with ordinary reads, checks
// everything that can be checked, and yields each record. raw is the whole
// record; raw and what r refers to are valid until yield returns.
type walker struct {
	f     vfs.File
	id    uint64
	bytes int64 // where the last record ends
	yield func(offset int64, raw []byte, r *Record) error

	buf  []byte
	off  int64 // of buf[0]
	last base.Revision
	rec  Record // the current one: yield would have each escape to the heap
}

// walkSegment walks the file of segment id over its first n bytes.
func walkSegment(f vfs.File, id uint64, n int64, yield func(offset int64, raw []byte, r *Record) error) error {
	w := walker{f: f, id: id, bytes: n, yield: yield}
	head, err := w.at(0, headerBytes)
	if err != nil {
		return err
	}
	if why := checkHeader(head, id); why != "" {
		return w.corrupt(0, why)
	}
	for off := int64(headerBytes); off < n; {
		size, err := w.record(off)
		if err != nil {
			return err
		}
		off += size
	}
	return nil
}

// record checks and yields the record at off and returns its size.
func (w *walker) record(off int64) (int64, error) {
	prefix, err := w.at(off, recordPrefixBytes)
	if err != nil {
		return 0, err
	}
	size := recordSize(prefix)
	if size > w.bytes-off {
		return 0, w.corrupt(off, fmt.Sprintf("a record of %d bytes does not fit before byte %d", size, w.bytes))
	}
	raw, err := w.at(off, size)
	if err != nil {
		return 0, err
	}
	r := &w.rec
	if err := openRecord(raw, r); err != nil {
		return 0, w.corrupt(off, err.Error())
	}
	if !w.last.Less(r.Rev) {
		return 0, w.corrupt(off, fmt.Sprintf("revision %v follows %v", r.Rev, w.last))
	}
	w.last = r.Rev
	return size, w.yield(off, raw, r)
}

// at returns n bytes at off, which never goes back.
func (w *walker) at(off, n int64) ([]byte, error) {
	if off+n > w.bytes {
		return nil, w.corrupt(off, fmt.Sprintf("the segment ends at byte %d", w.bytes))
	}
	if have := w.off + int64(len(w.buf)); off+n > have {
		want := min(max(n, walkBytes), w.bytes-off)
		if int64(cap(w.buf)) < want {
			w.buf = make([]byte, want)
		}
		w.buf, w.off = w.buf[:want], off
		if got, err := w.f.ReadAt(w.buf, off); got < len(w.buf) {
			w.buf = w.buf[:0]
			if errors.Is(err, io.EOF) {
				return nil, w.corrupt(off, fmt.Sprintf("the file ends at byte %d", off+int64(got)))
			}
			return nil, err
		}
	}
	return w.buf[off-w.off : off-w.off+n : off-w.off+n], nil
}

func (w *walker) corrupt(off int64, why string) error {
	return &CorruptError{File: w.f.Name(), Offset: off, Reason: why}
}

// Walk reads the segments that m names in a directory no Log has open, checks
// every byte of them, and yields each record with its place. It changes
// nothing. The record is valid until yield returns; an error from yield ends
// the walk.
func Walk(fs vfs.FS, dir string, m Manifest, yield func(file string, offset int64, r Record) error) error {
	if err := m.check(); err != nil {
		return err
	}
	for _, info := range m.Segments {
		if err := walkOne(fs, dir, info, yield); err != nil {
			return err
		}
	}
	return nil
}

func walkOne(fs vfs.FS, dir string, info SegmentInfo, yield func(file string, offset int64, r Record) error) error {
	f, err := fs.Open(segmentName(dir, info.ID))
	if err != nil {
		return err
	}
	var tab table
	err = walkSegment(f, info.ID, info.Bytes, func(off int64, _ []byte, r *Record) error {
		if !tab.fits(r.Rev.Main) {
			return &CorruptError{File: f.Name(), Offset: off, Reason: "revisions are too far apart"}
		}
		tab.add(r.Rev, off)
		return yield(f.Name(), off, *r)
	})
	if err == nil {
		err = matches(f.Name(), &tab, info)
	}
	return errors.Join(err, f.Close())
}

// matches checks that the records found are those the manifest counted.
func matches(name string, tab *table, info SegmentInfo) error {
	if int64(len(tab.pos)) == info.Records && tab.first() == info.First && tab.last() == info.Last {
		return nil
	}
	return &CorruptError{File: name, Offset: headerBytes, Reason: fmt.Sprintf(
		"it holds %d records from %v to %v, the checkpoint says %d from %v to %v",
		len(tab.pos), tab.first(), tab.last(), info.Records, info.First, info.Last)}
}
