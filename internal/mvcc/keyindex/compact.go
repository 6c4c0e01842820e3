package keyindex

import (
	"slices"

	"keelson/internal/base"
)

// Compact drops the versions of key that nobody can read once the store is
// compacted at revision at. Kept are all versions after at, and of the others only
// the newest, if it is a put, or a tombstone made at exactly at (a
// watch that starts there has to see it). Each dropped revision is reported to dead, in no
// particular order; dead must not use the tree. A key with no version left is
// removed. When there is nothing to drop, nothing is copied.
func (t *Tree) Compact(key []byte, at int64, dead func(base.Revision)) {
	n, i, ok := t.Peek().find(key)
	if !ok {
		return
	}
	s := &n.slots[i]
	if s.main > at {
		if newest, oldest, changed := trim(n, i, at, dead); changed {
			t.shorten(key, newest, oldest)
		}
		return
	}
	if s.newest() != 0 {
		reportFrom(n, i, s.newest(), dead)
	}
	if s.tombstone() && s.main < at {
		dead(s.revision())
		t.remove(&t.root, key)
		t.shrink()
		return
	}
	if s.newest() != 0 {
		t.shorten(key, 0, 0)
	}
}

// trim finds and reports what to drop from the older versions of slot i whose
// latest version is after at. It returns the chain that remains.
func trim(n *node, i int, at int64, dead func(base.Revision)) (newest, oldest place, changed bool) {
	newest = n.slots[i].newest()
	if newest == 0 {
		return 0, 0, false
	}
	h := &n.side.history
	cut := h.cut(i)
	found, newer := h.floor(newest, at)
	if found == 0 || found < cut {
		return 0, 0, false
	}
	r := h.at(found)
	if r.tombstone() && r.main < at {
		reportFrom(n, i, found, dead)
		if newer == 0 {
			return 0, 0, true
		}
		return newest, newer, true
	}
	if below := r.older(); below != 0 && below >= cut {
		reportFrom(n, i, below, dead)
		return newest, found, true
	}
	return 0, 0, false
}

// reportFrom reports a version of slot i and all that are older.
func reportFrom(n *node, i int, p place, dead func(base.Revision)) {
	h := &n.side.history
	for cut := h.cut(i); p != 0 && p >= cut; p = h.at(p).older() {
		dead(h.at(p).old().Rev)
	}
}

// shorten replaces the chain of older versions of a key by a shorter one.
func (t *Tree) shorten(key []byte, newest, oldest place) {
	k := &t.root
	for !k.n.leaf() {
		n := t.own(k)
		k = &n.kids[n.keys.child(key)]
	}
	n := t.own(k)
	i, _ := n.keys.search(key)
	before := n.side.retained(n.slots[i].newest(), i)
	n.slots[i].setNewest(newest)
	n.setCut(i, oldest)
	n.buried(before - n.side.retained(newest, i))
}

// remove takes a tombstoned key out of the tree below k. Live counts do not
// change. The node of k may be empty afterwards; its parent removes it.
func (t *Tree) remove(k *kid, key []byte) {
	n := t.own(k)
	if n.leaf() {
		i, _ := n.keys.search(key)
		n.dropSlot(i)
		return
	}
	i := n.keys.child(key)
	t.remove(&n.kids[i], key)
	switch items := n.kids[i].n.items(); {
	case items == 0:
		n.dropKid(i)
	case items < n.kids[i].n.capacity()/4:
		if i+1 >= len(n.kids) || !t.merge(n, i) {
			if i > 0 {
				t.merge(n, i-1)
			}
		}
	}
}

// dropSlot removes key i of a leaf together with its older versions.
func (n *node) dropSlot(i int) {
	records := 0
	if n.side != nil {
		records = n.side.retained(n.slots[i].newest(), i)
		if n.side.leases != nil {
			n.side.leases = slices.Delete(n.side.leases, i, i+1)
		}
		if n.side.cuts != nil {
			n.side.cuts = slices.Delete(n.side.cuts, i, i+1)
		}
	}
	n.slots = slices.Delete(n.slots, i, i+1)
	n.keys = n.keys.remove(i)
	if n.side != nil {
		n.buried(records)
	}
}

// dropKid removes kid i and the separator that bounds it; a neighbour becomes
// responsible for its range.
func (n *node) dropKid(i int) {
	n.kids = slices.Delete(n.kids, i, i+1)
	if n.keys.count() > 0 {
		n.keys = n.keys.remove(max(i-1, 0))
	}
}

// merge joins kids i and i+1 of n if the result is a node with room to spare.
// Nodes are as large as what is in them, so one that stays small costs little more
// than its header.
func (t *Tree) merge(n *node, i int) bool {
	a, b := n.kids[i], n.kids[i+1]
	if a.n.items()+b.n.items() > a.n.capacity()*3/4 {
		return false
	}
	t.addToList(a.n.keys, 0, a.n.keys.count())
	if !a.n.leaf() {
		t.list = append(t.list, n.keys.key(i))
	}
	t.addToList(b.n.keys, 0, b.n.keys.count())
	defer t.clearList()
	if !fits(t.list) {
		return false
	}
	m := &node{gen: t.gen, keys: pack(t.list)}
	if a.n.leaf() {
		m.slots = slices.Concat(a.n.slots, b.n.slots)
		m.joinSides(a.n, b.n)
	} else {
		m.kids = slices.Concat(a.n.kids, b.n.kids)
	}
	n.kids[i] = kid{m, a.live + b.live}
	n.kids = slices.Delete(n.kids, i+1, i+2)
	n.keys = n.keys.remove(i)
	return true
}

// joinSides builds the side table of m, which holds the slots of a and then
// those of b. The longer log is continued, the chains of the other one are copied to it.
func (m *node) joinSides(a, b *node) {
	for _, src := range []struct {
		n  *node
		at int
	}{{a, 0}, {b, len(a.slots)}} {
		if src.n.side == nil {
			continue
		}
		for i, lease := range src.n.side.leases {
			m.setLease(src.at+i, lease)
		}
	}
	logLen := func(n *node) int {
		if n.side == nil {
			return 0
		}
		return len(n.side.log)
	}
	if logLen(a)+logLen(b) == 0 {
		return
	}
	heir, heirAt, other, otherAt := a, 0, b, len(a.slots)
	if logLen(b) > logLen(a) {
		heir, heirAt, other, otherAt = b, len(a.slots), a, 0
	}
	s := m.ensureSide()
	s.log, s.dead = heir.side.log, heir.side.dead
	if heir.side.cuts != nil {
		s.cuts = make([]place, len(m.slots))
		copy(s.cuts[heirAt:], heir.side.cuts)
	}
	if logLen(other) > 0 {
		var olds []Old
		for i := range other.slots {
			olds = other.side.appendOlds(olds[:0], other.slots[i].newest(), i)
			m.slots[otherAt+i].setNewest(s.adopt(olds))
		}
	}
	m.buried(0)
}

// shrink takes away a root that has no choice to offer.
func (t *Tree) shrink() {
	for n := t.root.n; n.items() <= 1; n = t.root.n {
		switch {
		case n.items() == 0:
			t.root = kid{}
			return
		case n.leaf():
			return
		}
		t.root = n.kids[0]
	}
}
