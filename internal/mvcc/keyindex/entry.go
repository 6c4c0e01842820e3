package keyindex

import (
	"fmt"
	"math"

	"keelson/internal/base"
)

// Entry is the latest version of a key. In a tombstone Create, Version and
// Lease are zero.
type Entry struct {
	Mod       base.Revision
	Create    int64 // main revision of the put that made the key
	Version   int64 // puts since then, 1 for the first
	Lease     base.LeaseID
	Tombstone bool
}

// Old is an older version of a key that is still retained.
type Old struct {
	Rev       base.Revision
	Tombstone bool
}

// slot is an Entry as a leaf stores it, without the lease (see side). Nothing
// in it is a pointer, so the garbage collector never looks inside a leaf.
type slot struct {
	main    int64
	create  int64
	version int64
	sub     uint32
	link    uint32 // tombstoneBit | place of the newest older version in side.log, 0 = none
}

// tombstoneBit marks a deleted version in slot.link and record.link; the other
// 31 bits are a place in a leaf's log of older versions.
const tombstoneBit = 1 << 31

func (s *slot) tombstone() bool         { return s.link&tombstoneBit != 0 }
func (s *slot) newest() place           { return place(s.link &^ tombstoneBit) }
func (s *slot) setNewest(p place)       { s.link = s.link&tombstoneBit | uint32(p) }
func (s *slot) revision() base.Revision { return base.Revision{Main: s.main, Sub: int64(s.sub)} }

// makeSlot packs e; the entry has no older versions yet.
func makeSlot(e Entry) slot {
	s := slot{main: e.Mod.Main, sub: packSub(e.Mod)}
	if e.Tombstone {
		s.link = tombstoneBit
		return s
	}
	s.create, s.version = e.Create, e.Version
	return s
}

// live is the entry's share in the live counts.
func (s *slot) live() int64 {
	if s.tombstone() {
		return 0
	}
	return 1
}

// packSub narrows the sub-revision to the 32 bits that the index keeps. A
// transaction with 2^32 changes cannot exist, requests are far smaller.
func packSub(r base.Revision) uint32 {
	if r.Sub < 0 || r.Sub > math.MaxUint32 {
		panic(fmt.Sprintf("keyindex: sub-revision of %v is outside 0..%d", r, uint32(math.MaxUint32)))
	}
	return uint32(r.Sub)
}

// mustFollow panics unless next comes after prev: versions of a key are
// added in revision order, everything here relies on it.
func mustFollow(prev, next base.Revision) {
	if !prev.Less(next) {
		panic(fmt.Sprintf("keyindex: revision %v does not follow %v of the same key", next, prev))
	}
}
