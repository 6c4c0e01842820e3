package mvcc

import (
	"slices"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/mvcc/keyindex"
	"keelson/internal/revlog"
)

// reader is one consistent state to read from: a View's, or that of a
// transaction in the middle of its work. All fields are set once.
type reader struct {
	log        *revlog.View
	root       keyindex.Root
	rev        int64   // the current revision as this reader sees it
	compactRev int64   // reads below are refused; NeverCompacted
	pending    []Event // changes younger than log, in revision order; only in a transaction
}

// Revision is the current revision of this state.
func (r *reader) Revision() int64 { return r.rev }

// CompactRevision is the revision below which reads are refused, or
// NeverCompacted.
func (r *reader) CompactRevision() int64 { return r.compactRev }

// Keys counts the live keys.
func (r *reader) Keys() int64 { return r.root.Len() }

// Get returns the index entry of a live key at the current revision. It reads
// no record.
func (r *reader) Get(key []byte) (Entry, bool) {
	e, ok := r.root.Get(key)
	if !ok || e.Tombstone {
		return Entry{}, false
	}
	return e, true
}

// KV returns the marshalled KeyValue of a live key at the current revision.
func (r *reader) KV(key []byte) (payload []byte, ok bool, err error) {
	e, ok := r.Get(key)
	if !ok {
		return nil, false, nil
	}
	payload, err = r.payload(e.Mod)
	return payload, err == nil, err
}

// Entries visits the live keys of a range at the current revision, in key
// order, without reading records. The key is valid only during the call.
func (r *reader) Entries(kr base.KeyRange, yield func(key []byte, e Entry) bool) {
	if kr.IsSingle() {
		if e, ok := r.Get(kr.Key); ok {
			yield(kr.Key, e)
		}
		return
	}
	if kr.IsEmpty() {
		return
	}
	lo, hi := kr.Bounds()
	r.root.Scan(lo, hi, yield)
}

// resolve turns the revision of a request into the one to read at.
func (r *reader) resolve(rev int64) (int64, error) {
	switch {
	case rev > r.rev:
		return 0, errs.ErrFutureRev
	case rev <= 0:
		return r.rev, nil
	case rev < r.compactRev:
		return 0, errs.ErrCompacted
	}
	return rev, nil
}

// count counts the keys of a range that are live at rev: O(log n) at the
// current revision, a walk of the range at an older one.
func (r *reader) count(kr base.KeyRange, rev int64) int64 {
	if kr.IsEmpty() {
		return 0
	}
	if kr.IsSingle() {
		if _, ok := r.modAt(kr.Key, rev); ok {
			return 1
		}
		return 0
	}
	lo, hi := kr.Bounds()
	if rev == r.rev {
		return r.root.Count(lo, hi)
	}
	return r.root.CountAt(lo, hi, rev)
}

// modAt finds the put of a key that is live at rev.
func (r *reader) modAt(key []byte, rev int64) (base.Revision, bool) {
	mod, tombstone, ok := r.root.At(key, rev)
	return mod, ok && !tombstone
}

// payload returns the bytes of a record the index names. In a transaction the
// changes of the current batch are not in the log's view yet; they are found
// among the pending events, which hold the same bytes and are sorted by
// revision.
func (r *reader) payload(rev base.Revision) ([]byte, error) {
	if n := len(r.pending); n > 0 && !rev.Less(r.pending[0].Rev) {
		i, ok := slices.BinarySearchFunc(r.pending, rev, func(e Event, rev base.Revision) int {
			return e.Rev.Compare(rev)
		})
		if ok {
			return r.pending[i].KV, nil
		}
	}
	kv, err := r.log.Get(rev)
	if err != nil {
		return nil, readError(rev, err)
	}
	return kv, nil
}
