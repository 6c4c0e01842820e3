package mvcc

import (
	"context"
	"fmt"
	"testing"

	"keelson/internal/base"
)

// TestCompactStepVisitsFew: the work of a compaction follows what was written
// since the last, not the number of keys.
func TestCompactStepVisitsFew(t *testing.T) {
	m := newMember(t)
	for i := range 500 {
		m.put(fmt.Sprintf("k%03d", i), "x")
	}
	m.compact(m.Revision())
	for range 10 {
		m.put("k250", "y")
	}
	if err := m.Compact(m.Revision()); err != nil {
		t.Fatal(err)
	}
	m.Publish()
	steps := 0
	for more := true; more; steps++ {
		var err error
		if more, err = m.CompactStep(3); err != nil {
			t.Fatal(err)
		}
	}
	if steps > 5 {
		t.Errorf("%d steps of 3 records, want 11 records visited", steps)
	}
	m.hashes.idle.Wait()
}

// TestViewSurvivesCompaction: an old view goes on reading what it could, while
// the records are compacted and reclaimed under it.
func TestViewSurvivesCompaction(t *testing.T) {
	m := newMember(t)
	for i := range 100 {
		m.put("a", fmt.Sprint(i))
	}
	v := m.View()
	defer v.Release()
	if err := m.log.Rotate(); err != nil {
		t.Fatal(err)
	}
	m.put("b", "x")
	m.compact(m.Revision())
	if again, err := m.log.Reclaim(context.Background(), 0, nil); err != nil || !again {
		t.Fatalf("reclaim: %v %v", again, err)
	}
	m.Renew()
	m.Publish()
	c := m.checkpoint()
	m.log.Retain(c.manifest)
	for i := range 100 {
		o := RangeOptions{KeyRange: base.KeyRange{Key: []byte("a")}, Revision: int64(i + 2)}
		res, err := v.Range(context.Background(), o)
		if want := fmt.Sprintf("a=%q create=2 mod=%d version=%d", fmt.Sprint(i), i+2, i+1); err != nil || len(res.KVs) != 1 || show(res.KVs[0]) != want {
			t.Fatalf("revision %d of the old view: %q %v", i+2, res.KVs, err)
		}
	}
}

// TestCompactionsQueue: a compaction accepted while another is under way waits
// for it, and both are hashed.
func TestCompactionsQueue(t *testing.T) {
	m := newMember(t)
	for i := range 20 {
		m.put(fmt.Sprintf("k%d", i%4), fmt.Sprint(i))
	}
	want := map[int64]KVHash{}
	model := newModel()
	for i := range 20 {
		model.put(base.Revision{Main: int64(i) + 2}, fmt.Sprintf("k%d", i%4), fmt.Sprint(i), 0)
	}
	prev := NeverCompacted
	for _, rev := range []int64{8, 12, 21} {
		if err := m.Compact(rev); err != nil {
			t.Fatal(err)
		}
		want[rev] = model.hash(rev, prev, true)
		prev = rev
	}
	m.Publish()
	for more := true; more; {
		var err error
		if more, err = m.CompactStep(2); err != nil {
			t.Fatal(err)
		}
		m.hashes.idle.Wait()
	}
	for rev, h := range want {
		if got, _, err := m.HashKV(context.Background(), rev); err != nil || got != h {
			t.Errorf("hash of compaction %d: %+v, %v; want %+v", rev, got, err, h)
		}
	}
	if m.FinishedCompaction() != 21 || m.CompactionPending() {
		t.Errorf("finished %d, pending %v", m.FinishedCompaction(), m.CompactionPending())
	}
}
