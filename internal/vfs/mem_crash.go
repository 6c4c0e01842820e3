package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// CrashMode says what becomes of what was not durable when the power went.
type CrashMode uint8

const (
	// CrashRandom decides by the seed: each change of names on its own is kept
	// or lost, and the unsynced bytes of each file are all lost, all kept, kept
	// up to some sector, or kept in some sectors only.
	CrashRandom CrashMode = iota
	// CrashLose loses all of it.
	CrashLose
	// CrashKeep loses none of it.
	CrashKeep
)

func (c CrashMode) String() string {
	switch c {
	case CrashLose:
		return "lose"
	case CrashKeep:
		return "keep"
	}
	return "random"
}

// Crash takes the power away and returns the disk found after it came back.
func (m *Mem) Crash(mode CrashMode, seed uint64) *Mem {
	m.PowerOff()
	return m.CrashClone(mode, seed)
}

// CrashClone returns the disk that would be found if the power went now; m
// itself goes on. Everything on the new disk is durable, no file is open or
// locked, the quota is kept, hook and stop are not. The seed matters to
// CrashRandom only; the same calls and the same seed leave the same disk.
func (m *Mem) CrashClone(mode CrashMode, seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	rng := rand.New(rand.NewPCG(seed, uint64(mode)))
	names := m.survivingNamesLocked(mode, rng)
	clone := &Mem{noMap: m.noMap, quota: m.quota, stopAfter: -1}
	clone.root = clone.adopt(m.root, names, mode, rng)
	return clone
}

// namesAfter is the names of each directory after the crash.
type namesAfter map[*memNode]map[string]*memNode

// of returns the names of dir, at first the durable ones.
func (a namesAfter) of(dir *memNode) map[string]*memNode {
	if a[dir] == nil {
		a[dir] = maps.Clone(dir.durableNames)
	}
	return a[dir]
}

// survivingNamesLocked applies to the durable names those of the pending
// changes that reached the disk. Losing any subset is more than a journalling
// file system would do; code that is right on this disk is right on those.
func (m *Mem) survivingNamesLocked(mode CrashMode, rng *rand.Rand) namesAfter {
	after := namesAfter{}
	for _, op := range m.pending {
		if mode == CrashLose || mode == CrashRandom && rng.IntN(2) == 0 {
			continue
		}
		for _, c := range op.changes {
			if c.node == nil {
				delete(after.of(c.dir), c.base)
				continue
			}
			// When an earlier rename of the node was lost and this one was
			// not, it must not end up with two names.
			m.unnameLocked(after, c.node)
			after.of(c.dir)[c.base] = c.node
		}
	}
	return after
}

// unnameLocked removes the names of n in the directories whose names are known
// to have changed, and in those where it is durable.
func (m *Mem) unnameLocked(after namesAfter, n *memNode) {
	for _, op := range m.pending {
		for _, c := range op.changes {
			names := after.of(c.dir)
			if names[c.base] == n {
				delete(names, c.base)
			}
		}
	}
}

// adopt copies what survives of n and what is below it onto the new disk. It
// walks in the order of names, so that the seed alone decides.
func (m *Mem) adopt(n *memNode, names namesAfter, mode CrashMode, rng *rand.Rand) *memNode {
	if !n.isDir {
		c := n.survive(mode, rng)
		m.used += c.charged()
		return &memNode{
			live:    c,
			durable: content{size: c.size, reserved: c.reserved, pages: maps.Clone(c.pages)},
			dirty:   map[int64]struct{}{},
			linked:  true,
		}
	}
	dir := newMemDir()
	below := names.of(n)
	for _, name := range slices.Sorted(maps.Keys(below)) {
		dir.names[name] = m.adopt(below[name], names, mode, rng)
	}
	dir.durableNames = maps.Clone(dir.names)
	return dir
}

// survive decides what a crash leaves of a file.
func (n *memNode) survive(mode CrashMode, rng *rand.Rand) content {
	unsynced := len(n.dirty) > 0 || n.live.size != n.durable.size || n.live.reserved != n.durable.reserved
	if !unsynced {
		return content{n.durable.size, n.durable.reserved, maps.Clone(n.durable.pages)}
	}
	switch mode {
	case CrashLose:
		return n.mix(n.durable.size, func(int64) bool { return false })
	case CrashKeep:
		return n.mix(n.live.size, func(int64) bool { return true })
	}
	size := n.durable.size
	switch rng.IntN(3) {
	case 0:
		size = n.live.size
	case 1: // a growing file may have got half way
		if grown := n.live.size - n.durable.size; grown > 0 {
			size += rng.Int64N(grown + 1)
		}
	}
	switch rng.IntN(4) {
	case 0:
		return n.mix(size, func(int64) bool { return false })
	case 1:
		return n.mix(size, func(int64) bool { return true })
	case 2:
		end := rng.Int64N(n.live.size/sectorBytes + 2)
		return n.mix(size, func(s int64) bool { return s < end })
	}
	return n.mix(size, func(int64) bool { return rng.IntN(2) == 0 })
}

// mix builds a content of the given length out of the durable sectors and,
// where keep says so, the live ones. Sectors behind the live end are always
// durable ones: a truncation that was lost took no bytes with it.
func (n *memNode) mix(size int64, keep func(sector int64) bool) content {
	c := content{size: size, reserved: n.durable.reserved, pages: maps.Clone(n.durable.pages)}
	if size == n.live.size {
		c.reserved = n.live.reserved
	}
	for _, i := range slices.Sorted(maps.Keys(n.dirty)) {
		var fresh page
		if old := n.durable.pages[i]; old != nil {
			fresh = *old
		}
		for s := i * sectorsPerPage; s < (i+1)*sectorsPerPage; s++ {
			if s*sectorBytes >= n.live.size || !keep(s) {
				continue
			}
			dst := fresh[s%sectorsPerPage*sectorBytes:][:sectorBytes]
			clear(dst)
			copy(dst, n.live.sector(s))
		}
		if fresh == (page{}) {
			delete(c.pages, i)
		} else {
			c.pages[i] = &fresh
		}
	}
	return c.cut()
}

// cut drops what lies behind the end, so that a longer file reads zeros there.
func (c content) cut() content {
	for i := range c.pages {
		if i >= pagesFor(c.size) {
			delete(c.pages, i)
		}
	}
	last, in := c.size/pageBytes, c.size%pageBytes
	if old := c.pages[last]; old != nil && in != 0 {
		fresh := *old
		clear(fresh[in:])
		c.pages[last] = &fresh
	}
	c.reserved = min(c.reserved, pagesFor(c.size))
	return c
}

// commitNamesLocked makes the names of dir durable: every pending change that
// touches it, and with a change that touches a second directory whatever that
// one waited for before, so that no older change is applied after a newer.
func (m *Mem) commitNamesLocked(dir *memNode) {
	dirs := map[*memNode]bool{dir: true}
	commit := make([]bool, len(m.pending))
	for i := len(m.pending) - 1; i >= 0; i-- {
		for _, c := range m.pending[i].changes {
			commit[i] = commit[i] || dirs[c.dir]
		}
		if commit[i] {
			for _, c := range m.pending[i].changes {
				dirs[c.dir] = true
			}
		}
	}
	var rest []nameOp
	for i, op := range m.pending {
		if !commit[i] {
			rest = append(rest, op)
			continue
		}
		for _, c := range op.changes {
			if c.node == nil {
				delete(c.dir.durableNames, c.base)
			} else {
				c.dir.durableNames[c.base] = c.node
			}
		}
	}
	m.pending = rest
}

// Corrupt flips the bits of mask in the byte of a file at off, in the live and
// the durable state: what a failing drive does to bytes at rest.
func (m *Mem) Corrupt(name string, off int64, mask byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookupLocked(name)
	if err == nil && (n.isDir || off < 0 || off >= n.live.size) {
		err = errOutOfFile
	}
	if err != nil {
		return pathError("corrupt", name, err)
	}
	i, at := off/pageBytes, off%pageBytes
	durable := n.durable.pages[i] != nil
	m.used -= n.live.charged()
	n.ownPage(i)
	m.used += n.live.charged()
	n.live.pages[i][at] ^= mask
	if durable {
		fresh := *n.durable.pages[i]
		fresh[at] ^= mask
		n.durable.pages[i] = &fresh
	}
	return nil
}
