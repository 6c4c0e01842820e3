// Package snap keeps checkpoints: files that hold, all together, where the
// machine stood at one applied raft index. Recovery starts from the newest one
// and replays the raft log from there.
//
// It promises that a checkpoint Write reported is found again after any crash,
// that a crash during Write leaves the ones before untouched, and that Load
// hands out nothing whose checksums do not agree. Names carry the applied index,
// so that their order is their age.
//
// It leaves to others: what the sections mean, making the revision log's bytes
// durable before Write names them, and keeping the files and the raft entries
// that every kept checkpoint needs. One goroutine at a time may write, reserve
// or purge in a directory. The package owns no goroutine.
//
// On disk: "%016x.ckpt" (docs/format/checkpoint.md), one "next.ckpt.tmp" that
// is being written or reserves the room for it, and "*.ckpt.broken", files
// that Load has found damaged and put aside.
package snap
