package keyindex

import (
	"bytes"
	"fmt"
)

// check walks the whole tree and returns the first broken invariant.
func (t *Tree) check() error {
	if len(t.list) != 0 {
		return fmt.Errorf("working list holds %d keys between calls", len(t.list))
	}
	if t.root.n == nil {
		if t.root.live != 0 {
			return fmt.Errorf("empty tree with %d live keys", t.root.live)
		}
		return nil
	}
	if n := t.root.n; !n.leaf() && len(n.kids) < 2 {
		return fmt.Errorf("root has %d kids", len(n.kids))
	}
	c := checker{gen: t.gen}
	return c.node(t.root, nil, nil, 0)
}

type checker struct {
	gen       uint64
	leafDepth int
	sawLeaf   bool
}

// node checks the part of the tree below k, all keys of which are in [lo, hi).
func (c *checker) node(k kid, lo, hi []byte, depth int) error {
	n := k.n
	if n.gen > c.gen {
		return fmt.Errorf("node of generation %d in a tree of generation %d", n.gen, c.gen)
	}
	if err := checkKeys(n.keys, lo, hi); err != nil {
		return err
	}
	if n.leaf() {
		if c.sawLeaf && c.leafDepth != depth {
			return fmt.Errorf("leaves at depths %d and %d", c.leafDepth, depth)
		}
		c.sawLeaf, c.leafDepth = true, depth
		return checkLeaf(k)
	}
	if len(n.kids) == 0 || len(n.kids) > maxKids || n.keys.count() != len(n.kids)-1 {
		return fmt.Errorf("inner node with %d kids and %d separators", len(n.kids), n.keys.count())
	}
	if n.slots != nil || n.side != nil {
		return fmt.Errorf("inner node with slots")
	}
	var live int64
	for i, below := range n.kids {
		l, h := lo, hi
		if i > 0 {
			l = joined(n.keys.key(i - 1))
		}
		if i < len(n.kids)-1 {
			h = joined(n.keys.key(i))
		}
		if below.n.gen > n.gen {
			return fmt.Errorf("frozen node of generation %d leads to one of %d", n.gen, below.n.gen)
		}
		if err := c.node(below, l, h, depth+1); err != nil {
			return err
		}
		live += below.live
	}
	if live != k.live {
		return fmt.Errorf("count of inner node is %d, its kids have %d", k.live, live)
	}
	return nil
}

func joined(s splitKey) []byte { return append(append([]byte(nil), s.prefix...), s.suffix...) }

func checkKeys(ks keys, lo, hi []byte) error {
	var prev []byte
	for i := range ks.count() {
		key := joined(ks.key(i))
		switch {
		case i > 0 && bytes.Compare(prev, key) >= 0:
			return fmt.Errorf("key %q is not above %q", key, prev)
		case bytes.Compare(key, lo) < 0:
			return fmt.Errorf("key %q is below its bound %q", key, lo)
		case hi != nil && bytes.Compare(key, hi) >= 0:
			return fmt.Errorf("key %q is not below its bound %q", key, hi)
		case ks.head(i) != headOf(ks.suffix(i)):
			return fmt.Errorf("head of key %q is %08x", key, ks.head(i))
		}
		if at, ok := ks.search(key); !ok || at != i {
			return fmt.Errorf("search for key %d gives %d, %v", i, at, ok)
		}
		prev = key
	}
	if n := ks.count(); n > 0 && ks.suffixes()+ks.end(n, n-1) != len(ks) {
		return fmt.Errorf("block of %d bytes, keys end at %d", len(ks), ks.suffixes()+ks.end(n, n-1))
	}
	return nil
}

func checkLeaf(k kid) error {
	n := k.n
	items := len(n.slots)
	if items == 0 || items > maxSlots || n.keys.count() != items {
		return fmt.Errorf("leaf with %d slots and %d keys", items, n.keys.count())
	}
	if items > 1 && n.keys.suffixBytes() > maxSuffixBytes {
		return fmt.Errorf("leaf with %d keys of %d bytes", items, n.keys.suffixBytes())
	}
	if live := n.countLive(0, items); live != k.live {
		return fmt.Errorf("count of leaf is %d, it has %d", k.live, live)
	}
	if n.side == nil {
		for i := range n.slots {
			if n.slots[i].newest() != 0 {
				return fmt.Errorf("older versions without a log")
			}
		}
		return nil
	}
	s := n.side
	if s.leases == nil && s.log == nil {
		return fmt.Errorf("empty side table")
	}
	if s.leases != nil && len(s.leases) != items || s.cuts != nil && len(s.cuts) != items {
		return fmt.Errorf("%d slots, %d leases, %d cuts", items, len(s.leases), len(s.cuts))
	}
	retained := 0
	for i := range n.slots {
		count, err := s.checkChain(&n.slots[i], i)
		if err != nil {
			return err
		}
		retained += count
	}
	if retained+s.dead != len(s.log) || 2*s.dead > len(s.log) {
		return fmt.Errorf("log of %d records: %d retained, %d dead", len(s.log), retained, s.dead)
	}
	return nil
}

// checkChain checks the chain of one slot and returns its length.
func (h *history) checkChain(s *slot, i int) (int, error) {
	if s.newest() == 0 && h.cut(i) != 0 {
		return 0, fmt.Errorf("a cut without a chain")
	}
	count, last := 0, s.revision()
	for p := s.newest(); p != 0 && p >= h.cut(i); p = h.at(p).older() {
		r := h.at(p)
		if !r.old().Rev.Less(last) {
			return 0, fmt.Errorf("older version %v under %v", r.old().Rev, last)
		}
		if d, _ := h.depthJump(r.older()); d+1 != r.depth {
			return 0, fmt.Errorf("depth %d above depth %d", r.depth, d)
		}
		if r.jump != 0 && r.jump > r.older() {
			return 0, fmt.Errorf("jump to %d passes nothing, next is %d", r.jump, r.older())
		}
		last = r.old().Rev
		count++
	}
	if count != h.retained(s.newest(), i) {
		return 0, fmt.Errorf("chain of %d, retained says %d", count, h.retained(s.newest(), i))
	}
	return count, nil
}
