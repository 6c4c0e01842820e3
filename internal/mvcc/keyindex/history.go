package keyindex

import (
	"fmt"
	"slices"

	"keelson/internal/base"
)

// history holds the older versions of all keys of a leaf.
//
// Why a log: a key that is written all the time may have a million
// retained versions, and the leaf is copied after each Freeze. Per-key arrays packed
// behind each other would have to be copied with it. The log only grows at its end, so
// copies of the leaf share one array: a frozen leaf sees the records below
// its own length, and only the newest copy, which the writer holds, appends.
//
// The versions of one key form a chain from newest to oldest; in the log a
// version always lies behind its predecessor. Each record also has a jump
// link further down the chain (lengths as in a skew-binary counter), with which
// the version at a revision is found in O(log chain) steps.
//
//	log   [a1][b1][a2][a3][b2]        slot a -> a3 -> a2 -> a1
//	                                  slot b -> b2 -> b1
//
// Compact drops the oldest versions of a key. Records are not changed for it:
// the key's cut names its oldest retained record, the chain ends there. When
// more than half of the log is dropped records it is written anew.
type history struct {
	log  []record
	cuts []place // per slot: the oldest retained record, 0 = the whole chain; nil = all zero
	dead int     // records in log that no chain reaches
}

// place is the position of a record in a log plus one; 0 is the end of a chain.
type place uint32

// maxRecords bounds a log so that a place fits beside the tombstone bit.
const maxRecords = tombstoneBit - 1

// record is one older version in the log.
type record struct {
	main  int64
	sub   uint32
	link  uint32 // tombstoneBit | place of the next older version
	jump  place  // an older version further away
	depth uint32 // length of the chain from here
}

func (r *record) older() place    { return place(r.link &^ tombstoneBit) }
func (r *record) tombstone() bool { return r.link&tombstoneBit != 0 }
func (r *record) old() Old {
	return Old{Rev: base.Revision{Main: r.main, Sub: int64(r.sub)}, Tombstone: r.tombstone()}
}

func (h *history) at(p place) *record { return &h.log[p-1] }

// cut returns where the chain of slot i ends.
func (h *history) cut(i int) place {
	if h.cuts == nil {
		return 0
	}
	return h.cuts[i]
}

// depth and jump of a chain's end are zero.
func (h *history) depthJump(p place) (uint32, place) {
	if p == 0 {
		return 0, 0
	}
	r := h.at(p)
	return r.depth, r.jump
}

// push appends a version to the chain that starts at newest and returns the
// chain's new start.
func (h *history) push(newest place, main int64, sub uint32, tombstone bool) place {
	if len(h.log) >= maxRecords {
		panic(fmt.Sprintf("keyindex: %d older versions in one leaf, limit %d", len(h.log), maxRecords))
	}
	r := record{main: main, sub: sub, link: uint32(newest), jump: newest}
	if tombstone {
		r.link |= tombstoneBit
	}
	depth, jump := h.depthJump(newest)
	depth2, jump2 := h.depthJump(jump)
	depth3, _ := h.depthJump(jump2)
	if depth-depth2 == depth2-depth3 {
		r.jump = jump2
	}
	r.depth = depth + 1
	if len(h.log) == cap(h.log) {
		// A quarter more keeps both the copying and the slack small.
		grown := slices.Grow([]record(nil), len(h.log)+len(h.log)/4+4)
		h.log = append(grown, h.log...)
	}
	h.log = append(h.log, r)
	return place(len(h.log))
}

// floor finds the newest version of a chain with main <= rev and its next
// newer version; 0 where there is none. It ignores the cut.
func (h *history) floor(newest place, rev int64) (found, newer place) {
	p := newest
	for p != 0 {
		r := h.at(p)
		if r.main <= rev {
			break
		}
		newer = p
		if r.jump != 0 && h.at(r.jump).main > rev {
			p = r.jump
		} else {
			p = r.older()
		}
	}
	return p, newer
}

// retained returns the number of versions in slot i's chain.
func (h *history) retained(newest place, i int) int {
	if newest == 0 {
		return 0
	}
	n := int(h.at(newest).depth)
	if cut := h.cut(i); cut != 0 {
		n -= int(h.at(cut).depth) - 1
	}
	return n
}

// appendOlds appends the versions of slot i's chain to dst, oldest first.
func (h *history) appendOlds(dst []Old, newest place, i int) []Old {
	from, cut := len(dst), h.cut(i)
	for p := newest; p != 0 && p >= cut; p = h.at(p).older() {
		dst = append(dst, h.at(p).old())
	}
	slices.Reverse(dst[from:])
	return dst
}

// adopt copies a chain of another log to the end of h and returns its start.
func (h *history) adopt(olds []Old) place {
	var p place
	for i := range olds {
		p = h.push(p, olds[i].Rev.Main, uint32(olds[i].Rev.Sub), olds[i].Tombstone)
	}
	return p
}
