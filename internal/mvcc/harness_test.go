package mvcc

import (
	"errors"
	"fmt"
	"testing"

	"go.uber.org/zap"

	"keelson/internal/revlog"
	"keelson/internal/vfs"
	"keelson/internal/wire"
)

// member is a store on a simulated disk with what its owner does around it:
// checkpoints and restarts.
type member struct {
	t    testing.TB
	opts revlog.Options
	cfg  Config
	log  *revlog.Log
	*Store
}

// small segments and tails, so that a few hundred records cross every border.
func newMember(t testing.TB) *member {
	return newMemberOpts(t, revlog.Options{FS: vfs.NewMem(), SegmentBytes: 4 << 10, TailBytes: 512})
}

func newMemberOpts(t testing.TB, opts revlog.Options) *member {
	t.Helper()
	_, simulated := opts.FS.(*vfs.Mem)
	opts.NoSync = !simulated // there syncs cost nothing, and power can be lost
	if opts.Dir == "" {
		opts.Dir = "revlog"
	}
	if err := opts.FS.MkdirAll(opts.Dir); err != nil {
		t.Fatal(err)
	}
	log, err := revlog.Create(opts)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{t: t, opts: opts, log: log}
	m.cfg = Config{Log: log, Logger: zap.NewNop()}
	m.open(EmptyPosition())
	t.Cleanup(m.close)
	return m
}

func (m *member) open(p Position) {
	m.t.Helper()
	m.cfg.Log = m.log
	s, err := Open(m.cfg, p)
	if err != nil {
		m.t.Fatal(err)
	}
	m.Store = s
}

func (m *member) close() {
	if m.Store == nil {
		return
	}
	m.Store.Close()
	m.Store = nil
	if err := m.log.Close(); err != nil {
		m.t.Errorf("close the log: %v", err)
	}
}

// checkpoint is what a checkpoint file holds of the two.
type checkpoint struct {
	position Position
	manifest revlog.Manifest
	coded    []byte // the manifest
}

func (m *member) checkpoint() checkpoint {
	m.t.Helper()
	c := m.capture()
	m.sync(&c)
	return c
}

// capture is the applier's part of a checkpoint.
func (m *member) capture() checkpoint {
	return checkpoint{position: m.Store.Capture(), manifest: m.log.Capture()}
}

// sync is the background's.
func (m *member) sync(c *checkpoint) {
	m.t.Helper()
	if err := m.log.SyncTo(c.manifest); err != nil {
		m.t.Fatal(err)
	}
	c.coded = c.manifest.AppendTo(nil)
}

// restart ends the member and starts it from a checkpoint.
func (m *member) restart(c checkpoint) {
	m.t.Helper()
	m.close()
	m.start(c)
}

// crash takes the power from the member and starts it from a checkpoint on
// what is left of the disk.
func (m *member) crash(c checkpoint, seed uint64) {
	m.t.Helper()
	disk := m.opts.FS.(*vfs.Mem).Crash(vfs.CrashRandom, seed)
	m.Store.Close()
	m.Store = nil
	if err := m.log.Close(); err != nil && !errors.Is(err, vfs.ErrPowerLost) {
		m.t.Fatal(err)
	}
	m.opts.FS = disk
	m.start(c)
}

func (m *member) start(c checkpoint) {
	m.t.Helper()
	manifest, err := revlog.ParseManifest(c.coded)
	if err != nil {
		m.t.Fatal(err)
	}
	if m.log, err = revlog.Open(m.opts, manifest); err != nil {
		m.t.Fatal(err)
	}
	m.open(c.position)
}

func (m *member) reopen() {
	m.t.Helper()
	m.restart(m.checkpoint())
}

// put writes one key in a transaction and a batch of its own.
func (m *member) put(key, value string) {
	m.t.Helper()
	tx := m.Begin()
	if err := tx.Put([]byte(key), []byte(value), 0); err != nil {
		m.t.Fatal(err)
	}
	tx.End()
	m.Publish()
}

func (m *member) del(key string) bool {
	m.t.Helper()
	tx := m.Begin()
	ok, err := tx.Delete([]byte(key))
	if err != nil {
		m.t.Fatal(err)
	}
	tx.End()
	m.Publish()
	return ok
}

// compact runs a compaction to its end, its hash included.
func (m *member) compact(rev int64) {
	m.t.Helper()
	if err := m.Compact(rev); err != nil {
		m.t.Fatalf("compact %d: %v", rev, err)
	}
	m.finish(100)
}

func (m *member) finish(slice int) {
	m.t.Helper()
	m.Publish()
	for more := true; more; {
		var err error
		if more, err = m.CompactStep(slice); err != nil {
			m.t.Fatalf("compact step: %v", err)
		}
	}
	m.hashes.idle.Wait()
}

// show prints a payload as the scenario texts do.
func show(payload []byte) string {
	var kv wire.KeyValueView
	if err := kv.UnmarshalWire(payload); err != nil {
		return err.Error()
	}
	s := fmt.Sprintf("%s=%q create=%d mod=%d version=%d", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version)
	if kv.Lease != 0 {
		s += fmt.Sprintf(" lease=%d", kv.Lease)
	}
	return s
}

func revlogOptions(segmentBytes int64) revlog.Options {
	return revlog.Options{FS: vfs.NewMem(), SegmentBytes: segmentBytes}
}
