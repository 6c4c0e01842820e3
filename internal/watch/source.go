package watch

import "keelson/internal/base"

// Event is one change of one key. The hub reads Key and KV until the change is
// queued for the last watcher and never changes them.
type Event struct {
	Delete bool
	Rev    base.Revision
	Prev   base.Revision // the record that held the key's value at Rev.Main-1; zero for a creation
	Key    []byte
	KV     []byte // the marshalled mvccpb.KeyValue; of a delete it is not looked at
}

// Batch is what one round of the applier changed.
type Batch struct {
	// Revision is the store's revision after the batch. Every revision since
	// the previous batch has at least one event; where that is not so (a
	// snapshot replaced the store) the hub reads the difference from the Source.
	Revision int64
	Events   []Event // ascending by Rev; the slice belongs to the hub
}

// Source is the store's history.
type Source interface {
	// Acquire returns the newest published view. It must not block: the hub
	// calls it with its lock held. Anything handed to Publish is visible in
	// every view acquired afterwards.
	Acquire() SourceView
}

// SourceView is an immutable snapshot of history: what it showed when it was
// acquired it shows until Release, also while compaction goes on. One
// goroutine uses it at a time.
type SourceView interface {
	Revision() int64
	// CompactRevision is -1 if history was never compacted.
	CompactRevision() int64
	// Scan yields the changes whose main revision is in [from, to], ascending,
	// until yield returns false. With from >= CompactRevision none is missing.
	// An event's bytes are valid during yield only.
	Scan(from, to int64, yield func(Event) bool) error
	// KVAt returns the marshalled KeyValue written at rev, valid until Release;
	// false if it was compacted or never existed. It may be called from inside
	// a yield.
	KVAt(rev base.Revision) ([]byte, bool, error)
	// Release must not block.
	Release()
}
