package revlog

import (
	"context"
	"errors"
	"math"

	"keelson/internal/vfs"
)

// Reclaim frees the bytes of dead records in one step: it rewrites the sealed
// segment with the largest share of them, if that is at least minDeadShare,
// together with small neighbours; failing that it merges neighbouring small
// segments. It reports whether it changed anything; calling until it does not
// is defragmentation (after Rotate, for the active segment). The old files are
// deleted once the caller has taken a checkpoint, published a view and called
// Retain.
//
// limiter, if not nil, is told before each transfer how many bytes are about
// to be read or written, and may wait. A full disk is reported as
// vfs.ErrNoSpace and changes nothing, nor does a cancelled ctx.
func (l *Log) Reclaim(ctx context.Context, minDeadShare float64, limiter func(bytes int)) (rewrote bool, err error) {
	l.reclaiming.Lock()
	defer l.reclaiming.Unlock()
	if err := l.failed(); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	set := l.acquireSet()
	defer l.releaseSet(set)
	run := l.chooseRun(set, minDeadShare)
	if run.n == 0 {
		return false, nil
	}
	if limiter == nil {
		limiter = func(int) {}
	}
	out, err := l.rewrite(ctx, set.sealed[run.from:run.from+run.n], run.dead, limiter)
	if err != nil {
		if errors.Is(err, vfs.ErrNoSpace) || ctx.Err() != nil {
			return false, err
		}
		var damage *CorruptError
		if errors.As(err, &damage) {
			// Records that were fine are still served; reading the damaged one
			// says so as well.
			return false, err
		}
		return false, l.fail(err)
	}
	l.replace(set.sealed[run.from:run.from+run.n], run.dead, out)
	return true, nil
}

// run is a stretch of sealed segments to be made one, with what of each was
// dead at the time of choosing.
type run struct {
	from, n int
	dead    []marks
}

// liveBytes is what is left of a segment without header and dead records.
func liveBytes(g *segment, d *marks) int64 { return g.info.Bytes - headerBytes - d.bytes }

// chooseRun picks the segments to rewrite; none if there is nothing to gain.
func (l *Log) chooseRun(set *segmentSet, minDeadShare float64) run {
	l.mu.Lock()
	dead := make([]marks, len(set.sealed)) // the numbers will do
	for i, g := range set.sealed {
		dead[i] = marks{count: g.dead.count, bytes: g.dead.bytes}
	}
	l.mu.Unlock()

	from, n := l.mostDead(set.sealed, dead, minDeadShare), 1
	switch {
	case from >= 0 && liveBytes(set.sealed[from], &dead[from]) == 0: // only to be dropped
	case from >= 0:
		from, n = l.widen(set.sealed, dead, from)
	default:
		from, n = l.smallRun(set.sealed, dead)
	}
	if n == 0 {
		return run{}
	}
	r := run{from: from, n: n}
	l.mu.Lock()
	for _, g := range set.sealed[from : from+n] {
		r.dead = append(r.dead, g.dead.snapshot())
	}
	l.mu.Unlock()
	return r
}

// mostDead is the segment with the largest share of dead bytes; -1 if none
// reaches least.
func (l *Log) mostDead(sealed []*segment, dead []marks, least float64) int {
	best, bestShare := -1, 0.0
	for i, g := range sealed {
		share := float64(dead[i].bytes) / float64(g.info.Bytes-headerBytes)
		if share > bestShare && share >= least {
			best, bestShare = i, share
		}
	}
	return best
}

// widen extends the choice of segment i by small neighbours as far as the
// result fits one segment.
func (l *Log) widen(sealed []*segment, dead []marks, i int) (from, n int) {
	small := l.opts.SegmentBytes / 4
	total := headerBytes + liveBytes(sealed[i], &dead[i])
	fits := func(k, first, last int) bool {
		live := liveBytes(sealed[k], &dead[k])
		return live <= small && total+live <= l.opts.SegmentBytes &&
			sealed[last].info.Last.Main-sealed[first].info.First.Main <= math.MaxUint32
	}
	from, to := i, i+1
	for to < len(sealed) && fits(to, from, to) {
		total += liveBytes(sealed[to], &dead[to])
		to++
	}
	for from > 0 && fits(from-1, from-1, to-1) {
		from--
		total += liveBytes(sealed[from], &dead[from])
	}
	return from, to - from
}

// smallRun finds neighbouring small segments; n is 0 if there are none.
func (l *Log) smallRun(sealed []*segment, dead []marks) (from, n int) {
	for i := range sealed {
		if liveBytes(sealed[i], &dead[i]) > l.opts.SegmentBytes/4 {
			continue
		}
		if from, n := l.widen(sealed, dead, i); n > 1 {
			return from, n
		}
	}
	return 0, 0
}

// rewrite copies the live records of a run into a new segment, durable and
// with a sidecar. It returns nil when none is live.
func (l *Log) rewrite(ctx context.Context, run []*segment, dead []marks, limiter func(int)) (*segment, error) {
	size := int64(headerBytes)
	for i, g := range run {
		size += liveBytes(g, &dead[i])
	}
	if size == headerBytes {
		return nil, nil
	}
	sf, err := l.newFile(size)
	if err != nil {
		return nil, err
	}
	c := copier{ctx: ctx, file: sf, limiter: limiter, off: headerBytes, side: newSidecarBuilder(sf.id)}
	if err := l.fill(&c, run, dead); err != nil {
		return nil, errors.Join(err, sf.close(), l.removeSegment(sf.id))
	}
	sf.write.written, sf.synced, sf.finished = size, size, true
	l.mapFile(sf, size)
	return &segment{
		source: source{file: sf, tab: c.side.tab, end: size, tailOff: size},
		info: SegmentInfo{
			ID: sf.id, Bytes: size, Records: int64(len(c.side.tab.pos)), Sealed: true,
			First: c.side.tab.first(), Last: c.side.tab.last(),
		},
		dead: &deadSet{},
	}, nil
}

// fill writes the new segment and its sidecar and makes both durable.
func (l *Log) fill(c *copier, run []*segment, dead []marks) error {
	for i, g := range run {
		if err := c.copySegment(g, &dead[i]); err != nil {
			return err
		}
	}
	if err := c.flush(); err != nil {
		return err
	}
	if err := l.syncFile(c.file.f); err != nil {
		return err
	}
	return l.writeSidecar(c.file.id, c.side.finish())
}

// copier writes records to a new segment, unchanged and with their checksums.
type copier struct {
	ctx     context.Context
	file    *segFile
	limiter func(int)
	buf     []byte
	off     int64 // of buf in the file
	side    *sidecarBuilder
}

// copySegment copies the records of g that d does not mark. Every record is
// checked, the dead ones too.
func (c *copier) copySegment(g *segment, d *marks) error {
	i, unread := 0, int64(0)
	return walkSegment(g.file.f, g.info.ID, g.info.Bytes, func(off int64, raw []byte, r *Record) error {
		if off >= unread { // the walk has just read so much
			c.limiter(int(min(walkBytes, g.info.Bytes-off)))
			unread = off + walkBytes
			if err := c.ctx.Err(); err != nil {
				return err
			}
		}
		i++
		if d.has(i - 1) {
			return nil
		}
		if len(c.buf)+len(raw) > cap(c.buf) {
			if err := c.flush(); err != nil {
				return err
			}
			if cap(c.buf) < len(raw) {
				c.buf = make([]byte, 0, max(walkBytes, len(raw)))
			}
		}
		c.buf = append(c.buf, raw...)
		c.side.add(&r.Meta, int64(len(raw)))
		return nil
	})
}

func (c *copier) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	c.limiter(len(c.buf))
	if _, err := c.file.f.WriteAt(c.buf, c.off); err != nil {
		return err
	}
	vfs.StartWriteback(c.file.f, c.off, int64(len(c.buf)))
	c.off += int64(len(c.buf))
	c.buf = c.buf[:0]
	return nil
}

// replace installs out for the run. Marks that arrived since dead was copied
// move over.
func (l *Log) replace(run []*segment, dead []marks, out *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set := l.mu.set
	// Segments were sealed behind the run meanwhile; only Reclaim changes what
	// is in front of them, and there is one at a time.
	from := set.lowerBound(run[0].info.First)
	if set.sealed[from] != run[0] || set.sealed[from+len(run)-1] != run[len(run)-1] {
		panic("revlog: the segments changed under a rewrite")
	}
	for i, g := range run {
		g.dead.since(&dead[i], func(k int) { markIn(&out.source, out.dead, g.tab.rev(k)) })
	}
	if out != nil {
		l.mu.onDisk[out.file.id] = out.file
	}
	l.installLocked(set.replaced(from, len(run), out), set.active)
}
