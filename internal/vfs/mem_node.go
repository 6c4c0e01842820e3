package vfs

import "slices"

// The simulated disk stores files in pages and loses them in sectors. A page
// is the unit of space accounting, as a block is on ext4; a sector is what a
// drive writes whole or not at all.
const (
	pageBytes   = 4096
	sectorBytes = 512
)

type page [pageBytes]byte

// memNode is a file or a directory of a Mem, guarded by Mem.mu. Each has two
// states: the live one, which calls see, and the durable one, which a loss of
// power leaves for certain.
type memNode struct {
	isDir bool

	// Directories: base name to node. The names that are live and not durable
	// are the business of Mem.pending.
	names        map[string]*memNode
	durableNames map[string]*memNode

	// Files. A page that live and durable share is never written in place, so
	// it may be shared with the disks a crash leaves, too.
	live    content
	durable content
	dirty   map[int64]struct{} // pages in which the two may differ

	linked bool     // reachable by a live name
	opens  int      // open handles; the space is freed without name and handle
	holder *memFile // who holds the lock
}

func newMemDir() *memNode {
	return &memNode{
		isDir:        true,
		names:        map[string]*memNode{},
		durableNames: map[string]*memNode{},
		linked:       true,
	}
}

func newMemFile() *memNode {
	return &memNode{
		live:    content{pages: map[int64]*page{}},
		durable: content{pages: map[int64]*page{}},
		dirty:   map[int64]struct{}{},
	}
}

// sortedNames lists the live names of a directory.
func (n *memNode) sortedNames() []string {
	names := make([]string, 0, len(n.names))
	for name := range n.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sync makes the content durable.
func (n *memNode) sync() {
	for i := range n.dirty {
		if p, ok := n.live.pages[i]; ok {
			n.durable.pages[i] = p
		} else {
			delete(n.durable.pages, i)
		}
	}
	clear(n.dirty)
	n.durable.size, n.durable.reserved = n.live.size, n.live.reserved
}

// writePage copies p into page i at offset at and makes the page private to
// the live state first.
func (n *memNode) writePage(i int64, at int, p []byte) {
	n.ownPage(i)
	copy(n.live.pages[i][at:], p)
}

// ownPage makes page i exist in the live state, shared with nothing.
func (n *memNode) ownPage(i int64) {
	n.dirty[i] = struct{}{}
	switch old := n.live.pages[i]; {
	case old == nil:
		n.live.pages[i] = new(page)
	case old == n.durable.pages[i]:
		fresh := *old
		n.live.pages[i] = &fresh
	}
}

// truncate sets the live length. What lies behind a shorter end is gone: a
// longer file reads as zeros there.
func (n *memNode) truncate(size int64) {
	for i := range n.live.pages {
		if i >= pagesFor(size) {
			delete(n.live.pages, i)
			n.dirty[i] = struct{}{}
		}
	}
	if last, in := size/pageBytes, size%pageBytes; in != 0 && n.live.pages[last] != nil {
		n.ownPage(last)
		clear(n.live.pages[last][in:])
	}
	n.live.reserved = min(n.live.reserved, pagesFor(size))
	n.live.size = size
}

// content is what a file holds. A page that is absent reads as zeros.
type content struct {
	size     int64
	reserved int64 // pages below this number are paid for, written or not
	pages    map[int64]*page
}

// pagesFor is the number of pages that size bytes touch.
func pagesFor(size int64) int64 { return (size + pageBytes - 1) / pageBytes }

// readAt copies bytes from off on and returns how many there were.
func (c *content) readAt(p []byte, off int64) int {
	n := 0
	for n < len(p) && off < c.size {
		i, at := off/pageBytes, off%pageBytes
		want := min(int64(len(p)-n), pageBytes-at, c.size-off)
		dst := p[n : n+int(want)]
		if pg := c.pages[i]; pg != nil {
			copy(dst, pg[at:])
		} else {
			clear(dst)
		}
		n += int(want)
		off += want
	}
	return n
}

// charged is the number of pages the content costs: the reserved ones and
// those written behind them.
func (c *content) charged() int64 {
	n := c.reserved
	for i := range c.pages {
		if i >= c.reserved {
			n++
		}
	}
	return n
}

// sector returns sector s; nil stands for zeros.
func (c *content) sector(s int64) []byte {
	pg := c.pages[s/sectorsPerPage]
	if pg == nil {
		return nil
	}
	at := s % sectorsPerPage * sectorBytes
	return pg[at : at+sectorBytes]
}

const sectorsPerPage = pageBytes / sectorBytes
