package revlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// checkpoint is a checkpoint file of the fake kind: the test remembers it, so
// it is always written atomically.
type checkpoint struct {
	man  Manifest
	revs []base.Revision // every record the log held at Capture
}

// crashStory runs a log through a random life on a simulated disk. Before each
// call that changes the disk the power is taken from a copy of it, and every
// checkpoint that has to be usable then is opened on what is left.
type crashStory struct {
	*model
	opts   Options
	disk   *vfs.Mem
	seed   uint64
	onDisk []checkpoint // oldest first, at most two
	dead   map[base.Revision]bool
	opens  int
}

func (s *crashStory) run(epochs, steps int) {
	for epoch := range epochs {
		if epoch == 0 {
			s.log = mustCreate(s.t, s.opts)
		} else {
			s.reopen()
		}
		for range steps {
			s.step()
		}
	}
	if err := s.log.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *crashStory) step() {
	switch n := s.rng.IntN(20); {
	case n < 13:
		if err := s.tx(250); err != nil {
			s.t.Fatal(err)
		}
	case n < 14:
		s.log.Publish().Release()
	case n < 15:
		for _, rev := range s.killOld(s.main - s.rng.Int64N(10)) {
			s.dead[rev] = true
		}
	case n < 16:
		if err := s.log.Rotate(); err != nil {
			s.t.Fatal(err)
		}
	case n < 18:
		if _, err := s.log.Reclaim(context.Background(), 0.3, nil); err != nil {
			s.t.Fatal(err)
		}
	default:
		s.checkpoint()
	}
}

// checkpoint does what the server does, in its order.
func (s *crashStory) checkpoint() {
	c := checkpoint{man: s.log.Capture(), revs: s.held()}
	if s.rng.IntN(2) == 0 { // the applier does not wait for the disk
		if err := s.tx(250); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.log.SyncTo(c.man); err != nil {
		s.t.Fatal(err)
	}
	s.onDisk = append(s.onDisk, c) // written, synced, renamed
	s.onDisk = s.onDisk[max(0, len(s.onDisk)-2):]
	var mans []Manifest
	for _, c := range s.onDisk {
		mans = append(mans, c.man)
	}
	s.log.Retain(mans...)
}

// held asks the log what it holds and checks that this is every live record
// and nothing else but dead ones.
func (s *crashStory) held() []base.Revision {
	var revs []base.Revision
	err := s.log.Metas(func(batch []Meta) error {
		for _, m := range batch {
			revs = append(revs, m.Rev)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	i := 0
	for _, rev := range s.revs {
		switch {
		case i < len(revs) && revs[i] == rev:
			i++
		case !s.dead[rev]:
			s.t.Fatalf("live record %v is lost", rev)
		}
	}
	if i != len(revs) {
		s.t.Fatalf("the log holds %v, which was never appended or is out of order", revs[i])
	}
	return revs
}

// crash opens the checkpoints on what a loss of power leaves now.
func (s *crashStory) crash(n int, op vfs.Op, name string) {
	for _, c := range s.onDisk {
		mode := vfs.CrashRandom
		if n%8 == 0 {
			mode = vfs.CrashLose
		}
		s.opens++
		s.verify(c, s.disk.CrashClone(mode, s.seed*1e6+uint64(n)), fmt.Sprintf("crash (%v) before %v of %s, call %d", mode, op, name, n))
	}
}

func (s *crashStory) verify(c checkpoint, disk *vfs.Mem, when string) {
	s.t.Helper()
	opts := s.opts
	opts.FS = disk
	l, err := Open(opts, c.man)
	if err != nil {
		s.t.Fatalf("seed %d: %s: %v", s.seed, when, err)
	}
	m := &model{t: s.t, log: l, all: s.all, main: s.main}
	v := l.Publish()
	m.check(v, c.revs)
	m.checkMetas(c.revs)
	v.Release()
	if err := l.Close(); err != nil {
		s.t.Fatalf("seed %d: %s: close: %v", s.seed, when, err)
	}
	if m := l.Capture(); fmt.Sprint(m.Segments) != fmt.Sprint(c.man.Segments) {
		s.t.Fatalf("seed %d: %s: reopened as %v instead of %v", s.seed, when, m, c.man)
	}
}

// reopen takes the power away for good and goes on from a checkpoint, mostly
// the newest.
func (s *crashStory) reopen() {
	if len(s.onDisk) == 0 {
		s.checkpoint()
	}
	i := len(s.onDisk) - 1
	if s.rng.IntN(4) == 0 {
		i = 0 // the newest checkpoint file is broken
	}
	c := s.onDisk[i]
	s.onDisk = s.onDisk[:i+1]
	old := s.log
	s.disk.OnOp(nil)
	s.disk = s.disk.Crash(vfs.CrashRandom, s.rng.Uint64())
	// The old log's handles lead to a disk without power.
	if err := old.Close(); err != nil && !errors.Is(err, vfs.ErrPowerLost) {
		s.t.Fatal(err)
	}
	s.opts.FS = s.disk
	s.disk.OnOp(s.crash)

	s.revs = c.revs
	s.main = 1
	s.dead = map[base.Revision]bool{}
	s.last = map[string]base.Revision{}
	for _, rev := range s.revs {
		s.main = max(s.main, rev.Main)
		s.last[string(s.all[rev].meta.Key)] = rev
	}
	// What comes next gets fresh revisions: all keeps one version of each.
	s.main += 1000
	l, err := Open(s.opts, c.man)
	if err != nil {
		s.t.Fatalf("seed %d: %v", s.seed, err)
	}
	s.log = l
}

// FuzzCrashAtEveryWrite is one crashStory per seed. A failure prints the seed;
// add it below to replay it.
func FuzzCrashAtEveryWrite(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		disk := vfs.NewMem()
		if seed%2 == 1 {
			disk = vfs.NewMemWithoutMap()
		}
		s := &crashStory{disk: disk, opts: smallOptions(disk), seed: seed, dead: map[base.Revision]bool{}}
		s.opts.SegmentBytes = 2048
		s.model = newModel(t, nil, seed)
		disk.OnOp(s.crash)
		s.run(4, 40)
		t.Logf("%d crashes, %d records", s.opens, len(s.all))
	})
}

// TestCreateForgetsAnUnfinishedLife starts over in a directory where a first
// run ended before its first checkpoint.
func TestCreateForgetsAnUnfinishedLife(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, mustCreate(t, smallOptions(disk)), 3)
	for range 50 {
		if err := m.tx(300); err != nil {
			t.Fatal(err)
		}
	}
	m.log.chores()
	disk = disk.Crash(vfs.CrashKeep, 1)
	opts := smallOptions(disk)
	l := mustCreate(t, opts)
	m.log = l
	m.checkMetas(nil)
	names, err := disk.List("log")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"0000000000000001.seg", "0000000000000002.seg"}; !slices.Equal(names, want) {
		t.Fatalf("files %v, want %v", names, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
