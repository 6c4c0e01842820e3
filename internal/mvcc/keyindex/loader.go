package keyindex

import (
	"bytes"
	"fmt"
	"slices"
)

// Loader builds a tree from all its keys in order, several times faster than
// Put and with well-filled nodes. It is used once: Add for each key, then Tree.
type Loader struct {
	t      *Tree
	parts  []part // finished leaves with the separator before each
	last   []byte // the last key of the newest leaf in parts
	leaf   node   // slots and side of the next leaf
	arena  []byte // its keys, one behind the other
	ends   []int
	leases []int64
}

// NewLoader returns a loader for a new tree.
func NewLoader() *Loader { return &Loader{t: New()} }

// Add appends a key, which must be above all keys before it, with its older
// versions in ascending order and its latest one. Everything is copied.
func (l *Loader) Add(key []byte, olds []Old, latest Entry) {
	l.checkOrder(key)
	s := makeSlot(latest)
	rev := latest.Mod
	for i := len(olds) - 1; i >= 0; i-- {
		mustFollow(olds[i].Rev, rev)
		packSub(olds[i].Rev)
		rev = olds[i].Rev
	}
	if len(olds) > 0 {
		s.setNewest(l.leaf.ensureSide().adopt(olds))
	}
	l.leaf.slots = append(l.leaf.slots, s)
	lease := int64(latest.Lease)
	if latest.Tombstone {
		lease = 0
	}
	l.leases = append(l.leases, lease)
	l.arena = append(l.arena, key...)
	l.ends = append(l.ends, len(l.arena))
	if len(l.ends) >= fillSlots || len(l.arena) >= loaderArena {
		l.flush()
	}
}

// checkOrder panics unless key is above the key before it.
func (l *Loader) checkOrder(key []byte) {
	prev := l.last
	switch n := len(l.ends); {
	case n > 1:
		prev = l.arena[l.ends[n-2]:]
	case n == 1:
		prev = l.arena
	case len(l.parts) == 0:
		return
	}
	if bytes.Compare(prev, key) >= 0 {
		panic(fmt.Sprintf("keyindex: key %q does not follow %q", key, prev))
	}
}

// flush makes a leaf of the keys gathered.
func (l *Loader) flush() {
	t := l.t
	from := 0
	for _, to := range l.ends {
		t.list = append(t.list, splitKey{suffix: l.arena[from:to]})
		from = to
	}
	var sep []byte
	if len(l.parts) > 0 {
		sep = separator(splitKey{suffix: l.last}, t.list[0])
	}
	l.last = append(l.last[:0], t.list[len(t.list)-1].suffix...)

	n := &node{gen: t.gen, slots: slices.Clone(l.leaf.slots), side: l.leaf.side}
	for i, lease := range l.leases {
		n.setLease(i, lease)
	}
	k := kid{n, n.countLive(0, len(n.slots))}
	more := t.cutLeaf(&k, -1)
	l.parts = append(append(l.parts, part{sep, k}), more...)

	l.leaf.slots, l.leaf.side = l.leaf.slots[:0], nil
	l.arena, l.ends, l.leases = l.arena[:0], l.ends[:0], l.leases[:0]
}

// Tree builds the inner nodes and returns the tree. The loader is of no use
// afterwards.
func (l *Loader) Tree() *Tree {
	if len(l.ends) > 0 {
		l.flush()
	}
	level := l.parts
	for len(level) > 1 {
		level = l.nextLevel(level)
	}
	if len(level) == 1 {
		l.t.root = level[0].kid
	}
	t := l.t
	*l = Loader{}
	return t
}

// nextLevel builds the nodes above a level, all about equally full.
func (l *Loader) nextLevel(level []part) []part {
	groups := (len(level) + fillKids - 1) / fillKids
	var up []part
	for g := range groups {
		group := level[g*len(level)/groups : (g+1)*len(level)/groups]
		first := group[0]
		k := kid{&node{gen: l.t.gen, kids: []kid{first.kid}}, 0}
		for _, p := range group {
			k.live += p.live
		}
		more := l.t.addKids(&k, 0, group[1:])
		up = append(append(up, part{first.sep, k}), more...)
	}
	return up
}
