package keyindex

import "keelson/internal/base"

// Root is the index at one moment. It is a value, costs nothing to keep except the
// nodes it holds alive, and any goroutine may read it. The zero Root is empty.
//
// In all methods an empty lo is the lowest key, a nil hi means no upper bound,
// any other hi is exclusive.
type Root struct {
	top  kid
	pool *scratchPool
}

// Len returns the number of live keys.
func (r Root) Len() int64 { return r.top.live }

// Get returns the latest version of key, also when it is a tombstone.
func (r Root) Get(key []byte) (Entry, bool) {
	n, i, ok := r.find(key)
	if !ok {
		return Entry{}, false
	}
	return n.entry(i), true
}

// At returns the newest version of key with Main <= rev.
func (r Root) At(key []byte, rev int64) (mod base.Revision, tombstone, ok bool) {
	n, i, found := r.find(key)
	if !found {
		return base.Revision{}, false, false
	}
	o, ok := n.at(i, rev)
	return o.Rev, o.Tombstone, ok
}

// find returns the leaf that holds key and its number there.
func (r Root) find(key []byte) (*node, int, bool) {
	n := r.top.n
	if n == nil {
		return nil, 0, false
	}
	for !n.leaf() {
		n = n.kids[n.keys.child(key)].n
	}
	i, ok := n.keys.search(key)
	return n, i, ok
}

// at returns the newest version of slot i with main <= rev.
func (n *node) at(i int, rev int64) (Old, bool) {
	s := &n.slots[i]
	if s.main <= rev {
		return Old{Rev: s.revision(), Tombstone: s.tombstone()}, true
	}
	newest := s.newest()
	if newest == 0 {
		return Old{}, false
	}
	h := &n.side.history
	p, _ := h.floor(newest, rev)
	if p == 0 || p < h.cut(i) {
		return Old{}, false
	}
	return h.at(p).old(), true
}

// Count returns the number of live keys in [lo, hi) in O(log n).
func (r Root) Count(lo, hi []byte) int64 {
	above := r.top.live
	if hi != nil {
		above = r.below(hi)
	}
	return max(above-r.below(lo), 0)
}

// below returns the number of live keys below key.
func (r Root) below(key []byte) int64 {
	if len(key) == 0 || r.top.n == nil {
		return 0
	}
	var sum int64
	k := r.top
	for !k.n.leaf() {
		i := k.n.keys.child(key)
		for j := range k.n.kids[:i] {
			sum += k.n.kids[j].live
		}
		k = k.n.kids[i]
	}
	i, _ := k.n.keys.search(key)
	if k.live == int64(len(k.n.slots)) {
		return sum + int64(i) // no tombstones here
	}
	return sum + k.n.countLive(0, i)
}
