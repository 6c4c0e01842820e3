package revlog

import (
	"errors"
	"fmt"
	"path"
	"runtime"

	"golang.org/x/sync/errgroup"

	"keelson/internal/vfs"
)

// Open reopens the log as m describes it, with what was dead then, and forgets
// whatever was written or marked after m was captured. Positions come from the sidecars; the active segment
// is read and checked. A damaged or missing sidecar is made again from its
// segment, a damaged segment is an error.
func Open(opts Options, m Manifest) (*Log, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	l := newLog(opts)
	l.mu.nextID = m.NextID
	if err := l.adoptDir(m); err != nil {
		return nil, err
	}
	if err := l.openSegments(m); err != nil {
		var damage *CorruptError
		if errors.As(err, &damage) {
			err = fmt.Errorf("%w; %s", err, repairHint)
		}
		return nil, errors.Join(err, l.closeAll())
	}
	// The spare comes first: making it shows whether the active segment may be
	// mapped.
	l.makeSpare()
	l.mapActive(l.app.file, l.app.limit)
	l.run()
	l.kick() // rebuilt sidecars are to be written
	return l, nil
}

// closeAll gives back the files of an Open that failed.
func (l *Log) closeAll() error {
	var errs []error
	for _, sf := range l.mu.onDisk {
		if sf != nil {
			errs = append(errs, sf.close())
		}
	}
	return errors.Join(errs...)
}

// adoptDir brings the directory into the state m describes, as far as names
// go:
//
//	named by m           stays
//	ID not below NextID  made after m was captured: deleted
//	named by Older       belongs to an older checkpoint: stays until Retain
//	any other segment    the spare of back then, perhaps used since: deleted,
//	                     or left to Retain when Older is not known
//	temporary file, sidecar of the active segment: deleted
func (l *Log) adoptDir(m Manifest) error {
	if err := l.opts.FS.MkdirAll(l.opts.Dir); err != nil {
		return err
	}
	// The directory's own name has to be durable before any file in it can be.
	if !l.opts.NoSync {
		if err := l.opts.FS.SyncDir(path.Dir(l.opts.Dir)); err != nil {
			return err
		}
	}
	names, err := l.opts.FS.List(l.opts.Dir)
	if err != nil {
		return err
	}
	named := map[uint64]SegmentInfo{}
	for _, s := range m.Segments {
		named[s.ID] = s
		l.mu.onDisk[s.ID] = nil
		l.mu.retained[s.ID] = true
	}
	older := map[uint64]bool{}
	for _, o := range l.opts.Older {
		for _, s := range o.Segments {
			older[s.ID] = true
		}
	}
	for _, name := range names {
		id, suffix, ok := parseName(name)
		if !ok {
			continue
		}
		info, isNamed := named[id]
		stale := id >= m.NextID || suffix == sidecarSuffix && isNamed && !info.Sealed ||
			!isNamed && !older[id] && l.opts.Older != nil
		switch {
		case suffix == sidecarSuffix+tempSuffix,
			stale && (suffix == segmentSuffix || suffix == sidecarSuffix):
			if err := l.removeFile(path.Join(l.opts.Dir, name)); err != nil {
				return err
			}
		case suffix == segmentSuffix || suffix == sidecarSuffix:
			l.mu.onDisk[id] = nil
			l.mu.retained[id] = true
		}
	}
	return nil
}

// openSegments opens the files of m, several at a time.
func (l *Log) openSegments(m Manifest) error {
	n := len(m.Segments) - 1
	sealed := make([]*segment, n)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, info := range m.Segments[:n] {
		g.Go(func() (err error) {
			sealed[i], err = l.openSealed(info)
			return err
		})
	}
	g.Go(func() error { return l.openActive(m.active()) })
	if err := g.Wait(); err != nil {
		return err
	}
	l.mu.set = newSet(sealed, l.app.file)
	if l.app.last.IsZero() && n > 0 {
		l.app.last = sealed[n-1].info.Last
	}
	return nil
}

// openFile opens the file of a segment and checks its length and header. The
// log owns it from then on.
func (l *Log) openFile(info SegmentInfo) (sf *segFile, size int64, err error) {
	name := segmentName(l.opts.Dir, info.ID)
	f, err := l.opts.FS.OpenReadWrite(name)
	if err != nil {
		return nil, 0, fmt.Errorf("revlog: a segment of the checkpoint cannot be opened: %w", err)
	}
	sf = &segFile{id: info.ID, name: name, f: f, synced: info.Bytes}
	sf.write.written = info.Bytes
	l.mu.Lock()
	l.mu.onDisk[info.ID] = sf
	l.mu.Unlock()

	if size, err = f.Size(); err != nil {
		return nil, 0, err
	}
	if size < info.Bytes {
		return nil, 0, &CorruptError{File: name, Offset: size, Reason: fmt.Sprintf("the file ends here, the checkpoint says %d bytes", info.Bytes)}
	}
	head := make([]byte, headerBytes)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, 0, err
	}
	if why := checkHeader(head, info.ID); why != "" {
		return nil, 0, &CorruptError{File: name, Reason: why}
	}
	return sf, size, nil
}

// openSealed opens a sealed segment with the help of its sidecar.
func (l *Log) openSealed(info SegmentInfo) (*segment, error) {
	sf, size, err := l.openFile(info)
	if err != nil {
		return nil, err
	}
	if size > info.Bytes { // the cut had not reached the disk
		if err := sf.f.Truncate(info.Bytes); err != nil {
			return nil, err
		}
	}
	g := &segment{info: info}
	g.info.Dead = Dead{}
	g.source = source{file: sf, end: info.Bytes, tailOff: info.Bytes}
	g.tab, err = l.loadTable(info)
	if err == nil {
		sf.finished = true
	} else {
		l.opts.Logger.Warn("sidecar is unusable and is made again from its segment",
			zapFile(sidecarName(l.opts.Dir, info.ID)), zapError(err))
		if g.tab, err = scanTable(sf, info); err != nil {
			return nil, err
		}
	}
	g.dead = restoreDead(&g.source, info.Dead)
	l.mapFile(sf, info.Bytes)
	return g, nil
}

// loadTable reads the position table out of a sidecar.
func (l *Log) loadTable(info SegmentInfo) (table, error) {
	side, err := readSidecar(l.opts.FS, l.opts.Dir, info)
	if err != nil {
		return table{}, err
	}
	tab, err := side.table()
	if err != nil {
		return table{}, err
	}
	return tab, matches(sidecarName(l.opts.Dir, info.ID), &tab, info)
}

// scanTable makes the position table from the segment itself and checks every
// record on the way.
func scanTable(sf *segFile, info SegmentInfo) (table, error) {
	tab := table{pos: make([]position, 0, info.Records)}
	err := walkSegment(sf.f, info.ID, info.Bytes, func(off int64, _ []byte, r *Record) error {
		if !tab.fits(r.Rev.Main) {
			return &CorruptError{File: sf.name, Offset: off, Reason: "revisions are too far apart"}
		}
		tab.add(r.Rev, off)
		return nil
	})
	if err != nil {
		return table{}, err
	}
	return tab, matches(sf.name, &tab, info)
}

// openActive opens the segment to go on with, cuts it to the length the
// checkpoint knows, and gives it its room back.
func (l *Log) openActive(info SegmentInfo) error {
	sf, _, err := l.openFile(info)
	if err != nil {
		return err
	}
	tab, err := scanTable(sf, info)
	if err != nil {
		return err
	}
	if err := sf.f.Truncate(info.Bytes); err != nil {
		return err
	}
	sf.synced = 0 // the cut is not durable
	limit := max(l.opts.SegmentBytes, info.Bytes)
	if err := sf.f.Preallocate(limit); errors.Is(err, vfs.ErrNoSpace) {
		// The next Append goes to the spare segment if that can be made.
		l.opts.Logger.Warn("no room for the rest of the active segment", zapFile(sf.name), zapError(err))
		limit = info.Bytes
	} else if err != nil {
		return err
	}
	l.app = appender{file: sf, tab: tab, tailOff: info.Bytes, limit: limit, last: info.Last}
	src := l.app.source()
	dead := restoreDead(&src, info.Dead)
	l.mu.Lock()
	l.mu.activeDead = dead
	l.mu.Unlock()
	return nil
}
