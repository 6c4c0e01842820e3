package mvcc

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"keelson/internal/base"
	"keelson/internal/mvcc/keyindex"
	"keelson/internal/revlog"
	"keelson/internal/vfs"
)

// This file plays what surrounds the store in TestModel: checkpoints, reclaims
// and losses of power, in each other's midst.

// saved is a checkpoint on disk and what has to be found when it is opened.
type saved struct {
	checkpoint
	model model
	index []string
}

// meanwhile is what the applier, or another goroutine, does while one works.
func (p *player) meanwhile() {
	for range p.rnd.IntN(3) {
		p.step()
	}
}

// save takes a checkpoint as the server does. Nobody waits for the disk.
func (p *player) save() {
	if p.saving {
		return
	}
	p.saving = true
	defer func() { p.saving = false }()
	p.Renew()
	p.Publish()
	s := saved{checkpoint: p.capture(), model: *p.model, index: p.index()}
	s.model.changes = slices.Clip(s.model.changes)
	s.model.hashes = slices.Clone(s.model.hashes)
	p.meanwhile()
	p.sync(&s.checkpoint)
	p.saved = append(p.saved, s)
	p.saved = p.saved[max(0, len(p.saved)-2):]
	p.meanwhile()
	var manifests []revlog.Manifest
	for _, s := range p.saved {
		manifests = append(manifests, s.manifest)
	}
	p.log.Retain(manifests...)
}

// reclaim rewrites whatever has something dead in it and takes a checkpoint, as
// the server does. Sometimes the power goes in the middle.
func (p *player) reclaim() {
	if p.reclaiming {
		return
	}
	p.reclaiming = true
	defer func() { p.reclaiming = false }()
	if p.rnd.IntN(2) == 0 {
		if err := p.log.Rotate(); err != nil {
			p.t.Fatal(err)
		}
	}
	dark := false
	for range 1 + p.rnd.IntN(4) {
		again, err := p.log.Reclaim(context.Background(), p.rnd.Float64(), func(int) {
			switch {
			case dark:
			case !p.saving && p.rnd.IntN(20) == 0:
				dark = true
				p.opts.FS.(*vfs.Mem).PowerOff()
			default:
				p.meanwhile()
			}
		})
		if dark {
			p.crashSome()
			return
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if !again {
			break
		}
	}
	p.save()
}

// crashSome goes on from a checkpoint, mostly the newest. The index has to be
// what it was: the raft log, which is the model here, brings the rest again.
func (p *player) crashSome() {
	i := len(p.saved) - 1
	if p.rnd.IntN(4) == 0 {
		i = 0 // the newest file is broken
	}
	p.saved = p.saved[:i+1]
	s := p.saved[i]
	p.crash(s.checkpoint, p.rnd.Uint64())
	*p.model = s.model
	p.model.hashes = slices.Clone(s.model.hashes)
	if got := p.index(); !slices.Equal(got, s.index) {
		p.t.Fatalf("index after the restart:\n%q\nwant\n%q", got, s.index)
	}
	if !p.CompactionPending() {
		p.checkRetained()
	}
}

// end lets everything come to rest: then the disk holds what is retained and
// nothing else, before and after a restart.
func (p *player) end() {
	p.finish(7)
	if err := p.log.Rotate(); err != nil {
		p.t.Fatal(err)
	}
	for again := true; again; {
		var err error
		if again, err = p.log.Reclaim(context.Background(), 0, nil); err != nil {
			p.t.Fatal(err)
		}
	}
	for range 2 {
		p.checkRetained()
		if st := p.log.Stats(); st.DeadRecords != 0 || st.Records != int64(len(p.index())) {
			p.t.Fatalf("%+v with %d versions retained", st, len(p.index()))
		}
		p.reopen()
	}
}

// index lists every version in the index.
func (p *player) index() (versions []string) {
	v := p.View()
	defer v.Release()
	v.root.ScanAll(nil, nil, func(key []byte, olds []keyindex.Old, latest Entry) bool {
		for _, old := range append(olds, keyindex.Old{Rev: latest.Mod, Tombstone: latest.Tombstone}) {
			versions = append(versions, fmt.Sprintf("%v %v %q", old.Rev, old.Tombstone, key))
		}
		return true
	})
	return versions
}

// checkRetained compares what is left after the physical work, in the index and
// by Records, with what the rule keeps.
func (p *player) checkRetained() {
	var want, records []string
	for i := range p.model.changes {
		if c := &p.model.changes[i]; p.model.kept(c, p.model.compact) {
			want = append(want, fmt.Sprintf("%v %v %q", c.rev, c.deleted(), c.key))
		}
	}
	v := p.View()
	defer v.Release()
	if err := v.Records(func(r revlog.Record) bool {
		records = append(records, fmt.Sprintf("%v %v %q", r.Rev, r.Tombstone, r.Key))
		return true
	}); err != nil {
		p.t.Fatal(err)
	}
	if !slices.Equal(records, want) {
		p.t.Fatalf("records after compaction %d:\n%q\nwant\n%q", p.model.compact, records, want)
	}
	index := p.index()
	slices.Sort(index)
	slices.Sort(want)
	if !slices.Equal(index, want) {
		p.t.Fatalf("index after compaction %d:\n%q\nwant\n%q", p.model.compact, index, want)
	}
}

// deletedKey is a member with a key whose put and whose delete lie in
// segments that are worth rewriting at different times: the put beside much
// that lives, the delete beside much that dies.
func deletedKey(t *testing.T) *member {
	t.Helper()
	m := newMember(t)
	rotate := func() {
		t.Helper()
		if err := m.log.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	m.put("victim", "old")
	for i := range 20 {
		m.put(fmt.Sprintf("live%02d", i), strings.Repeat("x", 120)) // too much to be joined to a neighbour
	}
	rotate()
	m.del("victim")
	for range 20 {
		m.put("dies", "x")
	}
	rotate()
	m.put("last", "x")
	return m
}

// mustBeGone checks the content of deletedKey.
func mustBeGone(t *testing.T, m *member, when string) {
	t.Helper()
	v := m.View()
	defer v.Release()
	if e, ok := v.Get([]byte("victim")); ok {
		t.Fatalf("%s: the deleted key came back: %+v", when, e)
	}
	if n := v.root.Count(nil, nil); n != 22 {
		t.Fatalf("%s: %d keys, want 22", when, n)
	}
}

// onDisk counts the records of a key on disk.
func onDisk(t *testing.T, m *member, key string) (n int) {
	t.Helper()
	v := m.log.Publish()
	defer v.Release()
	if err := v.Scan(base.Revision{}, base.Revision{Main: m.Revision() + 1}, func(r revlog.Record) bool {
		if string(r.Key) == key {
			n++
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTombstoneMayGoFirst: the last tombstone of a key may leave the disk
// before the puts under it; no restart brings the key back.
func TestTombstoneMayGoFirst(t *testing.T) {
	m := deletedKey(t)
	m.compact(m.Revision())
	for _, step := range []struct {
		share float64
		left  int
	}{{0.2, 1}, {0.2, 1}, {0, 0}, {0, 0}} {
		for again := true; again; {
			var err error
			if again, err = m.log.Reclaim(context.Background(), step.share, nil); err != nil {
				t.Fatal(err)
			}
		}
		m.Renew()
		m.Publish()
		c := m.checkpoint()
		m.log.Retain(c.manifest)
		m.crash(c, 1)
		if n := onDisk(t, m, "victim"); n != step.left {
			t.Fatalf("%d records of the key on disk, want %d", n, step.left)
		}
		mustBeGone(t, m, fmt.Sprint("dead share ", step.share))
	}
}

// TestChurnLeavesNothing: keys that come and go leave nothing on disk, without
// any restart.
func TestChurnLeavesNothing(t *testing.T) {
	m := newMember(t)
	for round := range 5 {
		for i := range 200 {
			key := fmt.Sprintf("event-%d-%d", round, i)
			m.put(key, "x")
			m.del(key)
		}
		m.compact(m.Revision())
		if err := m.log.Rotate(); err != nil {
			t.Fatal(err)
		}
		for again := true; again; {
			var err error
			if again, err = m.log.Reclaim(context.Background(), 0, nil); err != nil {
				t.Fatal(err)
			}
		}
		if st := m.log.Stats(); st.Records > 1 { // the tombstone at the compaction itself
			t.Fatalf("round %d: %d records left", round, st.Records)
		}
	}
}

var orderLength = flag.Int("mvcc.order", 4, "length of the orders TestEveryInterleaving tries; 5 takes 20 seconds")

// TestEveryInterleaving deletes a key, compacts, and then tries every order of
// what may follow. Whichever checkpoint a crash leads back to, the key stays
// deleted and the rest stays, then and after everything has come to rest.
func TestEveryInterleaving(t *testing.T) {
	steps := []struct {
		name string
		do   func(m *member, disk *[]checkpoint)
	}{
		{"slice", func(m *member, _ *[]checkpoint) {
			if _, err := m.CompactStep(12); err != nil {
				t.Fatal(err)
			}
		}},
		{"reclaim much", func(m *member, _ *[]checkpoint) { reclaimOnce(t, m, 0.2) }},
		{"reclaim all", func(m *member, _ *[]checkpoint) { reclaimOnce(t, m, 0) }},
		{"checkpoint", func(m *member, disk *[]checkpoint) {
			*disk = append((*disk)[max(0, len(*disk)-1):], m.checkpoint())
		}},
		{"retain", func(m *member, disk *[]checkpoint) {
			m.Renew()
			m.Publish()
			var manifests []revlog.Manifest
			for _, c := range *disk {
				manifests = append(manifests, c.manifest)
			}
			m.log.Retain(manifests...)
		}},
		{"crash", func(m *member, disk *[]checkpoint) { m.crash((*disk)[len(*disk)-1], 1) }},
		{"crash to the older", func(m *member, disk *[]checkpoint) {
			*disk = (*disk)[:1]
			m.crash((*disk)[0], 2)
		}},
	}
	total := 1
	for range *orderLength {
		total *= len(steps)
	}
	for n := range total {
		m := deletedKey(t)
		if err := m.Compact(m.Revision()); err != nil {
			t.Fatal(err)
		}
		m.Publish()
		disk := []checkpoint{m.checkpoint()}
		var order []string
		for i, rest := 0, n; i < *orderLength; i, rest = i+1, rest/len(steps) {
			step := steps[rest%len(steps)]
			order = append(order, step.name)
			step.do(m, &disk)
			mustBeGone(t, m, strings.Join(order, ", "))
		}
		when := strings.Join(order, ", ") + ", the end"
		m.finish(100)
		for reclaimOnce(t, m, 0) {
		}
		if n := onDisk(t, m, "victim"); n != 0 {
			t.Fatalf("%s: %d records of the key on disk", when, n)
		}
		m.crash(m.checkpoint(), uint64(n))
		mustBeGone(t, m, when)
		m.close()
	}
}

func reclaimOnce(t *testing.T, m *member, share float64) bool {
	t.Helper()
	again, err := m.log.Reclaim(context.Background(), share, nil)
	if err != nil {
		t.Fatal(err)
	}
	return again
}
