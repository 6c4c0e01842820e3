package vfs

import (
	"io"
	"path"
	"slices"
	"sync"
)

// Faulty is an FS that passes every call on to another one, except where a
// rule says that the call fails or lies. Safe for concurrent use.
//
// After an injected failure of Sync or SyncData the later ones of that file
// report success and do nothing, as kernels do that mark the pages clean: a
// caller that retries believes to be durable what a crash of a Mem below will
// lose.
type Faulty struct {
	inner FS

	mu sync.Mutex
	// Everything below is guarded by mu.
	rules    []*Injection
	unsynced map[string]bool // names whose sync has failed
}

var _ FS = (*Faulty)(nil)

// Rule chooses calls and says what happens to them.
type Rule struct {
	// Op is the kinds of calls that count; 0 is every kind.
	Op Op
	// Name is a path.Match pattern for the base name of the file or directory;
	// empty is every name.
	Name string
	// Nth is the first matching call the rule acts on, counted from 1; 0 is
	// the same as 1.
	Nth int
	// Times bounds how many calls it acts on; 0 is no bound.
	Times int
	// Err is what the call reports, wrapped with the kind and the name. Nil is
	// for rules that lie instead of failing.
	Err error
	// Short has a failing write leave that many bytes of its data behind
	// before it reports Err.
	Short int
	// FlipBit has a read (or mapping) succeed with one bit inverted: bit
	// FlipBit-1 of the bytes returned, counted round their end. 0 is none.
	FlipBit int64
}

// Injection is a rule at work.
type Injection struct {
	rule   Rule
	faulty *Faulty

	// Guarded by faulty.mu.
	seen int
	hits int
}

// NewFaulty wraps fs without any rule.
func NewFaulty(fs FS) *Faulty {
	return &Faulty{inner: fs, unsynced: map[string]bool{}}
}

// Inject adds a rule. The first rule added that matches a call decides it; the
// later ones do not count that call. The pattern must be a valid one.
func (f *Faulty) Inject(r Rule) *Injection {
	if _, err := path.Match(r.Name, ""); err != nil {
		panic("vfs: pattern " + r.Name + ": " + err.Error())
	}
	if r.Op == 0 {
		r.Op = OpAny
	}
	r.Nth = max(r.Nth, 1)
	in := &Injection{rule: r, faulty: f}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, in)
	return in
}

// Clear removes every rule. Files whose sync has failed stay broken.
func (f *Faulty) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// Hits counts the calls the rule has acted on.
func (in *Injection) Hits() int {
	in.faulty.mu.Lock()
	defer in.faulty.mu.Unlock()
	return in.hits
}

// Remove takes the rule out of work.
func (in *Injection) Remove() {
	in.faulty.mu.Lock()
	defer in.faulty.mu.Unlock()
	in.faulty.rules = slices.DeleteFunc(in.faulty.rules, func(o *Injection) bool { return o == in })
}

// decide counts a call and returns the rule that acts on it; the zero Rule
// lets it pass.
func (f *Faulty) decide(op Op, name string) Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, in := range f.rules {
		if !in.rule.Op.Has(op) || !matches(in.rule.Name, name) {
			continue
		}
		in.seen++
		if in.seen < in.rule.Nth || in.rule.Times > 0 && in.hits >= in.rule.Times {
			continue
		}
		in.hits++
		return in.rule
	}
	return Rule{}
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, path.Base(name))
	return pattern == "" || err == nil && ok
}

// fail is decide for the calls that can only fail.
func (f *Faulty) fail(op Op, name string) error {
	if r := f.decide(op, name); r.Err != nil {
		return pathError(op.String(), name, r.Err)
	}
	return nil
}

// Create implements FS.
func (f *Faulty) Create(name string) (File, error) {
	if err := f.fail(OpCreate, name); err != nil {
		return nil, err
	}
	f.setUnsynced(name, false)
	return f.wrap(f.inner.Create(name))
}

// Open implements FS.
func (f *Faulty) Open(name string) (File, error) {
	if err := f.fail(OpOpen, name); err != nil {
		return nil, err
	}
	return f.wrap(f.inner.Open(name))
}

// OpenReadWrite implements FS.
func (f *Faulty) OpenReadWrite(name string) (File, error) {
	if err := f.fail(OpOpen, name); err != nil {
		return nil, err
	}
	return f.wrap(f.inner.OpenReadWrite(name))
}

func (f *Faulty) wrap(file File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, faulty: f}, nil
}

// Remove implements FS.
func (f *Faulty) Remove(name string) error {
	if err := f.fail(OpRemove, name); err != nil {
		return err
	}
	return f.inner.Remove(name)
}

// RemoveAll implements FS.
func (f *Faulty) RemoveAll(name string) error {
	if err := f.fail(OpRemove, name); err != nil {
		return err
	}
	return f.inner.RemoveAll(name)
}

// Rename implements FS.
func (f *Faulty) Rename(oldName, newName string) error {
	if err := f.fail(OpRename, newName); err != nil {
		return err
	}
	return f.inner.Rename(oldName, newName)
}

// MkdirAll implements FS.
func (f *Faulty) MkdirAll(dir string) error {
	if err := f.fail(OpMkdir, dir); err != nil {
		return err
	}
	return f.inner.MkdirAll(dir)
}

// List implements FS.
func (f *Faulty) List(dir string) ([]string, error) {
	if err := f.fail(OpList, dir); err != nil {
		return nil, err
	}
	return f.inner.List(dir)
}

// Stat implements FS.
func (f *Faulty) Stat(name string) (Info, error) {
	if err := f.fail(OpStat, name); err != nil {
		return Info{}, err
	}
	return f.inner.Stat(name)
}

// SyncDir implements FS.
func (f *Faulty) SyncDir(dir string) error {
	if err := f.fail(OpSyncDir, dir); err != nil {
		return err
	}
	return f.inner.SyncDir(dir)
}

// Lock implements FS.
func (f *Faulty) Lock(name string) (io.Closer, error) {
	if err := f.fail(OpLock, name); err != nil {
		return nil, err
	}
	return f.inner.Lock(name)
}

// FreeBytes implements FS.
func (f *Faulty) FreeBytes(dir string) (int64, error) {
	if err := f.fail(OpFreeBytes, dir); err != nil {
		return 0, err
	}
	return f.inner.FreeBytes(dir)
}

func (f *Faulty) setUnsynced(name string, bad bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if bad {
		f.unsynced[name] = true
	} else {
		delete(f.unsynced, name)
	}
}

func (f *Faulty) isUnsynced(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unsynced[name]
}

// faultyFile passes Name and Close straight on.
type faultyFile struct {
	File
	faulty *Faulty
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	r := f.faulty.decide(OpRead, f.Name())
	if r.Err != nil {
		return 0, pathError(OpRead.String(), f.Name(), r.Err)
	}
	n, err := f.File.ReadAt(p, off)
	r.flip(p[:n])
	return n, err
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	r := f.faulty.decide(OpWrite, f.Name())
	if r.Err == nil {
		return f.File.WriteAt(p, off)
	}
	n, err := f.File.WriteAt(p[:min(r.Short, len(p))], off)
	if err != nil {
		return n, err
	}
	return n, pathError(OpWrite.String(), f.Name(), r.Err)
}

func (f *faultyFile) Size() (int64, error) {
	if err := f.faulty.fail(OpStat, f.Name()); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.faulty.fail(OpTruncate, f.Name()); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Sync() error { return f.sync(f.File.Sync) }

func (f *faultyFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *faultyFile) sync(inner func() error) error {
	if err := f.faulty.fail(OpSync, f.Name()); err != nil {
		f.faulty.setUnsynced(f.Name(), true)
		return err
	}
	if f.faulty.isUnsynced(f.Name()) {
		return nil
	}
	return inner()
}

func (f *faultyFile) Preallocate(size int64) error {
	if err := f.faulty.fail(OpPreallocate, f.Name()); err != nil {
		return err
	}
	return f.File.Preallocate(size)
}

func (f *faultyFile) TryLock() error {
	if err := f.faulty.fail(OpLock, f.Name()); err != nil {
		return err
	}
	return f.File.TryLock()
}

func (f *faultyFile) Map(size int64) (data []byte, unmap func() error, ok bool, err error) {
	r := f.faulty.decide(OpMap, f.Name())
	if r.Err != nil {
		return nil, nil, false, pathError(OpMap.String(), f.Name(), r.Err)
	}
	data, unmap, ok, err = f.File.Map(size)
	if err == nil && ok && r.FlipBit > 0 {
		data = slices.Clone(data) // the mapping itself is read-only
		r.flip(data)
	}
	return data, unmap, ok, err
}

// flip inverts the rule's bit of p.
func (r Rule) flip(p []byte) {
	if r.FlipBit <= 0 || len(p) == 0 {
		return
	}
	bit := (r.FlipBit - 1) % (int64(len(p)) * 8)
	p[bit/8] ^= 1 << (bit % 8)
}
