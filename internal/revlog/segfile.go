package revlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"keelson/internal/vfs"
)

// A segment file begins with a header, see docs/format/segment.md:
//
//	magic 8 | version u32 | flags u32 | id u64 | zero u32 | crc u32
const (
	headerBytes    = 32
	segmentVersion = 1

	// maxFileBytes: the header and records up to MaxSegmentBytes, or one
	// record of MaxRecordBytes. Offsets inside fit into 32 bits.
	maxFileBytes = headerBytes + recordPrefixBytes + maxMetaBytes + MaxSegmentBytes + MaxRecordBytes
)

const segmentMagic = "KEELREVL"

const (
	segmentSuffix = ".seg"
	sidecarSuffix = ".idx"
	tempSuffix    = ".tmp"
)

// segFile is the file of one segment.
type segFile struct {
	id   uint64   // set once
	name string   // set once
	f    vfs.File // set once; closed when refs is zero

	// mapping is nil where the system has none or it would not show later
	// writes; it is set at most once while the file is in use.
	mapping atomic.Pointer[mapping]

	// write orders the applier's flushes and SyncTo's, so that each byte is
	// written once.
	write struct {
		sync.Mutex
		written int64 // bytes of the file that hold what was appended
	}

	// refs counts the segment sets that name the file. Guarded by Log.mu.
	refs int

	// Guarded by Log.durable.
	synced   int64 // bytes known to be durable
	finished bool  // sealed, cut to its length and with a sidecar
}

// mapping is read-only memory that shows the file.
type mapping struct {
	data  []byte
	unmap func() error
}

func segmentName(dir string, id uint64) string {
	return path.Join(dir, fmt.Sprintf("%016x", id)+segmentSuffix)
}

func sidecarName(dir string, id uint64) string {
	return path.Join(dir, fmt.Sprintf("%016x", id)+sidecarSuffix)
}

// parseName splits a base name into ID and suffix.
func parseName(name string) (id uint64, suffix string, ok bool) {
	digits, rest, found := strings.Cut(name, ".")
	if !found || len(digits) != 16 {
		return 0, "", false
	}
	id, err := strconv.ParseUint(digits, 16, 64)
	return id, "." + rest, err == nil
}

func appendHeader(dst []byte, id uint64) []byte {
	at := len(dst)
	dst = append(dst, segmentMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, segmentVersion)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, id)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], crcTable))
}

// checkHeader tells why b is not the header of segment id; empty if it is.
func checkHeader(b []byte, id uint64) string {
	switch {
	case len(b) < headerBytes:
		return "the file ends inside the header"
	case string(b[:8]) != segmentMagic:
		return "this is not a segment file"
	case crc32.Checksum(b[:headerBytes-4], crcTable) != binary.LittleEndian.Uint32(b[headerBytes-4:]):
		return "the checksum of the header does not match"
	case binary.LittleEndian.Uint32(b[8:]) != segmentVersion:
		return fmt.Sprintf("version %d is not known to this release", binary.LittleEndian.Uint32(b[8:]))
	case binary.LittleEndian.Uint32(b[12:]) != 0:
		return fmt.Sprintf("flags %#x are not known to this release", binary.LittleEndian.Uint32(b[12:]))
	case binary.LittleEndian.Uint64(b[16:]) != id:
		return fmt.Sprintf("this is segment %016x", binary.LittleEndian.Uint64(b[16:]))
	}
	return ""
}

// newFile creates a segment of size preallocated bytes with its header. The
// probe tells whether mappings of this file system show later writes. On error
// no file is left behind.
func (l *Log) newFile(size int64) (_ *segFile, err error) {
	l.mu.Lock()
	id := l.mu.nextID
	l.mu.nextID++
	l.mu.Unlock()
	name := segmentName(l.opts.Dir, id)
	f, err := l.opts.FS.Create(name)
	if err != nil {
		return nil, err
	}
	l.dirDirty.Store(true)
	if err := l.initFile(f, id, size); err != nil {
		return nil, errors.Join(err, f.Close(), l.opts.FS.Remove(name))
	}
	sf := &segFile{id: id, name: name, f: f}
	sf.write.written = headerBytes
	return sf, nil
}

func (l *Log) initFile(f vfs.File, id uint64, size int64) error {
	if err := f.Preallocate(size); err != nil {
		return err
	}
	// Mapping the header's place before the header is written shows at no
	// cost whether a mapping follows later writes.
	before, unmap, ok, err := f.Map(headerBytes)
	if err != nil {
		l.opts.Logger.Warn("segment cannot be mapped, reading with system calls", zapFile(f.Name()), zapError(err))
		ok = false
	}
	header := appendHeader(nil, id)
	if _, err := f.WriteAt(header, 0); err != nil {
		return errors.Join(err, unmapIf(ok, unmap))
	}
	l.liveMaps.Store(ok && bytes.Equal(before, header))
	return unmapIf(ok, unmap)
}

func unmapIf(ok bool, unmap func() error) error {
	if !ok {
		return nil
	}
	return unmap()
}

// mapFile maps the first size bytes. Failing to is no error: reads go on with
// system calls.
func (l *Log) mapFile(sf *segFile, size int64) {
	data, unmap, ok, err := sf.f.Map(size)
	if err != nil {
		l.opts.Logger.Warn("segment cannot be mapped, reading with system calls", zapFile(sf.name), zapError(err))
		return
	}
	if ok {
		sf.mapping.Store(&mapping{data: data, unmap: unmap})
	}
}

// mapActive maps a preallocated segment that is about to be appended to, where
// the mapping will show what is flushed.
func (l *Log) mapActive(sf *segFile, size int64) {
	if l.liveMaps.Load() {
		l.mapFile(sf, size)
	}
}

// flush writes src's tail up to the file offset upTo, except what is written
// already.
func (sf *segFile) flush(src *source, upTo int64) error {
	sf.write.Lock()
	defer sf.write.Unlock()
	from := sf.write.written
	if from >= upTo {
		return nil
	}
	if _, err := sf.f.WriteAt(src.tail[from-src.tailOff:upTo-src.tailOff], from); err != nil {
		return err
	}
	vfs.StartWriteback(sf.f, from, upTo-from)
	sf.write.written = upTo
	return nil
}

// close ends the use of the file. No reader is left.
func (sf *segFile) close() error {
	var err error
	if mp := sf.mapping.Load(); mp != nil {
		err = mp.unmap()
	}
	return errors.Join(err, sf.f.Close())
}
