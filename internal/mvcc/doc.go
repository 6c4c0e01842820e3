// Package mvcc is the multi-version key space: every change takes a revision,
// and a range may be read as it was at any revision that is not compacted.
//
// It joins two lower parts and adds the rules of the v3 API. The revision log
// (package revlog) holds the values by revision, on disk. The key index
// (package mvcc/keyindex) says in memory which revision of which key is which,
// so that a Put, a Delete, a count and a compare never read the disk.
//
//	        Begin .. Put/Delete/Range .. End   (many per batch)
//	applier ------------------------------------------------> Publish
//	            | revlog.Append  (payload)                       |
//	            | keyindex.Put   (revision)                      v
//	            | pending        (event)             *View: log view, index root,
//	                                                  revision, compact revision
//	readers  Store.View() -> Range, Scan, HashKV -> Release
//
// # Promises
//
// One applier goroutine calls Begin, the methods of Tx, Publish, Compact,
// CompactStep and Capture; everything else may be called from any goroutine.
// Store.View takes no lock. A View is immutable and complete: the whole of some
// batch and nothing of the next. What it shows does not depend on compactions
// that come later, however long it is held; it costs the files and index nodes
// that only it still needs. Bytes handed out by a View are valid until its
// Release. Bytes of an Event from Publish are heap memory that nobody changes.
//
// Results depend on the sequence of calls only, never on time, on the progress
// of a compaction, or on what was reclaimed: two members that applied the same
// commands answer every read and HashKV alike.
//
// # Left to others
//
// Leases, permissions, request validation and the order of checks in a
// transaction belong to package state and above. Durability belongs to the
// raft log and the checkpoint: a Position and a revlog.Manifest captured
// between the same two batches restore the store, see Capture and Open.
//
// # Goroutines
//
// At most one, "mvcc-hash": it computes the hash of a compaction from a pinned
// view and ends with it; Close cancels and awaits it. Physical compaction has no
// goroutine, the applier does it in slices by CompactStep.
//
// # Bytes on disk
//
// None of its own. A record's payload, kept by revlog, is a marshalled
// mvccpb.KeyValue (for a delete: one with only the key), equal to etcd's bytes.
// The cached compaction hashes travel in a checkpoint section, see hashcache.go.
package mvcc
