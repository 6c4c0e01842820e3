package mvcc

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/revlog"
	"keelson/internal/vfs"
)

var (
	modelSeed  = flag.Uint64("mvcc.seed", 0, "play only this seed of TestModel")
	modelSeeds = flag.Int("mvcc.seeds", 12, "number of seeds TestModel plays")
)

// TestModel plays random histories on a store and on the model and compares
// every answer, across compactions in slices, reclaims, restarts and crashes.
func TestModel(t *testing.T) {
	first, n := uint64(1), *modelSeeds
	if *modelSeed != 0 {
		first, n = *modelSeed, 1
	}
	for seed := first; seed < first+uint64(n); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			defer func() {
				if t.Failed() {
					t.Logf("replay: go test ./internal/mvcc -run TestModel -mvcc.seed %d", seed)
				}
			}()
			rnd := rand.New(rand.NewPCG(seed, 7))
			opts := revlog.Options{FS: vfs.NewMem(), SegmentBytes: 512 << rnd.IntN(4), TailBytes: 300}
			p := player{member: newMemberOpts(t, opts), model: newModel(), rnd: rnd, keys: 1 + rnd.IntN(1+rnd.IntN(12))}
			p.save()
			for range 400 {
				p.step()
			}
			p.end()
		})
	}
}

type player struct {
	*member
	model *model
	rnd   *rand.Rand
	keys  int     // few keys: chains and empty states; many: ranges
	saved []saved // checkpoints on disk, oldest first, at most two
	// saving, reclaiming: a background goroutine would be at it.
	saving, reclaiming bool
}

func (p *player) key() []byte { return []byte{'k', byte('a' + p.rnd.IntN(p.keys))} }

func (p *player) value() string {
	return string(bytes.Repeat([]byte{byte('0' + p.rnd.IntN(4))}, p.rnd.IntN(60)))
}

func (p *player) keyRange() base.KeyRange {
	switch p.rnd.IntN(5) {
	case 0:
		return base.KeyRange{Key: p.key()}
	case 1:
		return base.KeyRange{Key: p.key(), End: []byte{0}}
	case 2:
		return base.KeyRange{Key: []byte{0}, End: []byte{0}}
	default:
		return base.KeyRange{Key: p.key(), End: p.key()}
	}
}

// pick returns 0 or something around the revisions in use.
func (p *player) pick() int64 {
	if p.rnd.IntN(2) == 0 {
		return 0
	}
	return max(p.model.compact, 0) - 2 + p.rnd.Int64N(max(p.model.rev-p.model.compact, 0)+5)
}

func (p *player) options() RangeOptions {
	o := RangeOptions{KeyRange: p.keyRange(), Revision: p.pick()}
	o.Limit = p.rnd.Int64N(6) - 1
	o.SortOrder, o.SortTarget = p.rnd.Int32N(3), p.rnd.Int32N(5)
	o.KeysOnly = p.rnd.IntN(3) == 0
	o.CountOnly = p.rnd.IntN(8) == 0
	for _, bound := range []*int64{&o.MinMod, &o.MaxMod, &o.MinCreate, &o.MaxCreate} {
		if p.rnd.IntN(6) == 0 {
			*bound = p.pick()
		}
	}
	return o
}

func (p *player) step() {
	switch n := p.rnd.IntN(100); {
	case n < 45:
		p.batch()
	case n < 60:
		p.read()
	case n < 65:
		p.history()
	case n < 70:
		p.hashKV()
	case n < 80:
		p.compactTo()
	case n < 88:
		p.compactSome()
	case n < 93:
		p.reclaim()
	case n < 97:
		p.save()
	case p.saving || p.reclaiming:
		// The goroutines of that life cannot go on in the next.
	default:
		p.crashSome()
	}
}

// batch runs a few transactions and publishes them together.
func (p *player) batch() {
	first := p.model.rev
	for range 1 + p.rnd.IntN(4) {
		p.txn()
	}
	b := p.Publish()
	if b.Revision != p.model.rev {
		p.t.Fatalf("published revision %d, want %d", b.Revision, p.model.rev)
	}
	var evs []string
	v := p.View()
	defer v.Release()
	for _, e := range b.Events {
		evs = append(evs, p.event(v, e))
	}
	if want := p.model.events(first+1, p.model.rev); !slices.Equal(evs, want) {
		p.t.Fatalf("events of the batch:\n%q\nwant\n%q", evs, want)
	}
}

// event prints an event as model.events does.
func (p *player) event(v *View, e Event) string {
	prev, ok, err := v.KVAt(e.Prev)
	if err != nil || ok == e.Prev.IsZero() {
		p.t.Fatalf("prev %v of %v: %v %v", e.Prev, e.Rev, ok, err)
	}
	return fmt.Sprintf("%v %v %q %q prev %q", e.Rev, e.Delete, e.Key, e.KV, prev)
}

func (p *player) txn() {
	m := p.model
	tx := p.Begin()
	var sub int64
	next := func() base.Revision {
		sub++
		return base.Revision{Main: m.rev + 1, Sub: sub - 1}
	}
	for range p.rnd.IntN(4) {
		switch p.rnd.IntN(6) {
		case 0, 1:
			kr := p.keyRange()
			want := m.inRange(kr, m.rev+1)
			gone, err := tx.DeleteRange(kr)
			if err != nil || len(gone) != len(want) {
				p.t.Fatalf("deleted %d keys, want %d: %v", len(gone), len(want), err)
			}
			for i, c := range want {
				if string(gone[i].Key) != c.key || gone[i].Last.Mod != c.rev || gone[i].Last.Lease != c.lease {
					p.t.Fatalf("deleted %+v, want %+v", gone[i], c)
				}
				m.changes = append(m.changes, change{rev: next(), key: c.key})
			}
		case 2:
			o := p.options()
			got, err := tx.Range(o)
			want, wantErr := m.rangeOver(o, tx.Rev())
			p.compare(o, got, err, want, wantErr)
		default:
			key, value, lease := p.key(), p.value(), base.LeaseID(p.rnd.Int64N(3))
			m.put(next(), string(key), value, lease)
			if err := tx.Put(key, []byte(value), lease); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	if sub > 0 {
		m.rev++
	}
	if tx.Rev() != m.rev || tx.Changed() != (sub > 0) {
		p.t.Fatalf("transaction is at %d, want %d", tx.Rev(), m.rev)
	}
	tx.End()
}

func (p *player) read() {
	v := p.View()
	defer v.Release()
	for range 4 {
		o := p.options()
		got, err := v.Range(context.Background(), o)
		want, wantErr := p.model.rangeOver(o, p.model.rev)
		p.compare(o, got, err, want, wantErr)
	}
	p.stream()
}

func (p *player) compare(o RangeOptions, got RangeResult, err error, want RangeResult, wantErr error) {
	p.t.Helper()
	if !errors.Is(err, wantErr) {
		p.t.Fatalf("range %+v: error %v, want %v", o, err, wantErr)
	}
	if err != nil {
		return
	}
	if got.Count != want.Count || got.More != want.More || got.Revision != want.Revision ||
		!slices.EqualFunc(got.KVs, want.KVs, bytes.Equal) {
		p.t.Fatalf("range %+v:\n%v %v %q\nwant\n%v %v %q", o, got.Count, got.More, got.KVs, want.Count, want.More, want.KVs)
	}
}

// stream compares a streamed range with writes between the chunks.
func (p *player) stream() {
	o := RangeOptions{KeyRange: p.keyRange(), Revision: p.pick(), Limit: p.rnd.Int64N(8), KeysOnly: p.rnd.IntN(2) == 0}
	want, wantErr := p.model.rangeOver(o, p.model.rev)
	var got RangeResult
	st := p.Stream(o)
	defer st.Close()
	for last := false; !last; {
		c, err := st.Next(context.Background(), 1+p.rnd.IntN(3))
		if err != nil {
			p.compare(o, got, err, want, wantErr)
			return
		}
		for _, kv := range c.KVs {
			got.KVs = append(got.KVs, bytes.Clone(kv))
		}
		got.Count, got.More, got.Revision = c.Count, c.More, want.Revision
		last = c.Last
		if !last && p.rnd.IntN(3) == 0 {
			p.batch()
		}
	}
	p.compare(o, got, nil, want, wantErr)
}

func (p *player) history() {
	v := p.View()
	defer v.Release()
	from, to := p.pick(), p.pick()
	var evs []string
	err := v.Scan(from, to, func(e Event) bool {
		evs = append(evs, p.event(v, e))
		return true
	})
	if from < p.model.compact {
		if !errors.Is(err, errs.ErrCompacted) {
			p.t.Fatalf("scan from %d below %d: %v", from, p.model.compact, err)
		}
		return
	}
	if want := p.model.events(from, to); err != nil || !slices.Equal(evs, want) {
		p.t.Fatalf("scan %d to %d: %v\n%q\nwant\n%q", from, to, err, evs, want)
	}
}

func (p *player) hashKV() {
	revs := []int64{0, p.pick()}
	for _, h := range p.model.hashes {
		revs = append(revs, h.Revision)
	}
	for _, rev := range revs {
		got, current, err := p.HashKV(context.Background(), rev)
		want, wantErr := p.model.hashKV(rev)
		if !errors.Is(err, wantErr) || got != want || current != p.model.rev {
			p.t.Fatalf("hash %d: %+v current %d, %v; want %+v current %d, %v", rev, got, current, err, want, p.model.rev, wantErr)
		}
	}
}

func (p *player) compactTo() {
	m := p.model
	rev := p.pick()
	if p.rnd.IntN(3) == 0 {
		rev = m.rev
	}
	err := p.Compact(rev)
	switch {
	case rev <= m.compact:
		if !errors.Is(err, errs.ErrCompacted) {
			p.t.Fatalf("compact %d at or below %d: %v", rev, m.compact, err)
		}
		return
	case rev > m.rev:
		if !errors.Is(err, errs.ErrFutureRev) {
			p.t.Fatalf("compact %d above %d: %v", rev, m.rev, err)
		}
		return
	case err != nil:
		p.t.Fatal(err)
	}
	p.Publish()
	prev := m.compact
	m.compact = rev
	if p.rnd.IntN(3) == 0 {
		return // left to compactSome, or to a restart
	}
	waiting := len(p.compaction.queue)
	if _, err := p.CompactStep(1 + p.rnd.IntN(5)); err != nil {
		p.t.Fatal(err)
	}
	p.hashes.idle.Wait()
	if _, ok := p.hashes.get(rev); ok != (waiting == 1) && waiting == 1 {
		p.t.Fatalf("compaction %d was not hashed", rev)
	}
	p.noteHashes(rev, prev)
}

// noteHashes adds the hashes that have become known. Which compactions are
// hashed depends on restarts; that a hash is right does not.
func (p *player) noteHashes(rev, prev int64) {
	p.hashes.mu.Lock()
	defer p.hashes.mu.Unlock()
	m := p.model
	for _, h := range p.hashes.mu.done {
		if slices.ContainsFunc(m.hashes, func(o KVHash) bool { return o.Revision == h.Revision }) {
			continue
		}
		if want := m.hash(h.Revision, h.CompactRev, true); h != want {
			p.t.Fatalf("hash of compaction %d: %+v, want %+v", h.Revision, h, want)
		}
		if h.Revision == rev && h.CompactRev != prev {
			p.t.Fatalf("hash of compaction %d names %d as the one before, want %d", rev, h.CompactRev, prev)
		}
		m.hashes = append(m.hashes, h)
	}
	m.hashes = slices.Clone(p.hashes.mu.done)
}

func (p *player) compactSome() {
	for range 1 + p.rnd.IntN(10) {
		if _, err := p.CompactStep(1 + p.rnd.IntN(20)); err != nil {
			p.t.Fatal(err)
		}
		p.hashes.idle.Wait()
		p.noteHashes(-1, 0)
	}
	if !p.CompactionPending() {
		p.checkRetained()
	}
}
