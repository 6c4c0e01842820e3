package revlog

import (
	"fmt"

	"keelson/internal/base"
)

// appender is the active segment as the applier sees it. All fields are owned
// by the applier; what Publish hands out are copies of slice headers, and the
// memory below their lengths never changes.
type appender struct {
	file *segFile
	tab  table
	// tail holds the records from file offset tailOff on. It is replaced, not
	// reused, when full: views and watch events may alias it.
	tail    []byte
	tailOff int64
	limit   int64         // preallocated length of the file
	last    base.Revision // of the log, not only of this segment
}

// start begins to append to an empty segment.
func (a *appender) start(f *segFile, limit int64) {
	*a = appender{file: f, tailOff: headerBytes, limit: limit, last: a.last}
}

// end is the length of the segment.
func (a *appender) end() int64 { return a.tailOff + int64(len(a.tail)) }

func (a *appender) source() source {
	return source{file: a.file, tab: a.tab, end: a.end(), tail: a.tail, tailOff: a.tailOff}
}

func (a *appender) info(sealed bool) SegmentInfo {
	return SegmentInfo{
		ID:      a.file.id,
		Bytes:   a.end(),
		Records: int64(len(a.tab.pos)),
		Sealed:  sealed,
		First:   a.tab.first(),
		Last:    a.tab.last(),
	}
}

// Append adds a record; m.Rev is above every revision before. Nothing of m and
// kv is kept. stored is the log's own copy of kv on the heap: it never changes
// and stays as long as somebody refers to it. The record is visible to views
// published later and durable after SyncTo.
//
// When Append fails, but for ErrTooLarge, the log has failed: a transaction
// cannot be half applied.
func (l *Log) Append(m *Meta, kv []byte) (stored []byte, err error) {
	if err := l.failed(); err != nil {
		return nil, err
	}
	a := &l.app
	if !a.last.Less(m.Rev) || !validRevision(m.Rev) {
		panic(fmt.Sprintf("revlog: revision %v appended after %v", m.Rev, a.last))
	}
	bound := recordBound(m, kv)
	if int64(len(m.Key))+int64(len(kv)) > MaxRecordBytes {
		return nil, ErrTooLarge
	}
	if a.end()+bound > a.limit || !a.tab.fits(m.Rev.Main) {
		if err := l.makeRoom(bound); err != nil {
			return nil, l.fail(err)
		}
	}
	if int64(cap(a.tail)-len(a.tail)) < bound {
		if err := l.newTail(bound); err != nil {
			return nil, l.fail(err)
		}
	}
	a.tab.add(m.Rev, a.end())
	tail, at := sealRecord(a.tail, m, kv)
	a.tail, a.last = tail, m.Rev
	return tail[at:len(tail):len(tail)], nil
}

// makeRoom gets a segment that a record of bound bytes may be appended to. A
// record that no segment would hold gets one of its own, made larger.
func (l *Log) makeRoom(bound int64) error {
	if len(l.app.tab.pos) > 0 {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	a := &l.app
	need := a.end() + bound
	if need <= a.limit {
		return nil
	}
	if err := a.file.f.Preallocate(need); err != nil {
		return err
	}
	a.limit = need
	// The old mapping is too short for this record. An empty segment has no
	// flushed record, so no view reads the mapping.
	if mp := a.file.mapping.Swap(nil); mp != nil {
		if err := mp.unmap(); err != nil {
			return err
		}
	}
	l.mapActive(a.file, need)
	return nil
}

// newTail writes the tail buffer and begins another with room for a record of
// bound bytes.
func (l *Log) newTail(bound int64) error {
	a := &l.app
	if err := l.flush(); err != nil {
		return err
	}
	// The end of the segment bounds what can still come.
	size := max(bound, min(int64(l.opts.TailBytes), a.limit-a.end()))
	a.tailOff = a.end()
	a.tail = make([]byte, 0, size)
	return nil
}

// flush writes the tail into the page cache.
func (l *Log) flush() error {
	src := l.app.source()
	return l.app.file.flush(&src, src.end)
}

// Rotate seals the active segment, so that Reclaim can work on it: Defragment
// begins with it. An empty one stays. While there is no room for another
// segment it changes nothing and returns vfs.ErrNoSpace.
func (l *Log) Rotate() error {
	if err := l.failed(); err != nil {
		return err
	}
	if len(l.app.tab.pos) == 0 {
		return nil
	}
	if _, err := l.needSpare(); err != nil {
		return err
	}
	if err := l.rotate(); err != nil {
		return l.fail(err)
	}
	return nil
}

// rotate seals the active segment and goes on in the spare one. Cutting,
// syncing and the sidecar are left to the housekeeper.
func (l *Log) rotate() error {
	next, err := l.takeSpare()
	if err != nil {
		return err
	}
	if err := l.flush(); err != nil {
		return err
	}
	a := &l.app
	sealed := &segment{info: a.info(true)}
	sealed.source = source{file: a.file, tab: a.tab, end: a.end(), tailOff: a.end()}

	l.mu.Lock()
	sealed.dead = l.mu.activeDead
	l.mu.activeDead = &deadSet{}
	l.mu.onDisk[next.id] = next
	set := l.mu.set
	l.installLocked(append(set.sealed[:len(set.sealed):len(set.sealed)], sealed), next)
	l.mu.Unlock()

	a.start(next, l.opts.SegmentBytes)
	l.report()
	l.kick()
	return nil
}
