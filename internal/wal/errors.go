package wal

import (
	"errors"
	"fmt"
)

var (
	// ErrFailed is a write or sync that failed. It wraps the cause and is
	// returned by everything that would write, for ever after.
	ErrFailed = errors.New("wal: a write to the log failed, it accepts nothing more")
	// ErrClosed is a call after Close.
	ErrClosed = errors.New("wal: log is closed")
	// ErrCompacted is an index before the first entry the log can read.
	ErrCompacted = errors.New("wal: entry is no longer kept")
	// ErrUnavailable is an index after the last entry.
	ErrUnavailable = errors.New("wal: entry is not in the log")
	// ErrOutOfOrder is a batch that does not continue the log. Nothing was
	// written.
	ErrOutOfOrder = errors.New("wal: batch does not continue the log")
)

// CorruptError is damage that a crash cannot explain. The log is not opened
// and no file is changed.
type CorruptError struct {
	File   string
	Offset int64
	Reason string
	Hint   string // what the operator can do
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("wal: %s is damaged at offset %d: %s; %s", e.File, e.Offset, e.Reason, e.Hint)
}

// hintReplace is the way out of a damaged log: no other copy of the entries
// exists on this member, but every other member has them.
const hintReplace = "check the disk; then remove this member from the cluster and add it again with an empty data directory, " +
	"or restore all members from a snapshot if it is the only one"

// hintMissing is the way out when a file is not there at all.
const hintMissing = "put the missing file back if it was moved away, else remove this member from the cluster and " +
	"add it again with an empty data directory, or restore from a snapshot if it is the only one"

func corrupt(file string, offset int64, format string, args ...any) *CorruptError {
	return &CorruptError{File: file, Offset: offset, Reason: fmt.Sprintf(format, args...), Hint: hintReplace}
}
