package mvcc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/revlog"
	"keelson/internal/vfs"
	"keelson/internal/wire"
)

// TestReadersAgainstApplier: the applier writes groups of keys that must agree,
// compacts, reclaims and publishes; readers check that every view is whole and
// that revisions never go back. Mostly for the race detector.
func TestReadersAgainstApplier(t *testing.T) {
	m := newMemberOpts(t, revlog.Options{FS: vfs.NewMem(), SegmentBytes: 16 << 10, TailBytes: 1 << 10})
	writeGroup(t, m, 0)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for _, read := range []func(*testing.T, *member, *View) error{readWhole, readOld, readHistory, readStream, readHash} {
		readers.Go(func() {
			last := int64(0)
			for {
				select {
				case <-done:
					return
				default:
				}
				v := m.View()
				if v.Revision() < last {
					t.Errorf("revision went back from %d to %d", last, v.Revision())
				}
				last = v.Revision()
				if err := read(t, m, v); err != nil && !errors.Is(err, errs.ErrCompacted) {
					t.Error(err)
				}
				v.Release()
			}
		})
	}
	for i := 1; i < 600; i++ {
		writeGroup(t, m, i)
		applierChores(t, m, i)
	}
	close(done)
	readers.Wait()
}

const groupKeys = 8

func writeGroup(t *testing.T, m *member, i int) {
	tx := m.Begin()
	for k := range groupKeys {
		if err := tx.Put(fmt.Appendf(nil, "k%d", k), fmt.Appendf(nil, "%d", i), 0); err != nil {
			t.Error(err)
		}
	}
	tx.End()
	m.Publish()
}

func applierChores(t *testing.T, m *member, i int) {
	if i%40 == 0 {
		if err := m.Compact(m.Revision() - 10); err != nil {
			t.Error(err)
		}
		m.Publish()
	}
	if _, err := m.CompactStep(30); err != nil {
		t.Error(err)
	}
	if i%60 == 0 {
		if _, err := m.log.Reclaim(context.Background(), 0.1, nil); err != nil {
			t.Error(err)
		}
		c := m.checkpoint()
		m.log.Retain(c.manifest)
	}
}

func readWhole(_ *testing.T, _ *member, v *View) error {
	res, err := v.Range(context.Background(), RangeOptions{KeyRange: everything})
	if err != nil {
		return err
	}
	return sameValue(res)
}

// sameValue checks that a range saw all of one group and nothing of another.
func sameValue(res RangeResult) error {
	if res.Count != groupKeys || len(res.KVs) != groupKeys {
		return fmt.Errorf("%d of %d keys", len(res.KVs), res.Count)
	}
	var first, kv wire.KeyValueView
	if err := first.UnmarshalWire(res.KVs[0]); err != nil {
		return err
	}
	for _, b := range res.KVs {
		if err := kv.UnmarshalWire(b); err != nil {
			return err
		}
		if string(kv.Value) != string(first.Value) || kv.ModRevision != first.ModRevision {
			return fmt.Errorf("%s and %s in one view", show(res.KVs[0]), show(b))
		}
	}
	return nil
}

func readOld(_ *testing.T, _ *member, v *View) error {
	o := RangeOptions{KeyRange: everything, Revision: max(v.CompactRevision(), 2), SortTarget: TargetValue}
	res, err := v.Range(context.Background(), o)
	if err != nil {
		return err
	}
	return sameValue(res)
}

func readHistory(_ *testing.T, _ *member, v *View) error {
	next := base.Revision{Main: max(v.CompactRevision(), 2)}
	var broken error
	err := v.Scan(next.Main, v.Revision(), func(e Event) bool {
		if e.Rev != next {
			broken = fmt.Errorf("event %v, want %v", e.Rev, next)
			return false
		}
		if next.Sub++; next.Sub == groupKeys {
			next = base.Revision{Main: next.Main + 1}
		}
		if !e.Prev.IsZero() {
			if _, ok, err := v.KVAt(e.Prev); err != nil || !ok {
				broken = fmt.Errorf("prev %v of %v: %v %v", e.Prev, e.Rev, ok, err)
			}
		}
		return broken == nil
	})
	return errors.Join(err, broken)
}

func readStream(_ *testing.T, m *member, _ *View) error {
	st := m.Stream(RangeOptions{KeyRange: everything})
	defer st.Close()
	var res RangeResult
	for {
		c, err := st.Next(context.Background(), 3)
		if err != nil {
			return err
		}
		for _, kv := range c.KVs {
			res.KVs = append(res.KVs, append([]byte(nil), kv...))
		}
		if c.Last {
			res.Count = c.Count
			return sameValue(res)
		}
	}
}

func readHash(_ *testing.T, m *member, v *View) error {
	h, current, err := m.HashKV(context.Background(), v.Revision())
	if err != nil {
		return err
	}
	again, _, err := m.HashKV(context.Background(), v.Revision())
	if err != nil {
		return err
	}
	if h.CompactRev == again.CompactRev && h != again || current < v.Revision() {
		return fmt.Errorf("hash %+v, then %+v", h, again)
	}
	return nil
}
