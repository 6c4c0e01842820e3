package revlog

import (
	"fmt"
	"sync/atomic"

	"keelson/internal/base"
)

// View is the log as it was when it was published. It never changes, and any
// goroutine may read it while it holds a reference. What a view returns may
// alias mapped files: it is valid until the reference is released.
type View struct {
	log    *Log
	set    *segmentSet
	active source
	info   SegmentInfo // of active
	refs   atomic.Int64
}

// Publish returns a view of everything appended so far, with one reference
// that the caller owns. Applier only.
func (l *Log) Publish() *View {
	v := &View{log: l, active: l.app.source(), info: l.app.info(false)}
	v.refs.Store(1)
	l.report()
	l.mu.Lock()
	v.set = l.mu.set
	v.set.refs++
	l.mu.Unlock()
	return v
}

// report shows the size of the active segment to Stats.
func (l *Log) report() {
	l.reported.bytes.Store(l.app.end())
	l.reported.records.Store(int64(len(l.app.tab.pos)))
}

// TryRef takes a reference unless the last one is gone already.
func (v *View) TryRef() bool {
	for {
		n := v.refs.Load()
		if n <= 0 {
			return false
		}
		if v.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives up a reference. With the last one the files that only this
// view kept may be closed and deleted.
func (v *View) Release() {
	n := v.refs.Add(-1)
	if n > 0 {
		return
	}
	if n < 0 {
		panic("revlog: view released more often than referenced")
	}
	v.log.releaseSet(v.set)
}

// Get returns the payload of the record of rev. The error is ErrNotFound when
// the view has none, a *CorruptError when the bytes are damaged.
func (v *View) Get(rev base.Revision) ([]byte, error) {
	var r Record
	if err := v.read(rev, &r); err != nil {
		return nil, err
	}
	return r.KV, nil
}

// Record is Get with the Meta.
func (v *View) Record(rev base.Revision) (Record, error) {
	var r Record
	err := v.read(rev, &r)
	return r, err
}

func (v *View) read(rev base.Revision, r *Record) error {
	src := &v.active
	if v.info.Records == 0 || rev.Less(v.info.First) {
		g := v.set.lowerBound(rev)
		if g == len(v.set.sealed) {
			return ErrNotFound
		}
		src = &v.set.sealed[g].source
	}
	i, ok := src.tab.find(rev)
	if !ok {
		return ErrNotFound
	}
	return src.record(i, r)
}

// Scan yields the records from revision from on and below to, in revision
// order, until yield returns false. Dead records that are not yet reclaimed
// are among them.
func (v *View) Scan(from, to base.Revision, yield func(r Record) bool) error {
	if !from.Less(to) {
		return nil
	}
	for g := v.set.lowerBound(from); g < len(v.set.sealed); g++ {
		src := &v.set.sealed[g].source
		if !src.tab.first().Less(to) {
			return nil
		}
		if more, err := src.scan(src.tab.lowerBound(from), to, yield); !more {
			return err
		}
	}
	_, err := v.active.scan(v.active.tab.lowerBound(from), to, yield)
	return err
}

// sources lists the segments in revision order.
func (v *View) sources() []*source {
	all := make([]*source, 0, len(v.set.sealed)+1)
	for _, g := range v.set.sealed {
		all = append(all, &g.source)
	}
	return append(all, &v.active)
}

// manifest names the segments of the view and what is dead in each.
func (v *View) manifest(nextID uint64, dead []marks) Manifest {
	m := Manifest{NextID: nextID, Segments: make([]SegmentInfo, 0, len(v.set.sealed)+1)}
	for _, g := range v.set.sealed {
		m.Segments = append(m.Segments, g.info)
	}
	m.Segments = append(m.Segments, v.info)
	for i, d := range dead {
		m.Segments[i].Dead = Dead{count: d.count, words: d.words}
	}
	if err := m.check(); err != nil {
		panic(fmt.Sprintf("revlog: the log is out of order: %v", err))
	}
	return m
}
