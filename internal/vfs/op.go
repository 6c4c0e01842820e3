package vfs

import "strings"

// Op is one kind of call, or several joined with |. Mem counts calls by kind
// and Faulty chooses by it which ones fail.
type Op uint32

// The kinds of calls.
const (
	OpCreate Op = 1 << iota
	OpOpen      // Open and OpenReadWrite
	OpRemove    // Remove and RemoveAll
	OpRename    // its name is the new one
	OpMkdir     // MkdirAll
	OpList
	OpStat // Stat and File.Size
	OpSyncDir
	OpLock // Lock and File.TryLock
	OpFreeBytes
	OpRead // ReadAt
	OpWrite
	OpTruncate
	OpSync // Sync and SyncData
	OpPreallocate
	OpMap

	opEnd
)

// Groups of kinds.
const (
	// OpAny is every kind.
	OpAny = opEnd - 1
	// OpChange is every kind that changes the disk, or what of it is durable.
	OpChange = OpCreate | OpRemove | OpRename | OpMkdir | OpSyncDir | OpLock |
		OpWrite | OpTruncate | OpSync | OpPreallocate
)

// Has reports whether o shares a kind with other.
func (o Op) Has(other Op) bool { return o&other != 0 }

// String joins the names of the kinds with '|'.
func (o Op) String() string {
	names := [...]string{
		"create", "open", "remove", "rename", "mkdir", "list", "stat", "syncdir",
		"lock", "freebytes", "read", "write", "truncate", "sync", "preallocate", "map",
	}
	var set []string
	for i, name := range names {
		if o.Has(1 << i) {
			set = append(set, name)
		}
	}
	return strings.Join(set, "|")
}
