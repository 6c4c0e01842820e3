package revlog

import (
	"slices"
	"sort"

	"keelson/internal/base"
)

// segment is a sealed segment.
type segment struct {
	source
	info SegmentInfo
	dead *deadSet // guarded by Log.mu
}

// segmentSet is the segments at one moment: the sealed ones in revision order
// and the active one behind them. It is immutable but for refs and changes by
// being replaced; a View holds the set it was published with and through it
// the files.
//
//	Log.mu.set --> [sealed 1][sealed 2][sealed 3] active
//	                            |  Reclaim          | rotate
//	older View --> [sealed 1][  old 2 ][sealed 3] active
type segmentSet struct {
	sealed []*segment
	active *segFile
	refs   int // the log and the views; guarded by Log.mu
}

// newSet makes a set with one reference that references its files. Log.mu is
// held, or the log is not yet shared.
func newSet(sealed []*segment, active *segFile) *segmentSet {
	for _, s := range sealed {
		s.file.refs++
	}
	active.refs++
	return &segmentSet{sealed: sealed, active: active, refs: 1}
}

// installLocked replaces the current set.
func (l *Log) installLocked(sealed []*segment, active *segFile) {
	old := l.mu.set
	l.mu.set = newSet(sealed, active)
	l.dropSetLocked(old)
}

// dropSetLocked gives up one reference. Files that no set names any more are
// left for tidy.
func (l *Log) dropSetLocked(s *segmentSet) {
	s.refs--
	if s.refs > 0 {
		return
	}
	drop := func(f *segFile) {
		f.refs--
		if f.refs == 0 {
			l.mu.idle = append(l.mu.idle, f)
		}
	}
	for _, g := range s.sealed {
		drop(g.file)
	}
	drop(s.active)
}

// lowerBound is the index of the first sealed segment that may hold revisions
// at or above r.
func (s *segmentSet) lowerBound(r base.Revision) int {
	return sort.Search(len(s.sealed), func(i int) bool { return !s.sealed[i].info.Last.Less(r) })
}

// replaced is the sealed segments with the run that begins at from exchanged
// for out, which may be nil.
func (s *segmentSet) replaced(from, n int, out *segment) []*segment {
	sealed := slices.Clone(s.sealed[:from])
	if out != nil {
		sealed = append(sealed, out)
	}
	return append(sealed, s.sealed[from+n:]...)
}
