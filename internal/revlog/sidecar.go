package revlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"keelson/internal/vfs"
)

// A sidecar holds the position and the Meta of every record of one sealed
// segment, so that opening the log and rebuilding the index read no values.
// See docs/format/sidecar.md:
//
//	header | entries: size of the record, meta | keys | crc u32
//
// It says nothing that the segment does not say: a bad one is made again.
const (
	sidecarMagic       = "KEELSIDE"
	sidecarVersion     = 1
	sidecarHeaderBytes = 56
	sidecarCRCBytes    = 4

	// leastEntryBytes is the smallest entry: size, flags, main, key length.
	leastEntryBytes = 4
)

// sidecarBuilder makes the sidecar of a segment while its records pass by.
type sidecarBuilder struct {
	id   uint64
	b    []byte // header and entries
	keys []byte
	tab  table
	end  int64 // of the segment so far
}

func newSidecarBuilder(id uint64) *sidecarBuilder {
	return &sidecarBuilder{id: id, b: make([]byte, sidecarHeaderBytes), end: headerBytes}
}

// add takes the next record of the segment; it keeps nothing of m.
func (s *sidecarBuilder) add(m *Meta, size int64) {
	s.b = binary.AppendUvarint(s.b, uint64(size))
	s.b = appendMeta(s.b, m, s.tab.last().Main, 0)
	s.keys = append(s.keys, m.Key...)
	s.tab.add(m.Rev, s.end)
	s.end += size
}

// finish returns the bytes of the sidecar.
func (s *sidecarBuilder) finish() []byte {
	b := s.b
	copy(b, sidecarMagic)
	binary.LittleEndian.PutUint32(b[8:], sidecarVersion)
	binary.LittleEndian.PutUint32(b[12:], 0)
	binary.LittleEndian.PutUint64(b[16:], s.id)
	binary.LittleEndian.PutUint64(b[24:], uint64(s.end))
	binary.LittleEndian.PutUint64(b[32:], uint64(len(s.tab.pos)))
	binary.LittleEndian.PutUint64(b[40:], uint64(len(b)-sidecarHeaderBytes))
	binary.LittleEndian.PutUint64(b[48:], uint64(len(s.keys)))
	b = append(b, s.keys...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crcTable))
}

// sidecar is a checked sidecar that is being read. Keys alias its bytes.
type sidecar struct {
	entries cursor
	keys    []byte
	left    int64 // records to come
	end     int64 // where the next record of the segment begins
	bytes   int64 // of the segment
	main    int64 // of the last record
}

var errSidecar = errors.New("entries are malformed behind a valid checksum")

// parseSidecar checks header and checksum of b against the segment it should
// belong to.
func parseSidecar(b []byte, info SegmentInfo) (*sidecar, error) {
	if len(b) < sidecarHeaderBytes+sidecarCRCBytes {
		return nil, errors.New("the file is too short")
	}
	body := b[:len(b)-sidecarCRCBytes]
	if string(b[:8]) != sidecarMagic {
		return nil, errors.New("this is not a sidecar")
	}
	if crc32.Checksum(body, crcTable) != binary.LittleEndian.Uint32(b[len(body):]) {
		return nil, errors.New("checksum does not match")
	}
	version, flags := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	if version != sidecarVersion || flags != 0 {
		return nil, fmt.Errorf("version %d with flags %#x is not known to this release", version, flags)
	}
	id, bytes, records := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]), binary.LittleEndian.Uint64(b[32:])
	if id != info.ID || bytes != uint64(info.Bytes) || records != uint64(info.Records) {
		return nil, fmt.Errorf("it describes segment %016x with %d records in %d bytes", id, records, bytes)
	}
	entries, keys := binary.LittleEndian.Uint64(b[40:]), binary.LittleEndian.Uint64(b[48:])
	rest := uint64(len(body) - sidecarHeaderBytes)
	if entries > rest || keys != rest-entries || records > entries/leastEntryBytes {
		return nil, errSidecar
	}
	split := sidecarHeaderBytes + int(entries)
	return &sidecar{
		entries: cursor{b: body[sidecarHeaderBytes:split]},
		keys:    body[split:],
		left:    info.Records,
		end:     headerBytes,
		bytes:   info.Bytes,
	}, nil
}

// next decodes the next record's Meta and returns where the record begins.
func (s *sidecar) next(m *Meta) (offset int64, err error) {
	size := int64(s.entries.uvarint())
	_, keyLen := s.entries.meta(m, s.main)
	if s.entries.bad || size < recordPrefixBytes || size > s.bytes-s.end || keyLen > uint64(len(s.keys)) {
		return 0, errSidecar
	}
	m.Key, s.keys = s.keys[:keyLen:keyLen], s.keys[keyLen:]
	offset = s.end
	s.end += size
	s.main = m.Rev.Main
	s.left--
	if s.left == 0 && (s.end != s.bytes || len(s.entries.b) != 0 || len(s.keys) != 0) {
		return 0, errSidecar
	}
	return offset, nil
}

// table reads a whole sidecar into a position table.
func (s *sidecar) table() (table, error) {
	t := table{pos: make([]position, 0, s.left)}
	var m Meta
	for s.left > 0 {
		last := t.last()
		off, err := s.next(&m)
		if err != nil {
			return table{}, err
		}
		if !last.Less(m.Rev) || !t.fits(m.Rev.Main) {
			return table{}, errSidecar
		}
		t.add(m.Rev, off)
	}
	return t, nil
}

// readSidecar reads the sidecar of a segment into memory of its own.
func readSidecar(fs vfs.FS, dir string, info SegmentInfo) (*sidecar, error) {
	f, err := fs.Open(sidecarName(dir, info.ID))
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err == nil && size > maxSidecarBytes(info) {
		err = fmt.Errorf("%d bytes are too many for %d records", size, info.Records)
	}
	var b []byte
	if err == nil {
		b = make([]byte, size)
		_, err = f.ReadAt(b, 0)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return parseSidecar(b, info)
}

// maxSidecarBytes bounds the sidecar of a segment, so that a damaged length
// does not become an allocation: an entry and its key are no longer than the
// record and a number.
func maxSidecarBytes(info SegmentInfo) int64 {
	return sidecarHeaderBytes + sidecarCRCBytes + info.Bytes + info.Records*binary.MaxVarintLen64
}

// writeSidecar stores a sidecar under a temporary name, makes it durable and
// gives it its name. SyncTo makes the name durable. A full disk leaves nothing
// behind.
func (l *Log) writeSidecar(id uint64, b []byte) error {
	name := sidecarName(l.opts.Dir, id)
	f, err := l.opts.FS.Create(name + tempSuffix)
	if err != nil {
		return err
	}
	err = f.Preallocate(int64(len(b)))
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err == nil {
		err = l.syncFile(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, l.opts.FS.Remove(name+tempSuffix))
	}
	if err := l.opts.FS.Rename(name+tempSuffix, name); err != nil {
		return err
	}
	l.dirDirty.Store(true)
	return nil
}
