package keyindex

import "keelson/internal/base"

// Tree is the index as its one writer sees it.
type Tree struct {
	gen  uint64 // nodes of this generation may be changed in place
	root kid    // n is nil while the tree is empty
	pool *scratchPool

	list []splitKey // working space for keys on their way between nodes, empty between calls
}

// New returns an empty tree.
func New() *Tree { return &Tree{gen: 1, pool: &scratchPool{}} }

// Freeze returns the tree as it is now. The Root never changes; later writes
// copy what they touch.
func (t *Tree) Freeze() Root {
	t.gen++
	return t.Peek()
}

// Peek returns a Root for the writer's own reading, without the price of a
// Freeze (later writes need not copy). It is valid only until the tree is
// changed and must not be handed to another goroutine.
func (t *Tree) Peek() Root { return Root{top: t.root, pool: t.pool} }

// Get returns the latest version of key, also when it is a tombstone.
func (t *Tree) Get(key []byte) (Entry, bool) { return t.Peek().Get(key) }

// Len returns the number of live keys.
func (t *Tree) Len() int64 { return t.root.live }

// Put makes e the latest version of key; the version that was the latest
// becomes the newest of its older ones. The key is copied. e.Mod must follow the
// key's latest revision.
func (t *Tree) Put(key []byte, e Entry) {
	s := makeSlot(e)
	if t.root.n == nil {
		n := &node{gen: t.gen, keys: pack([]splitKey{{suffix: key}}), slots: []slot{s}}
		if !e.Tombstone {
			n.setLease(0, int64(e.Lease))
		}
		t.root = kid{n, s.live()}
		return
	}
	t.grow(t.put(&t.root, key, s, e.Lease))
}

// put adds a version below k, which lies in memory the writer owns. When k's
// node had to be split, k is its first part and put returns the others.
func (t *Tree) put(k *kid, key []byte, s slot, lease base.LeaseID) []part {
	if k.n.leaf() {
		return t.putLeaf(k, key, s, lease)
	}
	n := t.own(k)
	i := n.keys.child(key)
	below := &n.kids[i]
	k.live -= below.live
	more := t.put(below, key, s, lease)
	k.live += below.live
	if len(more) == 0 {
		return nil
	}
	for _, p := range more {
		k.live += p.live
	}
	return t.addKids(k, i, more)
}

func (t *Tree) putLeaf(k *kid, key []byte, s slot, lease base.LeaseID) []part {
	if s.tombstone() {
		lease = 0
	}
	i, found := k.n.keys.search(key)
	if !found {
		return t.insert(k, i, key, s, lease)
	}
	mustFollow(k.n.slots[i].revision(), s.revision())
	n := t.own(k)
	was := &n.slots[i]
	k.live += s.live() - was.live()
	s.setNewest(n.ensureSide().push(was.newest(), was.main, was.sub, was.tombstone()))
	*was = s
	n.setLease(i, int64(lease))
	return nil
}

// insert adds a new key as number i of a leaf.
func (t *Tree) insert(k *kid, i int, key []byte, s slot, lease base.LeaseID) []part {
	k.live += s.live()
	before := k.n.keys
	n := t.ownForInsert(k, i, s)
	n.setLease(i, int64(lease))
	if packed, ok := before.insert(i, key); ok && len(n.slots) <= maxSlots {
		n.keys = packed
		return nil
	}
	t.addToList(before, 0, i)
	t.list = append(t.list, splitKey{suffix: key})
	t.addToList(before, i, before.count())
	return t.cutLeaf(k, i)
}

// grow puts new inner nodes on top of a root that was split.
func (t *Tree) grow(more []part) {
	for len(more) > 0 {
		top := kid{&node{gen: t.gen, kids: []kid{t.root}}, t.root.live}
		for _, p := range more {
			top.live += p.live
		}
		t.root = top
		more = t.addKids(&t.root, 0, more)
	}
}
