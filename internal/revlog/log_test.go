package revlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// written is what a test expects of one record.
type written struct {
	meta Meta
	kv   []byte
}

// model appends to a log and remembers what it did.
type model struct {
	t    testing.TB
	log  *Log
	rng  *rand.Rand
	all  map[base.Revision]written
	revs []base.Revision // appended, ascending
	last map[string]base.Revision
	main int64
}

func newModel(t testing.TB, l *Log, seed uint64) *model {
	return &model{
		t: t, log: l, rng: rand.New(rand.NewPCG(seed, 1)),
		all: map[base.Revision]written{}, last: map[string]base.Revision{}, main: 1,
	}
}

// payload marshals a KeyValue as mvcc does.
func payload(t testing.TB, m *Meta, value []byte) []byte {
	kv := &mvccpb.KeyValue{Key: m.Key}
	if !m.Tombstone {
		kv.CreateRevision, kv.ModRevision, kv.Version = m.Create, m.Rev.Main, m.Version
		kv.Value, kv.Lease = value, int64(m.Lease)
	}
	b, err := proto.Marshal(kv)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tx appends one transaction of a few changes with values up to maxValue.
func (m *model) tx(maxValue int) error {
	m.main++
	for sub := range int64(1 + m.rng.IntN(3)) {
		rev := base.Revision{Main: m.main, Sub: sub}
		key := fmt.Sprintf("/registry/pods/%03d", m.rng.IntN(50))
		prev, existed := m.last[key]
		meta := Meta{Rev: rev, Prev: prev, Key: []byte(key)}
		if existed && m.rng.IntN(4) == 0 {
			meta.Tombstone = true
		} else {
			meta.Create, meta.Version = m.main, 1
			if existed {
				meta.Create, meta.Version = prev.Main, 1+m.rng.Int64N(1000)
			}
			if m.rng.IntN(3) == 0 {
				meta.Lease = base.LeaseID(m.rng.Uint64())
			}
		}
		value := make([]byte, m.rng.IntN(maxValue+1))
		for i := range value {
			value[i] = byte(m.rng.Uint32())
		}
		if err := m.append(meta, payload(m.t, &meta, value)); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) append(meta Meta, kv []byte) error {
	stored, err := m.log.Append(&meta, kv)
	if err != nil {
		return err
	}
	if !bytes.Equal(stored, kv) {
		m.t.Fatalf("Append of %v returned other bytes", meta.Rev)
	}
	m.all[meta.Rev] = written{meta: meta, kv: bytes.Clone(kv)}
	m.revs = append(m.revs, meta.Rev)
	m.last[string(meta.Key)] = meta.Rev
	return nil
}

// killOld marks every record dead that a later one of the same key supersedes,
// up to main revision at.
func (m *model) killOld(at int64) []base.Revision {
	var dead []base.Revision
	for _, rev := range m.revs {
		if prev := m.all[rev].meta.Prev; rev.Main <= at && !prev.IsZero() {
			dead = append(dead, prev)
			m.log.MarkDead(prev)
		}
	}
	return dead
}

// check reads revs in every way there is and finds exactly them.
func (m *model) check(v *View, revs []base.Revision) {
	m.t.Helper()
	for _, rev := range revs {
		rec, err := v.Record(rev)
		if err != nil {
			m.t.Fatalf("Record(%v): %v", rev, err)
		}
		m.same(rec.Meta, rec.KV, rev)
	}
	if _, err := v.Get(base.Revision{Main: m.main + 1}); !errors.Is(err, ErrNotFound) {
		m.t.Fatalf("Get of a revision to come: %v", err)
	}
	i := 0
	err := v.Scan(base.Revision{}, base.Revision{Main: m.main + 1}, func(r Record) bool {
		if i >= len(revs) || r.Rev != revs[i] {
			m.t.Fatalf("Scan yields %v as number %d of %d", r.Rev, i, len(revs))
		}
		m.same(r.Meta, r.KV, r.Rev)
		i++
		return true
	})
	if err != nil || i != len(revs) {
		m.t.Fatalf("Scan: %d records of %d, %v", i, len(revs), err)
	}
}

func (m *model) checkMetas(revs []base.Revision) {
	m.t.Helper()
	i := 0
	err := m.log.Metas(func(batch []Meta) error {
		for _, meta := range batch {
			if i >= len(revs) || meta.Rev != revs[i] {
				m.t.Fatalf("Metas yields %v as number %d of %d", meta.Rev, i, len(revs))
			}
			m.same(meta, m.all[meta.Rev].kv, meta.Rev)
			i++
		}
		return nil
	})
	if err != nil || i != len(revs) {
		m.t.Fatalf("Metas: %d records of %d, %v", i, len(revs), err)
	}
}

func (m *model) same(meta Meta, kv []byte, rev base.Revision) {
	m.t.Helper()
	want, ok := m.all[rev]
	if !ok {
		m.t.Fatalf("record %v was never appended", rev)
	}
	same := bytes.Equal(meta.Key, want.meta.Key) && bytes.Equal(kv, want.kv)
	got, expected := meta, want.meta
	got.Key, expected.Key = nil, nil
	if !same || !reflect.DeepEqual(got, expected) {
		m.t.Fatalf("record %v reads as %+v, not %+v, or has another payload", rev, meta, want.meta)
	}
}

// smallOptions has segments of a few records and no goroutine.
func smallOptions(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "log", SegmentBytes: 4096, TailBytes: 512, Inline: true}
}

func mustCreate(t testing.TB, opts Options) *Log {
	t.Helper()
	l, err := Create(opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// onEachFS runs a test on mapped and unmapped simulated disks and on the real
// one.
func onEachFS(t *testing.T, f func(t *testing.T, opts Options)) {
	t.Run("mem", func(t *testing.T) { f(t, smallOptions(vfs.NewMem())) })
	t.Run("mem without map", func(t *testing.T) { f(t, smallOptions(vfs.NewMemWithoutMap())) })
	t.Run("os", func(t *testing.T) {
		opts := smallOptions(vfs.OS{})
		opts.Dir, opts.Inline = t.TempDir(), false
		f(t, opts)
	})
}

func TestRecordsAreFoundWhereverTheyLive(t *testing.T) {
	onEachFS(t, func(t *testing.T, opts Options) {
		m := newModel(t, mustCreate(t, opts), 1)
		for range 200 {
			if err := m.tx(300); err != nil {
				t.Fatal(err)
			}
			if m.rng.IntN(10) == 0 {
				v := m.log.Publish()
				m.check(v, m.revs)
				v.Release()
			}
		}
		if n := m.log.Stats().Segments; n < 10 {
			t.Fatalf("only %d segments", n)
		}
		m.checkMetas(m.revs)
		man := m.log.Capture()
		if err := m.log.SyncTo(man); err != nil {
			t.Fatal(err)
		}
		m.checkMetas(m.revs)
		if err := m.log.Close(); err != nil {
			t.Fatal(err)
		}

		l, err := Open(opts, man)
		if err != nil {
			t.Fatal(err)
		}
		m.log = l
		m.checkMetas(m.revs)
		for range 50 {
			if err := m.tx(300); err != nil {
				t.Fatal(err)
			}
		}
		v := l.Publish()
		m.check(v, m.revs)
		v.Release()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReclaimKeepsWhatIsLive(t *testing.T) {
	onEachFS(t, func(t *testing.T, opts Options) {
		m := newModel(t, mustCreate(t, opts), 2)
		for range 300 {
			if err := m.tx(200); err != nil {
				t.Fatal(err)
			}
		}
		before := m.log.Publish()
		man := m.log.Capture()
		dead := m.killOld(m.main - 5)
		if err := m.log.Rotate(); err != nil {
			t.Fatal(err)
		}
		rounds := 0
		for {
			more, err := m.log.Reclaim(context.Background(), 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				break
			}
			rounds++
		}
		m.check(before, m.revs)
		live := slices.DeleteFunc(slices.Clone(m.revs), func(r base.Revision) bool { return slices.Contains(dead, r) })
		after := m.log.Publish()
		m.check(after, live)
		st := m.log.Stats()
		if st.DeadRecords != 0 || st.LiveBytes != st.Bytes || st.Records != int64(len(live)) {
			t.Fatalf("after %d rounds: %+v, %d live records", rounds, st, len(live))
		}
		m.checkMetas(live)

		// The old files go when neither checkpoint nor view needs them.
		old := man.Segments[0].ID
		exists := func() bool {
			_, err := opts.FS.Stat(segmentName(opts.Dir, old))
			return err == nil
		}
		man2 := m.log.Capture()
		if err := m.log.SyncTo(man2); err != nil {
			t.Fatal(err)
		}
		m.log.Retain(man, man2)
		before.Release()
		m.log.chores()
		if !exists() {
			t.Fatal("a file that a retained checkpoint names is gone")
		}
		m.log.Retain(man2)
		if exists() {
			t.Fatal("a file that nobody needs is still there")
		}
		after.Release()
		if err := m.log.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := Open(opts, man2)
		if err != nil {
			t.Fatal(err)
		}
		m.log = l
		m.checkMetas(live)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
