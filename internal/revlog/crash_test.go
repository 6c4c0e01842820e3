package revlog

import (
	"bytes"
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
	man   Manifest
	coded []byte          // the manifest, as in the file
	revs  []base.Revision // every record the log held at Capture
	live  []base.Revision // those of them that were not marked dead
	stats Stats
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
	// busy: a checkpoint or a rewrite is under way.
	checkpointing, reclaiming bool
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
		s.kill()
	case n < 16:
		if err := s.log.Rotate(); err != nil {
			s.t.Fatal(err)
		}
	case n < 18:
		s.reclaim()
	default:
		s.checkpoint()
	}
}

// meanwhile is what may happen while another goroutine works.
func (s *crashStory) meanwhile() {
	for range s.rng.IntN(3) {
		s.step()
	}
}

// kill marks superseded records, sometimes all, sometimes a few.
func (s *crashStory) kill() {
	for _, rev := range s.killOld(s.main - s.rng.Int64N(10)) {
		s.dead[rev] = true
	}
}

// reclaim rewrites something while the applier goes on: it appends, marks and
// captures between any two transfers.
func (s *crashStory) reclaim() {
	if s.reclaiming {
		return
	}
	s.reclaiming = true
	defer func() { s.reclaiming = false }()
	if _, err := s.log.Reclaim(context.Background(), 0.3, func(int) { s.meanwhile() }); err != nil {
		s.t.Fatal(err)
	}
}

// checkpoint does what the server does, in its order. Neither the applier nor
// the reclaimer waits for the disk.
func (s *crashStory) checkpoint() {
	if s.checkpointing {
		return
	}
	s.checkpointing = true
	defer func() { s.checkpointing = false }()
	c := checkpoint{man: s.log.Capture(), stats: s.log.Stats()}
	c.revs, c.live = s.held()
	s.meanwhile()
	if err := s.log.SyncTo(c.man); err != nil {
		s.t.Fatal(err)
	}
	c.coded = c.man.AppendTo(nil)  // later than the capture, and yet of its moment
	s.onDisk = append(s.onDisk, c) // written, synced, renamed
	s.onDisk = s.onDisk[max(0, len(s.onDisk)-2):]
	s.meanwhile()
	var mans []Manifest
	for _, c := range s.onDisk {
		mans = append(mans, c.man)
	}
	s.log.Retain(mans...)
}

// held asks the log what it holds and checks that this is every live record
// and nothing else but dead ones; and that Metas yields the live ones.
func (s *crashStory) held() (revs, live []base.Revision) {
	v := s.log.Publish()
	defer v.Release()
	err := v.Scan(base.Revision{}, base.Revision{Main: s.main + 1}, func(r Record) bool {
		revs = append(revs, r.Rev)
		return true
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
	for _, rev := range revs {
		if !s.dead[rev] {
			live = append(live, rev)
		}
	}
	s.checkMetas(live)
	return revs, live
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
	man, err := ParseManifest(c.coded)
	if err != nil {
		s.t.Fatalf("seed %d: %s: %v", s.seed, when, err)
	}
	l, err := Open(opts, man)
	if err != nil {
		s.t.Fatalf("seed %d: %s: %v", s.seed, when, err)
	}
	m := &model{t: s.t, log: l, all: s.all, main: s.main}
	v := l.Publish()
	m.check(v, c.revs)
	m.checkMetas(c.live)
	v.Release()
	if st := l.Stats(); st != c.stats {
		s.t.Fatalf("seed %d: %s: reopened as %+v instead of %+v", s.seed, when, st, c.stats)
	}
	again := l.Capture()
	again.NextID = man.NextID // it made a spare segment
	if !bytes.Equal(again.AppendTo(nil), c.coded) {
		s.t.Fatalf("seed %d: %s: reopened as %v instead of %v", s.seed, when, again, c.man)
	}
	s.verifyReclaim(m, c, when)
	if err := l.Close(); err != nil {
		s.t.Fatalf("seed %d: %s: close: %v", s.seed, when, err)
	}
}

// verifyReclaim lets the reopened log drop what is dead: all of it goes, and
// nothing else, and it is still so in the life after the next.
func (s *crashStory) verifyReclaim(m *model, c checkpoint, when string) {
	if s.opens%8 != 0 {
		return
	}
	l := m.log
	if err := l.Rotate(); err != nil {
		s.t.Fatalf("seed %d: %s: %v", s.seed, when, err)
	}
	for more := true; more; {
		var err error
		if more, err = l.Reclaim(context.Background(), 0, nil); err != nil {
			s.t.Fatalf("seed %d: %s: %v", s.seed, when, err)
		}
	}
	m.checkMetas(c.live)
	man := l.Capture()
	if err := l.SyncTo(man); err != nil {
		s.t.Fatalf("seed %d: %s: %v", s.seed, when, err)
	}
	l.Retain(man)
	opts := l.opts
	opts.FS = l.opts.FS.(*vfs.Mem).CrashClone(vfs.CrashRandom, s.seed)
	next, err := Open(opts, man)
	if err != nil {
		s.t.Fatalf("seed %d: %s: %v", s.seed, when, err)
	}
	after := &model{t: s.t, log: next, all: s.all, main: s.main}
	v := next.Publish()
	after.check(v, c.live)
	v.Release()
	if err := next.Close(); err != nil {
		s.t.Fatalf("seed %d: %s: close: %v", s.seed, when, err)
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
		s.dead[rev] = !slices.Contains(c.live, rev)
	}
	// What comes next gets fresh revisions: all keeps one version of each.
	s.main += 1000
	man, err := ParseManifest(c.coded)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.log, err = Open(s.opts, man); err != nil {
		s.t.Fatalf("seed %d: %v", s.seed, err)
	}
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
		s.run(4, 30)
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
