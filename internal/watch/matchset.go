package watch

// bucket holds the watchers of one key or interval. A watcher knows its slot,
// so that leaving is O(1) among thousands on the same key.
type bucket struct {
	watchers []*watcher
}

func (b *bucket) add(w *watcher) {
	w.slot = len(b.watchers)
	b.watchers = append(b.watchers, w)
}

func (b *bucket) remove(w *watcher) {
	last := len(b.watchers) - 1
	moved := b.watchers[last]
	b.watchers[w.slot], moved.slot = moved, w.slot
	b.watchers[last] = nil
	b.watchers = b.watchers[:last]
}

// matchSet finds the watchers that a key concerns: a hash map for those of
// exactly one key, a tree for those of intervals. A watcher is in at most one
// set at a time.
type matchSet struct {
	exact  map[string]*bucket
	ranges rangeTree
}

func (m *matchSet) add(w *watcher) {
	if w.keys.IsSingle() {
		b := m.exact[string(w.keys.Key)]
		if b == nil {
			if m.exact == nil {
				m.exact = make(map[string]*bucket)
			}
			b = &bucket{}
			m.exact[string(w.keys.Key)] = b
		}
		b.add(w)
		return
	}
	lo, hi := w.keys.Bounds()
	m.ranges.node(lo, hi).members.add(w)
}

func (m *matchSet) remove(w *watcher) {
	if w.keys.IsSingle() {
		b := m.exact[string(w.keys.Key)]
		b.remove(w)
		if len(b.watchers) == 0 {
			delete(m.exact, string(w.keys.Key))
		}
		return
	}
	lo, hi := w.keys.Bounds()
	n := m.ranges.node(lo, hi)
	n.members.remove(w)
	if len(n.members.watchers) == 0 {
		m.ranges.remove(lo, hi)
	}
}

// appendMatches appends the watchers of key to dst.
func (m *matchSet) appendMatches(dst []*watcher, key []byte) []*watcher {
	if b := m.exact[string(key)]; b != nil {
		dst = append(dst, b.watchers...)
	}
	return m.ranges.root.appendMatches(dst, key)
}
