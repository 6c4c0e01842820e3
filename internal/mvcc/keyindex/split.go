package keyindex

import "slices"

// part is a node that a split made, with the separator before it.
type part struct {
	sep []byte
	kid
}

// addToList appends keys a to b of a set to the working list.
func (t *Tree) addToList(k keys, a, b int) {
	for i := a; i < b; i++ {
		t.list = append(t.list, k.key(i))
	}
}

// clearList empties the working list so that it keeps no old node alive.
func (t *Tree) clearList() {
	clear(t.list)
	t.list = t.list[:0]
}

// fits reports whether a node may hold these keys.
func fits(list []splitKey) bool { return suffixBytes(list) <= maxSuffixBytes }

func suffixBytes(list []splitKey) int {
	plen, sum := commonPrefix(list), 0
	for _, s := range list {
		sum += s.len() - plen
	}
	return sum
}

// middle returns where to split a list so that both sides weigh about the
// same; an item weighs its key and its slot.
func middle(list []splitKey) int {
	const slotBytes = 32
	plen := commonPrefix(list)
	total := suffixBytes(list) + slotBytes*len(list)
	m, sum := 0, 0
	for {
		w := list[m].len() - plen + slotBytes
		if 2*sum+w >= total {
			return max(m, 1)
		}
		m, sum = m+1, sum+w
	}
}

// leafCuts returns the inner borders of the leaves that list has to be split
// into. added is the number of the key that was added last, or -1.
func leafCuts(cuts []int, list []splitKey, offset, added int) []int {
	n := len(list)
	if n < 2 || n <= maxSlots && fits(list) {
		return cuts
	}
	m := min(middle(list), n-1)
	switch {
	case added == n-1:
		m = n - 1 // keys arrive in ascending order: leave full leaves behind
	case added == 0:
		m = 1
	}
	cuts = leafCuts(cuts, list[:m], offset, -1)
	cuts = append(cuts, offset+m)
	return leafCuts(cuts, list[m:], offset+m, -1)
}

// cutLeaf gives the leaf of k, whose slots are complete, the keys in the
// working list, and splits it where it is too large.
func (t *Tree) cutLeaf(k *kid, added int) []part {
	defer t.clearList()
	n, list := k.n, t.list
	cuts := leafCuts(nil, list, 0, added)
	if len(cuts) == 0 {
		n.keys = pack(list)
		return nil
	}
	cuts = append(cuts, len(list))
	heir := t.heir(n, cuts)
	var parts []part
	from := 0
	for c, to := range cuts {
		p := &node{gen: t.gen, keys: pack(list[from:to]), slots: slices.Clone(n.slots[from:to])}
		p.takeSide(n, from, to, c == heir)
		piece := part{kid: kid{p, p.countLive(0, len(p.slots))}}
		if from > 0 {
			piece.sep = separator(list[from-1], list[from])
		}
		parts = append(parts, piece)
		from = to
	}
	*k = parts[0].kid
	return parts[1:]
}

// heir returns which part of a split leaf keeps the log of older versions:
// the one with most of them, so that a leaf with a key of very many versions
// is split without touching them.
func (t *Tree) heir(n *node, cuts []int) int {
	if n.side == nil || len(n.side.log) == 0 {
		return -1
	}
	heir, most, from := -1, 0, 0
	for c, to := range cuts {
		sum := 0
		for i := from; i < to; i++ {
			sum += n.side.retained(n.slots[i].newest(), i)
		}
		if sum > most {
			heir, most = c, sum
		}
		from = to
	}
	return heir
}

// takeSide gives n, which got the slots from..to of src, its part of the side
// table.
func (n *node) takeSide(src *node, from, to int, heir bool) {
	if src.side == nil {
		return
	}
	for i, lease := range src.side.leases[min(from, len(src.side.leases)):min(to, len(src.side.leases))] {
		n.setLease(i, lease)
	}
	if heir {
		s := n.ensureSide()
		s.log, s.dead = src.side.log, len(src.side.log)
		if src.side.cuts != nil {
			s.cuts = slices.Clone(src.side.cuts[from:to])
		}
		for i := range n.slots {
			s.dead -= s.retained(n.slots[i].newest(), i)
		}
		n.buried(0)
		return
	}
	var olds []Old
	for i := range n.slots {
		if p := n.slots[i].newest(); p != 0 {
			olds = src.side.appendOlds(olds[:0], p, from+i)
			n.slots[i].setNewest(n.ensureSide().adopt(olds))
		}
	}
}

// addKids inserts nodes behind kid i of k's node, which the writer owns and
// whose own place in it is already up to date.
func (t *Tree) addKids(k *kid, i int, more []part) []part {
	n := k.n
	t.addToList(n.keys, 0, i)
	added := make([]kid, len(more))
	for j, p := range more {
		t.list = append(t.list, splitKey{suffix: p.sep})
		added[j] = p.kid
	}
	t.addToList(n.keys, i, n.keys.count())
	atEnd := i == len(n.kids)-1
	n.kids = slices.Insert(n.kids, i+1, added...)
	return t.cutInner(k, atEnd)
}

// innerCuts is leafCuts for kids; list holds the separators between them.
func innerCuts(cuts []int, list []splitKey, offset int, atEnd bool) []int {
	n := len(list) + 1
	if n < 2*minKids || n <= maxKids && fits(list) {
		return cuts
	}
	m := min(max(middle(list)+1, minKids), n-minKids)
	if atEnd {
		m = n - minKids
	}
	cuts = innerCuts(cuts, list[:m-1], offset, false)
	cuts = append(cuts, offset+m)
	return innerCuts(cuts, list[m:], offset+m, false)
}

// cutInner gives the inner node of k, whose kids are complete, the separators
// in the working list, and splits it where it is too large. The separator between two
// parts moves up and is in neither.
func (t *Tree) cutInner(k *kid, atEnd bool) []part {
	defer t.clearList()
	n, list := k.n, t.list
	cuts := innerCuts(nil, list, 0, atEnd)
	if len(cuts) == 0 {
		n.keys = pack(list)
		return nil
	}
	cuts = append(cuts, len(n.kids))
	var parts []part
	from := 0
	for _, to := range cuts {
		p := &node{gen: t.gen, keys: pack(list[from : to-1]), kids: slices.Clone(n.kids[from:to])}
		piece := part{kid: kid{p, 0}}
		for _, c := range p.kids {
			piece.live += c.live
		}
		if from > 0 {
			up := list[from-1]
			piece.sep = make([]byte, up.len())
			up.copyRange(piece.sep, 0, up.len())
		}
		parts = append(parts, piece)
		from = to
	}
	*k = parts[0].kid
	return parts[1:]
}
