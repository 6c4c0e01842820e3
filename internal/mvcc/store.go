package mvcc

import (
	"sync/atomic"

	"go.uber.org/zap"

	"keelson/internal/base"
	"keelson/internal/mvcc/keyindex"
	"keelson/internal/revlog"
)

// NeverCompacted is the compact revision of a store that was never compacted.
// It differs from 0: a first compaction at revision 0 is accepted.
const NeverCompacted int64 = -1

// Entry is what the index knows of the latest version of a key.
type Entry = keyindex.Entry

// Config holds what a Store is built from.
type Config struct {
	// Log holds the records. The store is its only appender; the owner of
	// the log closes it after the store.
	Log    *revlog.Log
	Logger *zap.Logger
	// HashMaxBytes bounds the work of compaction hashes: with more live bytes
	// than this in the log no hash is computed. 0 means no bound.
	HashMaxBytes int64
}

// Position is the part of a checkpoint that belongs to the store.
type Position struct {
	// Revision is the store's current revision, at least 1.
	Revision int64
	// CompactRev is the last compaction whose physical work has finished.
	CompactRev int64
	// Scheduled is the last compaction accepted. Above CompactRev it is
	// unfinished and goes on after Open; reads already obey it.
	Scheduled int64
	// HashCache is what Capture made of the cached compaction hashes; nil is none.
	HashCache []byte
}

// EmptyPosition is where a new store starts.
func EmptyPosition() Position {
	return Position{Revision: 1, CompactRev: NeverCompacted, Scheduled: NeverCompacted}
}

// Event is one change of one key. Its layout is watch.Event's.
type Event struct {
	// Delete is false for a put.
	Delete bool
	Rev    base.Revision
	// Prev is the record that prev_kv shows: the key's version at revision
	// Rev.Main-1. Zero for a creation, and when that revision is compacted.
	Prev base.Revision
	// Key is a part of KV.
	Key []byte
	// KV is the record's payload; that of a delete has only the key, the
	// mod_revision of the event is Rev.Main.
	KV []byte
}

// Batch is what one Publish made visible.
type Batch struct {
	// Revision is the store's revision after the batch.
	Revision int64
	// Events are in revision order. They and their bytes are read-only and
	// belong to whoever holds them; the store keeps no reference.
	Events []Event
}

// Store is the key space of one member.
type Store struct {
	// Set once.
	cfg  Config
	log  *revlog.Log
	dead func(base.Revision) // what the index drops; see compact.go

	// Any goroutine. view holds one reference for the store; nil once closed.
	view   atomic.Pointer[View]
	hashes *hashCache

	// Owned by the applier.
	tree       *keyindex.Tree
	rev        int64   // of the last change that ended
	compactRev int64   // logical; reads below are refused
	finished   int64   // physical; nothing below it is left to remove
	pending    []Event // since the last Publish, in revision order; payloads stay readable by reader.payload
	dirty      bool    // the next Publish needs a new view
	tx         Tx      // the only one, reused
	buf        []byte  // a payload being built
	compaction compaction
}

// View returns the published view with a reference for the caller, who must
// Release it. It takes no lock and never waits: it retries only when a Publish
// slipped in between. The store must not be closed.
func (s *Store) View() *View {
	for {
		v := s.view.Load()
		if v == nil {
			panic("mvcc: View after Close")
		}
		if v.tryRef() {
			return v
		}
	}
}

// Publish makes everything since the last Publish visible to View, at once, and
// returns its events. Only between transactions.
func (s *Store) Publish() Batch {
	s.mustBeBetweenTxs("Publish")
	if s.dirty {
		s.installView()
	}
	b := Batch{Revision: s.rev, Events: s.pending}
	// The events now belong to the caller. The next batch is likely of the
	// same size, and growing a slice of events copies them several times.
	s.pending = nil
	if n := len(b.Events); n > 0 {
		s.pending = make([]Event, 0, min(n, maxEventsAhead))
	}
	return b
}

// Renew makes the next Publish install a new view even if nothing changes, so
// that files which revlog's Reclaim has replaced are let go on an idle member.
func (s *Store) Renew() { s.dirty = true }

// maxEventsAhead bounds the room kept for the next batch (96 bytes an event), so
// that one huge transaction is not paid for twice.
const maxEventsAhead = 1024

// installView replaces the published view by one of the present state.
func (s *Store) installView() {
	v := &View{reader: reader{
		log:        s.log.Publish(),
		root:       s.tree.Freeze(),
		rev:        s.rev,
		compactRev: s.compactRev,
	}}
	v.refs.Store(1)
	s.dirty = false
	if old := s.view.Swap(v); old != nil {
		old.Release()
	}
}

// Capture returns the position to store with the log's manifest of the same
// moment: after Publish, before the next Begin.
func (s *Store) Capture() Position {
	s.mustBeBetweenBatches("Capture")
	return Position{
		Revision:   s.rev,
		CompactRev: s.finished,
		Scheduled:  s.compactRev,
		HashCache:  s.hashes.encode(),
	}
}

// Revision is the store's revision, unpublished changes included. Applier only.
func (s *Store) Revision() int64 { return s.rev }

// CompactRevision is the last accepted compaction, published or not. Applier
// only; readers ask their View.
func (s *Store) CompactRevision() int64 { return s.compactRev }

// Close cancels the hash under way and drops the published view. Readers and
// the applier must have ended; the log is closed by its owner afterwards.
func (s *Store) Close() {
	s.hashes.close()
	if v := s.view.Swap(nil); v != nil {
		v.Release()
	}
}

func (s *Store) mustBeBetweenTxs(op string) {
	if s.tx.open {
		panic("mvcc: " + op + " inside a transaction")
	}
}

func (s *Store) mustBeBetweenBatches(op string) {
	s.mustBeBetweenTxs(op)
	if len(s.pending) > 0 {
		panic("mvcc: " + op + " before Publish of the changes made")
	}
}
