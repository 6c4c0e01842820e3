// Package revlog keeps the values of the store on disk: an append-only log of
// records in revision order, cut into segment files.
//
//	Append --> tail buffer --> active segment --> sealed segments + sidecars
//	           (heap)          (preallocated)     (immutable, mapped)
//	                                                   |
//	                                 Reclaim rewrites those with much dead in them
//
// # Job
//
// A record is a revision, what the key index must know of it (Meta), and a
// payload: the marshalled mvccpb.KeyValue, opaque here. Revision to position
// is a table lookup inside a segment, so records may move without anybody who
// knows revisions noticing.
//
// # Promises
//
//   - A published record is found by every View published after it, wherever
//     it lives at that moment, until it is marked dead and reclaimed; a View
//     keeps what it could see when it was published.
//   - No byte is served whose checksum does not match: reads and Open return a
//     *CorruptError that names file and offset instead.
//   - After SyncTo(m) the log can be reopened by Open(m) to exactly the records
//     m names and the marks m has, whatever was written, marked, reclaimed or
//     lost afterwards, as long as Retain is not told that m is no longer
//     needed. A record marked before Capture stays dead for ever.
//   - A failed write or sync is final: every later call that would store or
//     promise anything returns that error. A full disk shows in SpaceOK one
//     whole segment before it can refuse an Append.
//
// # Left to others
//
// Nothing is durable before SyncTo: the raft log holds what a checkpoint does
// not name. The checkpoint file stores the Manifest. Which record is dead is
// for the index to say; the manifest remembers what it said before Capture,
// and what it said later it must say again after Open.
//
// # Goroutines
//
// One, the housekeeper: it preallocates the next segment, finishes sealed
// segments (cut, sync, sidecar) and closes and deletes files nobody needs. It
// waits for kicks and ends with Close. Append, Publish, MarkDead, Capture,
// Rotate and Metas belong to one goroutine, the applier; all else may be
// called from anywhere.
//
// # Bytes on disk
//
//	<id, 16 hex digits>.seg       a segment   docs/format/segment.md
//	<id, 16 hex digits>.idx       its sidecar docs/format/sidecar.md
//	<id, 16 hex digits>.idx.tmp   a sidecar being written
package revlog
