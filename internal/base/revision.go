package base

import (
	"cmp"
	"encoding/binary"
	"fmt"
)

// Revision names one change of one key. Main is the store revision of the
// transaction that made it (1 is the empty store, the first write gets 2);
// Sub counts the changes inside that transaction from 0. The zero Revision
// means "none".
type Revision struct {
	Main int64
	Sub  int64
}

// IsZero reports whether r names no change.
func (r Revision) IsZero() bool { return r == Revision{} }

// Compare orders revisions by Main, then Sub.
func (r Revision) Compare(o Revision) int {
	if c := cmp.Compare(r.Main, o.Main); c != 0 {
		return c
	}
	return cmp.Compare(r.Sub, o.Sub)
}

// Less reports whether r comes before o.
func (r Revision) Less(o Revision) bool { return r.Compare(o) < 0 }

func (r Revision) String() string { return fmt.Sprintf("%d/%d", r.Main, r.Sub) }

// Sizes of a revision in etcd's "key" bucket encoding.
const (
	RevisionBytes  = 17 // big-endian main, '_', big-endian sub
	TombstoneBytes = 18 // the same and 't'
)

// AppendRevision appends the key that etcd's backend uses for r: 8 bytes main
// and 8 bytes sub, big endian, joined by '_', and a trailing 't' when the
// change is a delete. HashKV and the .db snapshot are built from it.
func AppendRevision(dst []byte, r Revision, tombstone bool) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Main))
	dst = append(dst, '_')
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Sub))
	if tombstone {
		dst = append(dst, 't')
	}
	return dst
}
