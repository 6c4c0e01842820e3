package mvcc

import (
	"context"

	"keelson/internal/base"
	"keelson/internal/mvcc/keyindex"
	"keelson/internal/revlog"
	"keelson/internal/wire"
)

// Tx is a write transaction. It cannot be undone: whoever opens one has made
// all checks before. Its changes share one main revision, the current one plus
// one, and take sub revisions in the order they are made; one that changes
// nothing takes no revision. Reads inside it see its own changes and those of
// earlier transactions that are not published yet.
//
// Where the unpublished values come from: the store keeps the events of the
// batch anyway, with the payload bytes and in revision order, so a read of a
// revision younger than the published view is a binary search there (see
// reader.payload). Publishing the log for each transaction would cost an
// allocation and a reference count each time for the same. The index is read
// as it is, for nothing changes it during a read (keyindex.Tree.Peek).
//
// An error of a method is a storage fault; the transaction is then broken and
// the member has to stop.
type Tx struct {
	s    *Store
	open bool
	base int64 // revision before the transaction
	subs int64 // changes made so far
	from int   // len(pending) at Begin
}

// Deleted tells of one key that a DeleteRange ended.
type Deleted struct {
	// Key is heap memory that nobody changes.
	Key []byte
	// Last is the entry the key had.
	Last Entry
}

// Begin opens the transaction. There is one at a time, until End.
func (s *Store) Begin() *Tx {
	s.mustBeBetweenTxs("Begin")
	s.tx = Tx{s: s, open: true, base: s.rev, from: len(s.pending)}
	return &s.tx
}

// End closes the transaction and returns its events, which are part of the
// batch that the next Publish returns.
func (tx *Tx) End() []Event {
	s := tx.s
	tx.mustBeOpen()
	tx.open = false
	s.rev = tx.Rev()
	return s.pending[tx.from:len(s.pending):len(s.pending)]
}

// Changed tells whether the transaction has taken a revision.
func (tx *Tx) Changed() bool { return tx.subs > 0 }

// Rev is the current revision as the transaction sees it: its own once it has
// changed something, before that the old one.
func (tx *Tx) Rev() int64 {
	if tx.subs > 0 {
		return tx.base + 1
	}
	return tx.base
}

// BaseRev is the revision before the transaction.
func (tx *Tx) BaseRev() int64 { return tx.base }

// CompactRevision is the revision below which reads are refused, or
// NeverCompacted.
func (tx *Tx) CompactRevision() int64 { return tx.s.compactRev }

// Put stores a value under a key. Key and value are copied.
func (tx *Tx) Put(key, value []byte, lease base.LeaseID) error {
	tx.mustBeOpen()
	s := tx.s
	prev, existed := s.tree.Get(key)
	m := revlog.Meta{
		Rev:     tx.next(),
		Prev:    prev.Mod,
		Create:  tx.base + 1,
		Version: 1,
		Lease:   lease,
		Key:     key,
	}
	if existed && !prev.Tombstone {
		m.Create = prev.Create
		m.Version = prev.Version + 1
	}
	s.buf = wire.AppendKeyValue(s.buf[:0], key, m.Create, m.Rev.Main, m.Version, value, lease)
	return tx.change(&m)
}

// Delete ends a key. It tells whether the key was live; a missing key is no
// change.
func (tx *Tx) Delete(key []byte) (bool, error) {
	tx.mustBeOpen()
	prev, ok := tx.Get(key)
	if !ok {
		return false, nil
	}
	return true, tx.tombstone(key, prev.Mod)
}

// DeleteRange ends the live keys of a range in key order.
func (tx *Tx) DeleteRange(kr base.KeyRange) ([]Deleted, error) {
	tx.mustBeOpen()
	var (
		gone []Deleted
		err  error
	)
	r := tx.reader()
	if !kr.IsSingle() {
		r.root = tx.s.tree.Freeze() // deleting must not change what is walked
	}
	r.Entries(kr, func(key []byte, e Entry) bool {
		if err = tx.tombstone(key, e.Mod); err != nil {
			return false
		}
		gone = append(gone, Deleted{Key: tx.s.pending[len(tx.s.pending)-1].Key, Last: e})
		return true
	})
	return gone, err
}

// tombstone appends the record of a delete.
func (tx *Tx) tombstone(key []byte, prev base.Revision) error {
	s := tx.s
	m := revlog.Meta{Rev: tx.next(), Prev: prev, Tombstone: true, Key: key}
	s.buf = wire.AppendKeyValue(s.buf[:0], key, 0, 0, 0, nil, 0)
	return tx.change(&m)
}

func (tx *Tx) next() base.Revision {
	return base.Revision{Main: tx.base + 1, Sub: tx.subs}
}

// change makes the record in s.buf the latest version of its key: bytes to the
// log, revision to the index, event to the batch. The event aliases the log's
// copy of the bytes, not the caller's.
func (tx *Tx) change(m *revlog.Meta) error {
	s := tx.s
	stored, err := s.log.Append(m, s.buf)
	if err != nil {
		return err
	}
	ev := Event{Delete: m.Tombstone, Rev: m.Rev, Prev: shownPrev(m, s.tree.Peek(), s.compactRev), Key: keyOf(stored), KV: stored}
	s.tree.Put(m.Key, keyindex.Entry{
		Mod:       m.Rev,
		Create:    m.Create,
		Version:   m.Version,
		Lease:     m.Lease,
		Tombstone: m.Tombstone,
	})
	s.pending = append(s.pending, ev)
	s.dirty = true
	tx.subs++
	return nil
}

// Get returns the index entry of a live key. It reads no record.
func (tx *Tx) Get(key []byte) (Entry, bool) {
	e, ok := tx.s.tree.Get(key)
	if !ok || e.Tombstone {
		return Entry{}, false
	}
	return e, true
}

// KV returns the marshalled KeyValue of a live key, valid until the next
// Publish.
func (tx *Tx) KV(key []byte) (payload []byte, ok bool, err error) {
	e, ok := tx.Get(key)
	if !ok {
		return nil, false, nil
	}
	r := tx.reader()
	payload, err = r.payload(e.Mod)
	return payload, err == nil, err
}

// Entries visits the live keys of a range, see reader.Entries; yield must not
// change anything.
func (tx *Tx) Entries(kr base.KeyRange, yield func(key []byte, e Entry) bool) {
	r := tx.reader()
	r.Entries(kr, yield)
}

// Range reads a range, see reader.Range. The result is valid until the next
// Publish.
func (tx *Tx) Range(o RangeOptions) (RangeResult, error) {
	r := tx.reader()
	return r.Range(context.Background(), o)
}

// reader is the state as the transaction has made it so far, valid until its
// next change.
func (tx *Tx) reader() reader {
	tx.mustBeOpen()
	s := tx.s
	return reader{
		log:        s.view.Load().log,
		root:       s.tree.Peek(),
		rev:        tx.Rev(),
		compactRev: s.compactRev,
		pending:    s.pending,
	}
}

func (tx *Tx) mustBeOpen() {
	if !tx.open {
		panic("mvcc: transaction used after End")
	}
}
