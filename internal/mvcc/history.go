package mvcc

import (
	"errors"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/mvcc/keyindex"
	"keelson/internal/revlog"
)

// Scan visits the changes with from <= main <= to in revision order: the history
// that watches replay. It needs from >= CompactRevision (errs.ErrCompacted);
// the part of the history above is complete. Bytes are valid until Release.
func (v *View) Scan(from, to int64, yield func(Event) bool) error {
	if from < v.compactRev {
		return errs.ErrCompacted
	}
	from, to = max(from, 0), min(to, v.rev)
	if from > to {
		return nil
	}
	return v.log.Scan(base.Revision{Main: from}, base.Revision{Main: to + 1}, func(r revlog.Record) bool {
		// At exactly the compact revision a version may be dead already
		// (put and deleted in one transaction); it may be gone tomorrow,
		// so it is not shown today.
		if r.Rev.Main <= v.compactRev && !v.retains(&r.Meta) {
			return true
		}
		return yield(Event{
			Delete: r.Tombstone,
			Rev:    r.Rev,
			Prev:   shownPrev(&r.Meta, v.root, v.compactRev),
			Key:    keyOf(r.KV),
			KV:     r.KV,
		})
	})
}

// shownPrev finds the record that prev_kv shows for a change: the version of
// the key at the revision before. Nearly always that is the record it
// supersedes, or none. The index is asked only when the key was changed twice
// in one transaction (a delete, and a put before or after it).
func shownPrev(m *revlog.Meta, root keyindex.Root, compactRev int64) base.Revision {
	switch {
	case !m.Tombstone && m.Create == m.Rev.Main:
		return base.Revision{} // a creation never shows one
	case m.Rev.Main-1 < compactRev:
		return base.Revision{}
	case m.Prev.Main < m.Rev.Main:
		return m.Prev
	}
	prev, tombstone, ok := root.At(m.Key, m.Rev.Main-1)
	if !ok || tombstone {
		return base.Revision{}
	}
	return prev
}

// KVAt returns the payload of the put at rev, as Event.Prev names it. It is
// false when the log no longer holds the record; which compacted records it
// still holds depends on reclaiming, so ask only for what Scan of this view
// named, or for what is above CompactRevision.
func (v *View) KVAt(rev base.Revision) (payload []byte, ok bool, err error) {
	if rev.IsZero() {
		return nil, false, nil
	}
	payload, err = v.log.Get(rev)
	switch {
	case err == nil:
		return payload, true, nil
	case errors.Is(err, revlog.ErrNotFound):
		return nil, false, nil
	}
	return nil, false, readError(rev, err)
}

// Records visits every record that the present compact revision retains, in
// revision order: the content of etcd's "key" bucket after the compaction has
// finished, whether or not ours has. Bytes are valid until Release.
func (v *View) Records(yield func(r revlog.Record) bool) error {
	return v.log.Scan(base.Revision{}, base.Revision{Main: v.rev + 1}, func(r revlog.Record) bool {
		if r.Rev.Main <= v.compactRev && !v.retains(&r.Meta) {
			return true
		}
		return yield(r)
	})
}

// retains tells whether the compaction at v.compactRev keeps a record that is
// not above it: the newest version of its key there, if it is a put, or a
// tombstone at exactly that revision.
func (v *View) retains(m *revlog.Meta) bool {
	newest, tombstone, ok := v.root.At(m.Key, v.compactRev)
	return ok && newest == m.Rev && (!tombstone || m.Rev.Main == v.compactRev)
}
