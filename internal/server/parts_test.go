package server

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/replica"
	"keelson/internal/state"
)

// asker is a replica that is asked for read indexes, and what is applied.
type asker struct {
	asked   []uint64
	applied base.Index
	slow    int
}

func newReads(a *asker) *reads {
	return &reads{
		ask:     func(id uint64) { a.asked = append(a.asked, id) },
		applied: func() base.Index { return a.applied },
		slow:    func() { a.slow++ },
	}
}

func finished(r *round) bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// TestReadRounds: a read that comes while a round is under way must not use
// that round's answer; reads that come together share one question.
func TestReadRounds(t *testing.T) {
	a := &asker{applied: 10}
	q := newReads(a)
	first := q.join()
	if !slices.Equal(a.asked, []uint64{1}) {
		t.Fatalf("asked %v", a.asked)
	}
	late, later := q.join(), q.join()
	if late == first || late != later {
		t.Fatal("late reads must share a round of their own")
	}
	if len(a.asked) != 1 {
		t.Fatal("two rounds are under way")
	}
	q.answer(1, 10)
	if !finished(first) || first.err != nil {
		t.Fatal("the first round did not end")
	}
	if finished(late) {
		t.Fatal("a late read was answered by an index from before it began")
	}
	if !slices.Equal(a.asked, []uint64{1, 2}) {
		t.Fatalf("asked %v", a.asked)
	}
	q.answer(1, 10) // again: a duplicate of an old answer
	if finished(late) {
		t.Fatal("a duplicate of an earlier answer ended a later round")
	}
	q.answer(2, 12)
	if finished(late) {
		t.Fatal("answered before the index is applied")
	}
	q.appliedTo(11)
	if finished(late) {
		t.Fatal("one entry too early")
	}
	q.appliedTo(12)
	if !finished(late) || late.err != nil {
		t.Fatal("not answered when applied")
	}
	if q.join(); len(a.asked) != 3 {
		t.Fatal("an idle queue does not ask at once")
	}
}

func TestReadRoundsLag(t *testing.T) {
	a := &asker{}
	q := newReads(a)
	var rounds []*round
	for i := range 5 {
		r := q.join()
		q.answer(uint64(i+1), base.Index(10*(i+1)))
		rounds = append(rounds, r)
	}
	q.appliedTo(30)
	for i, r := range rounds {
		if finished(r) != (i < 3) {
			t.Fatalf("round %d: finished %v", i, finished(r))
		}
	}
	q.appliedTo(1000)
	if !finished(rounds[3]) || !finished(rounds[4]) || len(q.lagging) != 0 {
		t.Fatal("the rest did not end")
	}
}

// TestReadRepeat: an unanswered question is asked again; the late answer to
// the first asking still serves the round, since all its reads began before.
func TestReadRepeat(t *testing.T) {
	a := &asker{applied: 10}
	q := newReads(a)
	q.repeat()
	if a.asked != nil {
		t.Fatal("asked although nobody waits")
	}
	r := q.join()
	q.repeat()
	q.repeat()
	if !slices.Equal(a.asked, []uint64{1, 2, 3}) || a.slow != 1 {
		t.Fatalf("asked %v, slow %d", a.asked, a.slow)
	}
	next := q.join()
	q.answer(2, 5)
	if !finished(r) {
		t.Fatal("the answer to an earlier asking was thrown away: a slow network would answer no read at all")
	}
	q.answer(3, 5) // belongs to the round that ended
	if finished(next) {
		t.Fatal("the answer to an earlier round's repeated question served a later round")
	}
	q.answer(4, 5)
	if !finished(next) {
		t.Fatal("not answered")
	}
}

func TestReadFail(t *testing.T) {
	a := &asker{}
	q := newReads(a)
	q.fail(errs.ErrLeaderChanged) // nobody waits
	lagging := q.join()
	q.answer(1, 7)
	under, gathering := q.join(), q.join()
	q.fail(errs.ErrLeaderChanged)
	if !finished(under) || !errors.Is(under.err, errs.ErrLeaderChanged) {
		t.Fatal("the round under way goes on although its leader is gone")
	}
	if finished(gathering) || finished(lagging) {
		t.Fatal("a round that can still be answered was ended")
	}
	if !slices.Equal(a.asked, []uint64{1, 2, 3}) {
		t.Fatalf("the gathered round was not started: %v", a.asked)
	}
	q.answer(2, 7) // of the failed round
	if finished(gathering) {
		t.Fatal("the old leader's answer was used")
	}
	q.appliedTo(7)
	if !finished(lagging) || lagging.err != nil {
		t.Fatal("an index that is committed stays committed")
	}
}

func TestWaiters(t *testing.T) {
	ws := newWaiters()
	w := ws.add(7)
	if !ws.has(7) || ws.has(7+64) {
		t.Fatal("wrong")
	}
	if got := ws.take(7); got != w || ws.has(7) || ws.take(7) != nil {
		t.Fatal("taken twice, or not at all")
	}
	w.done <- outcome{res: &state.Result{Index: 3}} // must not block
	if out := <-w.done; out.res.Index != 3 {
		t.Fatal("lost")
	}
	ws.answered(w)
	// One that gave up while its answer was on the way is not used again: its
	// channel may still be written to.
	w = ws.add(8)
	taken := ws.take(8)
	ws.giveUp(w)
	taken.done <- outcome{}
	for id := range uint64(100) {
		n := ws.add(1000 + id)
		if n == w {
			t.Fatal("a waiter with an outcome inside is used again")
		}
	}
}

func TestWaitersConcurrent(t *testing.T) {
	ws := newWaiters()
	var wg sync.WaitGroup
	for g := range uint64(8) {
		wg.Go(func() {
			for i := range uint64(500) {
				id := g<<32 | i
				w := ws.add(id)
				go func() { ws.take(id).done <- outcome{res: &state.Result{ID: id}} }()
				if out := <-w.done; out.res.ID != id {
					t.Errorf("got the answer of %d instead of %d", out.res.ID, id)
				}
				ws.answered(w)
			}
		})
	}
	wg.Wait()
}

// TestIDs: the form is etcd's, seen in its log.
func TestIDs(t *testing.T) {
	g := newIDs(0xddd67b312462fd7b, time.UnixMilli(0x19_a202cbbb71&(1<<40-1)))
	if id := g.next(); id != 0xfd7ba202cbbb7101 {
		t.Fatalf("%x", id)
	}
	seen := map[uint64]bool{}
	for range 1000 {
		id := g.next()
		if seen[id] || id>>48 != 0xfd7b {
			t.Fatalf("%x", id)
		}
		seen[id] = true
	}
	g.suffix.Store(1<<48 - 1)
	if id := g.next(); id>>48 != 0xfd7b {
		t.Fatalf("running over the time bits changed the member: %x", id)
	}
}

func TestGate(t *testing.T) {
	var g gate
	stopped := make(chan struct{})
	must(t, g.wait(t.Context(), stopped))
	g.open() // open already
	g.shut()
	g.shut()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.wait(gone, stopped); !errors.Is(err, errs.ErrRawCanceled) {
		t.Fatal(err)
	}
	waiting := later(func() error { return g.wait(context.Background(), stopped) })
	g.open()
	must(t, await(t, waiting, "the gate"))
	g.shut()
	close(stopped)
	if err := g.wait(t.Context(), stopped); !errors.Is(err, errs.ErrStopped) {
		t.Fatal(err)
	}
}

func TestBudget(t *testing.T) {
	b := newBudget(1 << 20)
	big := [][]byte{make([]byte, 700<<10)}
	release, err := b.acquire(t.Context(), big)
	must(t, err)
	small, err := b.acquire(t.Context(), [][]byte{make([]byte, 100)})
	must(t, err) // small answers are not held up
	small()
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.acquire(short, big); !errors.Is(err, errs.ErrRawCanceled) {
		t.Fatal(err)
	}
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if _, err := b.acquire(expired, big); !errors.Is(err, errs.ErrRawDeadline) {
		t.Fatal(err)
	}
	waiting := later(func() error {
		r, err := b.acquire(context.Background(), [][]byte{make([]byte, 5<<20)}) // larger than all of it
		if err == nil {
			r()
		}
		return err
	})
	release()
	must(t, await(t, waiting, "room for an answer larger than the budget"))
}

func TestNextChunk(t *testing.T) {
	for _, c := range []struct{ keys, size, want int }{
		{10, 100, 20}, {20, 499, 40}, {20, 500, 20}, {20, 2000, 20}, {20, 2001, 10}, {1, 99999, 1}, {maxChunkKeys, 1, maxChunkKeys},
	} {
		if got := nextChunk(c.keys, c.size, 1000); got != c.want {
			t.Errorf("%d keys in %d bytes: next %d, want %d", c.keys, c.size, got, c.want)
		}
	}
}

func TestProposalErrors(t *testing.T) {
	for in, want := range map[error]error{
		replica.ErrBusy: errs.ErrRequestTooManyRequests, replica.ErrDropped: errs.ErrProposalDropped, replica.ErrStopped: errs.ErrStopped,
	} {
		if got := proposalError(in); !errors.Is(got, want) {
			t.Errorf("%v became %v, want %v", in, got, want)
		}
	}
}

func TestSinceCheckpoint(t *testing.T) {
	cfg := &Config{SnapshotCount: 3, SnapshotBytes: 100}
	for _, c := range []struct {
		sinceCheckpoint
		want bool
	}{{sinceCheckpoint{2, 99}, false}, {sinceCheckpoint{3, 0}, true}, {sinceCheckpoint{1, 100}, true}} {
		if c.due(cfg) != c.want {
			t.Errorf("%+v: due %v", c.sinceCheckpoint, !c.want)
		}
	}
}
