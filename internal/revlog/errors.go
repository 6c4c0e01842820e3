package revlog

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound is a revision that the view does not hold.
	ErrNotFound = errors.New("revlog: no record of this revision")
	// ErrClosed is a call after Close.
	ErrClosed = errors.New("revlog: log is closed")
	// ErrTooLarge is a record above MaxRecordBytes. Nothing was appended.
	ErrTooLarge = errors.New("revlog: record is too large")
)

// CorruptError is a file whose bytes are not what was written.
type CorruptError struct {
	File   string
	Offset int64 // where the damaged unit begins: a record, a header, a file
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("revlog: %s is damaged at byte %d: %s", e.File, e.Offset, e.Reason)
}

// repairHint is what an operator can do about a segment that does not open.
const repairHint = "bring the file back from a copy of this directory, or remove this member from the cluster, " +
	"clear its data directory and add it again; a single member is rebuilt with `etcdutl snapshot restore`"
