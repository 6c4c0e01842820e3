package watch

import "bytes"

// rangeTree holds watchers of key intervals: an AVL tree ordered by
// (lo, hi), in which every node knows the greatest hi below it, so that the
// intervals around a key are found in O(log n + hits). Watchers of the very
// same interval share a node. A nil hi is unbounded.
//
//	        [c,k) max=z
//	       /           \
//	[a,e) max=e      [f,z) max=z      who contains "m"? The left half
//	                                  ends at e: one comparison skips it.
type rangeTree struct {
	root *rangeNode
}

type rangeNode struct {
	lo, hi      []byte
	max         []byte // greatest hi in this subtree; nil = unbounded
	left, right *rangeNode
	height      int
	members     bucket
}

// compareEnds orders upper bounds; nil, the unbounded one, is the greatest.
func compareEnds(a, b []byte) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return bytes.Compare(a, b)
}

func compareRanges(alo, ahi, blo, bhi []byte) int {
	if c := bytes.Compare(alo, blo); c != 0 {
		return c
	}
	return compareEnds(ahi, bhi)
}

// node returns the node of [lo, hi), made if there is none. The tree keeps
// the slices.
func (t *rangeTree) node(lo, hi []byte) *rangeNode {
	var found *rangeNode
	t.root = insertRange(t.root, lo, hi, &found)
	return found
}

func insertRange(n *rangeNode, lo, hi []byte, found **rangeNode) *rangeNode {
	if n == nil {
		n = &rangeNode{lo: lo, hi: hi, max: hi, height: 1}
		*found = n
		return n
	}
	switch c := compareRanges(lo, hi, n.lo, n.hi); {
	case c == 0:
		*found = n
		return n
	case c < 0:
		n.left = insertRange(n.left, lo, hi, found)
	default:
		n.right = insertRange(n.right, lo, hi, found)
	}
	return n.balance()
}

// remove takes the node of [lo, hi) out. Nodes are relinked, their contents
// never copied: a bucket stays where it is as long as it has watchers.
func (t *rangeTree) remove(lo, hi []byte) {
	t.root = removeRange(t.root, lo, hi)
}

func removeRange(n *rangeNode, lo, hi []byte) *rangeNode {
	if n == nil {
		return nil
	}
	switch c := compareRanges(lo, hi, n.lo, n.hi); {
	case c < 0:
		n.left = removeRange(n.left, lo, hi)
	case c > 0:
		n.right = removeRange(n.right, lo, hi)
	case n.left == nil:
		return n.right
	case n.right == nil:
		return n.left
	default:
		rest, first := cutFirst(n.right)
		first.left, first.right = n.left, rest
		n = first
	}
	return n.balance()
}

// cutFirst removes the leftmost node below n and returns both parts.
func cutFirst(n *rangeNode) (rest, first *rangeNode) {
	if n.left == nil {
		return n.right, n
	}
	n.left, first = cutFirst(n.left)
	return n.balance(), first
}

func (n *rangeNode) heightOf() int {
	if n == nil {
		return 0
	}
	return n.height
}

// refresh recomputes what n says about its subtree.
func (n *rangeNode) refresh() {
	n.height = 1 + max(n.left.heightOf(), n.right.heightOf())
	n.max = n.hi
	if n.left != nil && compareEnds(n.left.max, n.max) > 0 {
		n.max = n.left.max
	}
	if n.right != nil && compareEnds(n.right.max, n.max) > 0 {
		n.max = n.right.max
	}
}

func (n *rangeNode) balance() *rangeNode {
	n.refresh()
	switch n.left.heightOf() - n.right.heightOf() {
	case 2:
		if n.left.left.heightOf() < n.left.right.heightOf() {
			n.left = n.left.rotateLeft()
		}
		return n.rotateRight()
	case -2:
		if n.right.right.heightOf() < n.right.left.heightOf() {
			n.right = n.right.rotateRight()
		}
		return n.rotateLeft()
	}
	return n
}

func (n *rangeNode) rotateLeft() *rangeNode {
	top := n.right
	n.right, top.left = top.left, n
	n.refresh()
	top.refresh()
	return top
}

func (n *rangeNode) rotateRight() *rangeNode {
	top := n.left
	n.left, top.right = top.right, n
	n.refresh()
	top.refresh()
	return top
}

// appendMatches appends the watchers whose interval holds key.
func (n *rangeNode) appendMatches(dst []*watcher, key []byte) []*watcher {
	for n != nil && (n.max == nil || bytes.Compare(key, n.max) < 0) {
		dst = n.left.appendMatches(dst, key)
		if bytes.Compare(key, n.lo) < 0 {
			return dst // everything to the right begins later still
		}
		if n.hi == nil || bytes.Compare(key, n.hi) < 0 {
			dst = append(dst, n.members.watchers...)
		}
		n = n.right
	}
	return dst
}
