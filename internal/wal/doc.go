// Package wal is the raft log on disk, in etcd's own WAL format, so that a
// member can go on in a directory that etcd wrote and the other way round.
// docs/format/wal.md draws the bytes.
//
// # Job
//
// Append takes one batch of entries and the hard state that goes with it,
// writes it with one WriteAt and makes it durable with at most one SyncData.
// Open reads the log back: everything after a position, the last hard state
// and the member's metadata. ReadEntries reads entries again for followers
// that lag behind what raft keeps in memory.
//
// # Promises
//
//   - What a successful Append synced is found by every later Open, whatever
//     happened to the machine in between; nothing else is invented. What was
//     not synced is found as a prefix or not at all.
//   - A tail torn by a crash is cut at the last good record, after a copy with
//     the suffix .broken was made. Damage anywhere else is a *CorruptError and
//     the log does not open: entries are never dropped silently.
//   - Entries read back were checked against their checksum.
//   - A failed write or sync is permanent (ErrFailed): after it nothing is
//     known about the file, so the log refuses everything that would write.
//   - A full disk is seen early: each segment is preallocated, and the next
//     one is ready before the present one is full. SpaceOK says so when it
//     cannot be made, while the present segment still has room.
//
// # Left to others
//
// When a checkpoint is safe and which entries may go (ReleaseTo), what entries
// mean, and stopping the member after ErrFailed.
//
// # Goroutines
//
// One per open log, the spare maker (spare.go): it waits for a request or for
// Close, and alone creates N.tmp. Append, SaveSnapshot and Close are
// serialised by a lock and meant for one log writer; all other methods may be
// called from any goroutine at any time.
//
// # Bytes on disk
//
// <dir>/<sequence>-<index>.wal, both 16 hex digits: segments; only the last
// one is written to. <dir>/0.tmp and 1.tmp: the next segment, ignored and
// deleted by Open. <dir>/*.wal.broken: what a repair cut. <dir>.tmp: a log
// being created, renamed to <dir> when complete.
package wal
