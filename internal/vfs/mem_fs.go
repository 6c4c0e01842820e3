package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Create implements FS. It needs room for one page, so that a full disk
// refuses new files.
func (m *Mem) Create(name string) (File, error) {
	if err := m.enter(OpCreate, name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	n, err := m.createLocked(name)
	if err != nil {
		return nil, pathError("create", name, err)
	}
	m.used -= n.live.charged()
	n.truncate(0)
	return m.openLocked(n, name, true), nil
}

// createLocked finds a file or makes an empty one.
func (m *Mem) createLocked(name string) (*memNode, error) {
	dir, base, err := m.parentLocked(name)
	if err != nil {
		return nil, err
	}
	if n := dir.names[base]; n != nil {
		if n.isDir {
			return nil, errors.New("is a directory")
		}
		return n, nil
	}
	if err := m.roomLocked(1); err != nil {
		return nil, err
	}
	n := newMemFile()
	m.setNamesLocked(nameChange{dir, base, n})
	return n, nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenReadWrite implements FS.
func (m *Mem) OpenReadWrite(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, writable bool) (File, error) {
	if err := m.enter(OpOpen, name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	n, err := m.lookupLocked(name)
	if err == nil && n.isDir {
		err = errors.New("is a directory")
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return m.openLocked(n, name, writable), nil
}

func (m *Mem) openLocked(n *memNode, name string, writable bool) *memFile {
	n.opens++
	return &memFile{disk: m, node: n, name: name, writable: writable}
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	if err := m.enter(OpRemove, name); err != nil {
		return err
	}
	defer m.mu.Unlock()
	dir, base, err := m.parentLocked(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	n := dir.names[base]
	switch {
	case n == nil:
		return pathError("remove", name, fs.ErrNotExist)
	case n.isDir && len(n.names) > 0:
		return pathError("remove", name, errors.New("directory not empty"))
	}
	m.setNamesLocked(nameChange{dir, base, nil})
	m.freeLocked(n)
	return nil
}

// RemoveAll implements FS. Each name is a change of its own: a crash may leave
// any part of the tree.
func (m *Mem) RemoveAll(name string) error {
	if err := m.enter(OpRemove, name); err != nil {
		return err
	}
	defer m.mu.Unlock()
	dir, base, err := m.parentLocked(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && dir.names[base] == nil {
		return nil
	}
	if err != nil {
		return pathError("remove", name, err)
	}
	m.removeTreeLocked(dir, base)
	return nil
}

func (m *Mem) removeTreeLocked(dir *memNode, base string) {
	n := dir.names[base]
	if n.isDir {
		for _, name := range n.sortedNames() {
			m.removeTreeLocked(n, name)
		}
	}
	m.setNamesLocked(nameChange{dir, base, nil})
	m.freeLocked(n)
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	if err := m.enter(OpRename, newName); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if err := m.renameLocked(oldName, newName); err != nil {
		return pathError("rename", newName, fmt.Errorf("from %s: %w", oldName, err))
	}
	return nil
}

func (m *Mem) renameLocked(oldName, newName string) error {
	oldDir, oldBase, err := m.parentLocked(oldName)
	if err != nil {
		return err
	}
	newDir, newBase, err := m.parentLocked(newName)
	if err != nil {
		return err
	}
	n, target := oldDir.names[oldBase], newDir.names[newBase]
	switch {
	case n == nil:
		return fs.ErrNotExist
	case n == target:
		return nil
	case strings.HasPrefix(path.Clean("/"+newName)+"/", path.Clean("/"+oldName)+"/"):
		return fs.ErrInvalid // into itself
	case target != nil && (target.isDir != n.isDir || target.isDir && len(target.names) > 0):
		return fs.ErrExist
	}
	m.setNamesLocked(nameChange{oldDir, oldBase, nil}, nameChange{newDir, newBase, n})
	m.freeLocked(target)
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	if err := m.enter(OpMkdir, dir); err != nil {
		return err
	}
	defer m.mu.Unlock()
	n := m.root
	for _, part := range splitName(dir) {
		if !n.isDir {
			return pathError("mkdir", dir, errors.New("not a directory"))
		}
		next := n.names[part]
		if next == nil {
			next = newMemDir()
			m.setNamesLocked(nameChange{n, part, next})
		}
		n = next
	}
	if !n.isDir {
		return pathError("mkdir", dir, errors.New("not a directory"))
	}
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	if err := m.enter(OpList, dir); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	n, err := m.lookupLocked(dir)
	if err == nil && !n.isDir {
		err = errors.New("not a directory")
	}
	if err != nil {
		return nil, pathError("list", dir, err)
	}
	return n.sortedNames(), nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (Info, error) {
	if err := m.enter(OpStat, name); err != nil {
		return Info{}, err
	}
	defer m.mu.Unlock()
	n, err := m.lookupLocked(name)
	if err != nil {
		return Info{}, pathError("stat", name, err)
	}
	if n.isDir {
		return Info{IsDir: true, Mode: dirMode | fs.ModeDir}, nil
	}
	return Info{Size: n.live.size, Mode: fileMode}, nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	if err := m.enter(OpSyncDir, dir); err != nil {
		return err
	}
	defer m.mu.Unlock()
	n, err := m.lookupLocked(dir)
	if err == nil && !n.isDir {
		err = errors.New("not a directory")
	}
	if err != nil {
		return pathError("syncdir", dir, err)
	}
	m.commitNamesLocked(n)
	return nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	if err := m.enter(OpLock, name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	n, err := m.createLocked(name)
	if err == nil && n.holder != nil {
		err = ErrLocked
	}
	if err != nil {
		return nil, pathError("lock", name, err)
	}
	f := m.openLocked(n, name, true)
	n.holder = f
	return f, nil
}

// unlimitedBytes is what a disk without a quota claims to hold.
const unlimitedBytes = 1 << 40

// FreeBytes implements FS.
func (m *Mem) FreeBytes(dir string) (int64, error) {
	if err := m.enter(OpFreeBytes, dir); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	if _, err := m.lookupLocked(dir); err != nil {
		return 0, pathError("freebytes", dir, err)
	}
	quota := m.quota
	if quota == 0 {
		quota = unlimitedBytes
	}
	return max(0, quota-m.used*pageBytes) / pageBytes * pageBytes, nil
}
