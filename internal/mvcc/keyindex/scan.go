package keyindex

import (
	"sync"

	"keelson/internal/base"
)

// scratch is where a scan joins the two parts of a key, and lists the older
// versions of one.
type scratch struct {
	key  []byte
	olds []Old
}

// scratchPool lends scratch to the scans of all Roots of a tree, so that a
// scan allocates nothing.
type scratchPool struct{ pool sync.Pool }

// maxScratch is the most bytes (of key) and half the most items (of older
// versions) a scratch may keep: a scan over huge keys does not leave their memory behind.
const maxScratch = 64 << 10

func (p *scratchPool) get() *scratch {
	if s, ok := p.pool.Get().(*scratch); ok {
		return s
	}
	return &scratch{key: make([]byte, 0, 256)}
}

func (p *scratchPool) put(s *scratch) {
	if cap(s.key) <= maxScratch && cap(s.olds) <= maxScratch/2 {
		p.pool.Put(s)
	}
}

// walk visits the leaves that may hold keys of [lo, hi), in order, with the
// numbers of the keys that are in the range. liveOnly leaves out parts of the tree
// without live keys. It reports false when visit did.
func walk(k kid, lo, hi []byte, liveOnly bool, visit func(n *node, from, to int) bool) bool {
	n := k.n
	if n == nil || liveOnly && k.live == 0 {
		return true
	}
	from, to := 0, n.items()
	if n.leaf() {
		if len(lo) > 0 {
			from, _ = n.keys.search(lo)
		}
		if hi != nil {
			to, _ = n.keys.search(hi)
		}
		return from >= to || visit(n, from, to)
	}
	if len(lo) > 0 {
		from = n.keys.child(lo)
	}
	if hi != nil {
		to = n.keys.child(hi) + 1
	}
	for i := from; i < to; i++ {
		first, last := lo, hi
		if i > from {
			first = nil
		}
		if i < to-1 {
			last = nil
		}
		if !walk(n.kids[i], first, last, liveOnly, visit) {
			return false
		}
	}
	return true
}

// Scan yields the live keys in [lo, hi) in order with their latest version,
// until yield returns false. key is valid only until yield returns.
func (r Root) Scan(lo, hi []byte, yield func(key []byte, e Entry) bool) {
	if r.top.n == nil {
		return
	}
	tmp := r.pool.get()
	walk(r.top, lo, hi, true, func(n *node, from, to int) bool {
		keys := n.join(tmp)
		for i := from; i < to; i++ {
			if !n.slots[i].tombstone() && !yield(keys.key(i), n.entry(i)) {
				return false
			}
		}
		return true
	})
	r.pool.put(tmp)
}

// ScanAt yields the keys in [lo, hi) that were live at revision rev, in order,
// with the revision of the version they had, until yield returns false. key
// is valid only until yield returns.
func (r Root) ScanAt(lo, hi []byte, rev int64, yield func(key []byte, mod base.Revision) bool) {
	if r.top.n == nil {
		return
	}
	tmp := r.pool.get()
	walk(r.top, lo, hi, false, func(n *node, from, to int) bool {
		keys := n.join(tmp)
		for i := from; i < to; i++ {
			o, ok := n.at(i, rev)
			if ok && !o.Tombstone && !yield(keys.key(i), o.Rev) {
				return false
			}
		}
		return true
	})
	r.pool.put(tmp)
}

// CountAt returns the number of keys in [lo, hi) that were live at revision
// rev. Unlike Count it visits all of them.
func (r Root) CountAt(lo, hi []byte, rev int64) int64 {
	var live int64
	walk(r.top, lo, hi, false, func(n *node, from, to int) bool {
		for i := from; i < to; i++ {
			if o, ok := n.at(i, rev); ok && !o.Tombstone {
				live++
			}
		}
		return true
	})
	return live
}

// ScanAll yields every key in [lo, hi), tombstoned ones included, in order,
// with its older versions (ascending) and its latest one, until yield returns false.
// key and olds are valid only until yield returns.
func (r Root) ScanAll(lo, hi []byte, yield func(key []byte, olds []Old, latest Entry) bool) {
	if r.top.n == nil {
		return
	}
	tmp := r.pool.get()
	walk(r.top, lo, hi, false, func(n *node, from, to int) bool {
		keys := n.join(tmp)
		for i := from; i < to; i++ {
			tmp.olds = tmp.olds[:0]
			if p := n.slots[i].newest(); p != 0 {
				tmp.olds = n.side.appendOlds(tmp.olds, p, i)
			}
			if !yield(keys.key(i), tmp.olds, n.entry(i)) {
				return false
			}
		}
		return true
	})
	r.pool.put(tmp)
}

// joiner puts the keys of one leaf together: the prefix is copied once.
type joiner struct {
	tmp     *scratch
	keys    keys
	n       int // number of keys
	prefix  int // length of the prefix
	suffix0 int // where the suffixes start
}

func (n *node) join(tmp *scratch) joiner {
	prefix := n.keys.prefix()
	tmp.key = append(tmp.key[:0], prefix...)
	return joiner{tmp, n.keys, len(n.slots), len(prefix), n.keys.suffixes()}
}

// key returns key i; it overwrites the key returned before.
func (j *joiner) key(i int) []byte {
	from := j.suffix0
	if i > 0 {
		from += j.keys.end(j.n, i-1)
	}
	suffix := j.keys[from : j.suffix0+j.keys.end(j.n, i)]
	j.tmp.key = append(j.tmp.key[:j.prefix], suffix...)
	return j.tmp.key
}
