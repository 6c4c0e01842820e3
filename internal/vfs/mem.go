package vfs

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"sync"
)

// ErrPowerLost is what every call gets on a Mem without power.
var ErrPowerLost = errors.New("simulated power loss")

var errOutOfFile = errors.New("no such byte")

// Mem is a simulated disk in memory. It keeps what was written apart from what
// was made durable, so that a test can take the power away at any moment and
// look at what a real disk might hold then:
//
//	content of a file     durable after Sync or SyncData of it
//	names in a directory  durable after SyncDir of it; a rename between two
//	                      directories after SyncDir of either
//
// CrashClone makes the disk that is found after the loss. A Mem is safe for
// concurrent use.
//
// Space is counted in pages of 4096 bytes: each page written or reserved by
// Preallocate costs one, holes and directories cost nothing.
type Mem struct {
	noMap bool // set once

	mu sync.Mutex
	// Everything below is guarded by mu.
	root    *memNode
	pending []nameOp // changes of names that are not durable, oldest first
	quota   int64    // bytes; 0 is no limit
	used    int64    // pages
	ops     int
	// stopAfter is the number of changing calls the power lasts for; negative
	// is for ever.
	stopAfter int
	off       bool
	onOp      func(n int, op Op, name string)
}

var _ FS = (*Mem)(nil)

// nameOp is one change of names that becomes durable as a whole or not at all.
type nameOp struct {
	changes []nameChange
}

// nameChange sets a name of a directory; a nil node removes it.
type nameChange struct {
	dir  *memNode
	base string
	node *memNode
}

// NewMem returns an empty disk with unlimited space.
func NewMem() *Mem { return &Mem{root: newMemDir(), stopAfter: -1} }

// NewMemWithoutMap returns an empty disk whose files cannot be mapped, for the
// path that systems without mappings take.
func NewMemWithoutMap() *Mem {
	m := NewMem()
	m.noMap = true
	return m
}

// SetQuota limits the disk to n bytes in whole pages; 0 lifts the limit. A
// limit below what is used already refuses every new page.
func (m *Mem) SetQuota(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quota = n
}

// UsedBytes is the space in use, reserved space included.
func (m *Mem) UsedBytes() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used * pageBytes
}

// Ops counts the calls of kind OpChange so far.
func (m *Mem) Ops() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// OnOp has fn called before every call of kind OpChange, with its number
// counted from 1. It runs on the caller's goroutine without a lock, so it may
// use the Mem: CrashClone there shows the disk just before the call. A nil fn
// ends it.
func (m *Mem) OnOp(fn func(n int, op Op, name string)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.onOp = fn
}

// StopAfter lets the first n calls of kind OpChange pass, counted from when
// the Mem was made. The next one finds the power gone; from then on every call
// but Close fails with ErrPowerLost. A negative n is for ever.
func (m *Mem) StopAfter(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopAfter = n
}

// PowerOff takes the power away now.
func (m *Mem) PowerOff() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.off = true
}

// enter starts a call: it counts it, tells the hook and checks the power. It
// returns with mu held when the error is nil.
func (m *Mem) enter(op Op, name string) error {
	m.mu.Lock()
	if op.Has(OpChange) && !m.off {
		if m.stopAfter >= 0 && m.ops >= m.stopAfter {
			m.off = true
		} else {
			m.ops++
			m.tellHookLocked(op, name)
		}
	}
	if m.off {
		m.mu.Unlock()
		return pathError(op.String(), name, ErrPowerLost)
	}
	return nil
}

// tellHookLocked gives up mu while the hook runs.
func (m *Mem) tellHookLocked(op Op, name string) {
	if m.onOp == nil {
		return
	}
	hook, n := m.onOp, m.ops
	m.mu.Unlock()
	defer m.mu.Lock()
	hook(n, op, name)
}

// lookupLocked finds a node by name.
func (m *Mem) lookupLocked(name string) (*memNode, error) {
	n := m.root
	for _, part := range splitName(name) {
		if !n.isDir {
			return nil, fs.ErrNotExist
		}
		next, ok := n.names[part]
		if !ok {
			return nil, fs.ErrNotExist
		}
		n = next
	}
	return n, nil
}

// parentLocked finds the directory of a name.
func (m *Mem) parentLocked(name string) (dir *memNode, base string, err error) {
	parts := splitName(name)
	if len(parts) == 0 {
		return nil, "", fs.ErrInvalid
	}
	dir, err = m.lookupLocked(path.Join(parts[:len(parts)-1]...))
	if err == nil && !dir.isDir {
		err = fs.ErrNotExist
	}
	return dir, parts[len(parts)-1], err
}

// splitName cuts a name into its parts; the root has none.
func splitName(name string) []string {
	name = strings.Trim(path.Clean("/"+name), "/")
	if name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// setNamesLocked applies one atomic change of names and remembers it as not
// durable.
func (m *Mem) setNamesLocked(changes ...nameChange) {
	for _, c := range changes {
		if old := c.dir.names[c.base]; old != nil {
			old.linked = false
		}
		delete(c.dir.names, c.base)
	}
	for _, c := range changes {
		if c.node != nil {
			c.dir.names[c.base] = c.node
			c.node.linked = true
		}
	}
	m.pending = append(m.pending, nameOp{changes: changes})
}

// freeLocked gives back the space of a file without name and handle.
func (m *Mem) freeLocked(n *memNode) {
	if n != nil && !n.isDir && !n.linked && n.opens == 0 {
		m.used -= n.live.charged()
	}
}

// roomLocked reports ErrNoSpace unless the disk can take more pages.
func (m *Mem) roomLocked(pages int64) error {
	if pages > 0 && m.quota > 0 && (m.used+pages)*pageBytes > m.quota {
		return ErrNoSpace
	}
	return nil
}
