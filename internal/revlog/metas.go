package revlog

import (
	"errors"
	"runtime"
	"sync"

	"keelson/internal/base"
)

const (
	// metaBatch is the length of the batches of Metas: 350 KB of Meta, enough
	// that handing them over does not count.
	metaBatch = 4096
	// metasAhead is how many batches of a segment may wait to be consumed.
	metasAhead = 4
	// keySlabBytes is the size of a slab for keys read out of a segment.
	keySlabBytes = 256 << 10
)

// Metas yields the Meta of every record that is not dead, in revision order. Sidecars are read and decoded ahead of the consumer,
// several at a time. A batch is valid until yield returns; the keys in it stay
// valid. An error of yield ends the walk. Applier only, or before there is one.
func (l *Log) Metas(yield func(batch []Meta) error) error {
	v := l.Publish()
	defer v.Release()
	l.mu.Lock()
	dead := l.deadLocked(v)
	l.mu.Unlock()
	r := metaReader{
		log:    l,
		quit:   make(chan struct{}),
		free:   make(chan []Meta, metasAhead*2),
		active: v.info,
	}
	defer r.workers.Wait()
	defer close(r.quit)

	feeds := r.start(v, dead)
	for _, feed := range feeds {
		for b := range feed {
			if b.err != nil {
				return b.err
			}
			if err := yield(b.metas); err != nil {
				return err
			}
			r.recycle(b.metas)
		}
	}
	return nil
}

// metaReader is one run of Metas.
type metaReader struct {
	log     *Log
	active  SegmentInfo
	quit    chan struct{} // closed when the consumer is gone
	free    chan []Meta   // batches to use again
	workers sync.WaitGroup
}

type metaItem struct {
	metas []Meta
	err   error
}

// start reads the segments of v, each into its feed. Segments get their turn
// in order, so the one being consumed is always among those being read.
func (r *metaReader) start(v *View, dead []marks) []chan metaItem {
	sources := v.sources()
	feeds := make([]chan metaItem, len(sources))
	for i := range feeds {
		feeds[i] = make(chan metaItem, metasAhead)
	}
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	r.workers.Go(func() {
		for i, src := range sources {
			select {
			case turns <- struct{}{}:
			case <-r.quit:
				return
			}
			r.workers.Go(func() {
				info := r.active
				if i < len(v.set.sealed) {
					info = v.set.sealed[i].info
				}
				r.read(src, info, &dead[i], feeds[i])
				close(feeds[i])
				<-turns
			})
		}
	})
	return feeds
}

// read sends the metas of one segment.
func (r *metaReader) read(src *source, info SegmentInfo, dead *marks, feed chan<- metaItem) {
	if dead.count == info.Records {
		return
	}
	var side *sidecar
	if info.Sealed {
		// One that is missing or damaged says nothing its segment does not.
		side, _ = readSidecar(r.log.opts.FS, r.log.opts.Dir, info)
	}
	var err error
	if side != nil {
		err = r.fromSidecar(src, side, dead, feed)
	} else {
		err = r.fromSegment(src, dead, feed)
	}
	if err != nil && !errors.Is(err, errQuit) {
		r.send(feed, metaItem{err: err})
	}
}

var errQuit = errors.New("the consumer is gone")

func (r *metaReader) fromSidecar(src *source, side *sidecar, dead *marks, feed chan<- metaItem) error {
	for i := 0; side.left > 0; {
		batch := r.batch(side.left)
		for ; side.left > 0 && len(batch) < cap(batch); i++ {
			n := len(batch)
			batch = batch[:n+1]
			if _, err := side.next(&batch[n]); err != nil {
				return &CorruptError{File: sidecarName(r.log.opts.Dir, src.file.id), Reason: err.Error()}
			}
			if dead.has(i) {
				batch = batch[:n]
			}
		}
		if len(batch) > 0 && !r.send(feed, metaItem{metas: batch}) {
			return errQuit
		}
	}
	return nil
}

// fromSegment reads the records themselves; their keys move to slabs.
func (r *metaReader) fromSegment(src *source, dead *marks, feed chan<- metaItem) error {
	var (
		batch = r.batch(int64(len(src.tab.pos)))
		slab  []byte
		gone  bool
		next  int // index of the next record
	)
	all := base.Revision{Main: 1<<63 - 1, Sub: 1<<63 - 1}
	_, err := src.scan(0, all, func(rec Record) bool {
		if next++; dead.has(next - 1) {
			return true
		}
		m := rec.Meta
		if len(m.Key) > cap(slab)-len(slab) {
			slab = make([]byte, 0, max(min(keySlabBytes, int(src.end)), len(m.Key)))
		}
		at := len(slab)
		slab = append(slab, m.Key...)
		m.Key = slab[at:len(slab):len(slab)]
		batch = append(batch, m)
		if len(batch) == cap(batch) {
			gone = !r.send(feed, metaItem{metas: batch})
			batch = r.batch(metaBatch)
		}
		return !gone
	})
	switch {
	case err != nil:
		return err
	case gone || len(batch) > 0 && !r.send(feed, metaItem{metas: batch}):
		return errQuit
	}
	return nil
}

// batch returns an empty batch for up to want metas, or some of them.
func (r *metaReader) batch(want int64) []Meta {
	select {
	case b := <-r.free:
		return b[:0]
	default:
		return make([]Meta, 0, max(1, min(want, metaBatch)))
	}
}

func (r *metaReader) recycle(b []Meta) {
	select {
	case r.free <- b:
	default:
	}
}

func (r *metaReader) send(feed chan<- metaItem, b metaItem) bool {
	select {
	case feed <- b:
		return true
	case <-r.quit:
		return false
	}
}
