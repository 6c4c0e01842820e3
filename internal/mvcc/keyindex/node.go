package keyindex

import (
	"slices"

	"keelson/internal/base"
)

// Limits of a node. The numbers of items were found by measurement: a smaller
// leaf makes a Put cheaper (it copies the leaf's slots), a larger one makes
// the tree flatter and its headers rarer. Key bytes are limited too, so that
// long keys make nodes with few keys. The shared prefix does not count:
// splitting does not make it smaller.
const (
	maxSlots       = 64       // keys of a leaf
	maxKids        = 64       // kids of an inner node
	minKids        = 2        // no split leaves an inner node with less
	maxSuffixBytes = 8 << 10  // key bytes of a node without the prefix
	fillSlots      = 56       // what the Loader puts into a leaf; 88 %, and an allocation size
	fillKids       = 56       // and into an inner node
	loaderArena    = 64 << 10 // key bytes the Loader gathers before it builds a leaf
)

// node is a leaf (kids is nil) or an inner node (slots and side are nil). A
// node whose gen is below the tree's is frozen: readers may hold it. Neither kind is
// ever empty inside a tree.
type node struct {
	gen   uint64
	keys  keys   // leaf: its keys; inner: len(kids)-1 separators
	slots []slot // leaf: one per key
	kids  []kid
	side  *side // leaf: what few keys have, nil when none has it
}

// kid is a reference to a node with the number of live keys below it.
type kid struct {
	n    *node
	live int64
}

// side holds what most keys do not have. It belongs to one node like its slots.
type side struct {
	leases []int64 // per slot, 0 = none; nil = all zero
	history
}

func (n *node) leaf() bool { return n.kids == nil }

func (n *node) items() int {
	if n.leaf() {
		return len(n.slots)
	}
	return len(n.kids)
}

// capacity is the number of items the node may hold.
func (n *node) capacity() int {
	if n.leaf() {
		return maxSlots
	}
	return maxKids
}

// entry unpacks slot i.
func (n *node) entry(i int) Entry {
	s := &n.slots[i]
	e := Entry{Mod: s.revision(), Create: s.create, Version: s.version, Tombstone: s.tombstone()}
	if n.side != nil && n.side.leases != nil {
		e.Lease = base.LeaseID(n.side.leases[i])
	}
	return e
}

// countLive counts live keys among the slots from a to b.
func (n *node) countLive(a, b int) int64 {
	var live int64
	for i := a; i < b; i++ {
		live += n.slots[i].live()
	}
	return live
}

// own makes the node of k changeable: a frozen one is replaced by a copy,
// which shares the keys and the log of older versions.
func (t *Tree) own(k *kid) *node {
	n := k.n
	if n.gen == t.gen {
		return n
	}
	c := &node{gen: t.gen, keys: n.keys, slots: slices.Clone(n.slots), kids: slices.Clone(n.kids)}
	if n.side != nil {
		s := *n.side
		s.leases, s.cuts = slices.Clone(s.leases), slices.Clone(s.cuts)
		c.side = &s
	}
	k.n = c
	return c
}

// ownForInsert is own for a leaf with a new slot at i: one copy does both.
func (t *Tree) ownForInsert(k *kid, i int, s slot) *node {
	n := k.n
	inPlace := n.gen == t.gen
	if !inPlace {
		c := &node{gen: t.gen, keys: n.keys, slots: n.slots}
		if n.side != nil {
			copied := *n.side
			c.side = &copied
		}
		k.n, n = c, c
	}
	n.slots = insertAt(n.slots, i, s, inPlace)
	if n.side != nil {
		if n.side.leases != nil {
			n.side.leases = insertAt(n.side.leases, i, 0, inPlace)
		}
		if n.side.cuts != nil {
			n.side.cuts = insertAt(n.side.cuts, i, 0, inPlace)
		}
	}
	return n
}

// insertAt returns s with v at i: in place where that is allowed and there is
// room, else in a new array of just the size class that fits. (append would
// double the array, which no memory budget survives.)
func insertAt[T any](s []T, i int, v T, inPlace bool) []T {
	n := len(s)
	if inPlace && n < cap(s) {
		s = s[:n+1]
		copy(s[i+1:], s[i:n])
		s[i] = v
		return s
	}
	out := slices.Grow([]T(nil), n+1)[:n+1]
	copy(out, s[:i])
	out[i] = v
	copy(out[i+1:], s[i:])
	return out
}

// setLease stores the lease of slot i; the table exists only once a key of
// the leaf has a lease.
func (n *node) setLease(i int, lease int64) {
	if n.side == nil || n.side.leases == nil {
		if lease == 0 {
			return
		}
		n.ensureSide().leases = make([]int64, len(n.slots))
	}
	n.side.leases[i] = lease
}

func (n *node) ensureSide() *side {
	if n.side == nil {
		n.side = &side{}
	}
	return n.side
}

// setCut stores where the chain of slot i ends.
func (n *node) setCut(i int, p place) {
	if n.side.cuts == nil {
		if p == 0 {
			return
		}
		n.side.cuts = make([]place, len(n.slots))
	}
	n.side.cuts[i] = p
}

// buried accounts for records that left the chains and writes the log anew
// once more than half of it is dead. Each record dropped thus pays
// for at most one record copied.
func (n *node) buried(records int) {
	s := n.side
	s.dead += records
	if 2*s.dead <= len(s.log) {
		return
	}
	fresh := history{log: slices.Grow([]record(nil), len(s.log)-s.dead)}
	for i := range n.slots {
		p := n.slots[i].newest()
		if p != 0 {
			n.slots[i].setNewest(fresh.adopt(s.appendOlds(nil, p, i)))
		}
	}
	s.history = fresh
	if s.log == nil && s.leases == nil {
		n.side = nil
	}
}
