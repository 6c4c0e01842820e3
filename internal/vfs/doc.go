// Package vfs is the only door to the disk. Everything that stores bytes takes
// an FS, so that the same code runs on the operating system's files (OS), on a
// simulated disk that forgets or tears what was not synced (Mem), and on a disk
// that fails on command (Faulty).
//
// Durability follows POSIX as ext4 and xfs practise it: bytes written to a
// file are durable after Sync or SyncData of that file, a created, renamed or
// removed name is durable after SyncDir of its directory. Nothing else is. A
// write of more than one sector (512 bytes) may be torn: any of its sectors may
// be missing after a crash.
//
// The package owns no goroutine and no file of its own.
package vfs
