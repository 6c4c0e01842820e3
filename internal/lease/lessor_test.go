package lease

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/errs"
)

func fakeLessor() (*Lessor, *clock.Fake) {
	clk := clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC))
	return NewLessor(clk), clk
}

func remaining(t *testing.T, l *Lessor, id base.LeaseID) time.Duration {
	t.Helper()
	d, err := l.Remaining(id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestIdleLessor(t *testing.T) {
	l, clk := fakeLessor()
	l.Granted(Info{ID: 1, TTL: 1})
	clk.Advance(time.Hour)
	if got := l.Due(10); got != nil {
		t.Fatalf("a lessor that is not primary says %v are due", got)
	}
	if _, err := l.Renew(1); !errors.Is(err, errs.ErrNotPrimaryLessor) {
		t.Fatal(err)
	}
	if _, err := l.Remaining(1); !errors.Is(err, errs.ErrNotPrimaryLessor) {
		t.Fatal(err)
	}
	if l.ByRemaining() != nil || l.Checkpoints(10) != nil || l.CheckpointAll() != nil {
		t.Fatal("an idle lessor has leases")
	}
	if _, ok := l.Next(); ok {
		t.Fatal("an idle lessor waits for something")
	}
	l.Promote(nil, time.Second)
	if _, err := l.Renew(1); !errors.Is(err, errs.ErrLeaseNotFound) {
		t.Fatal(err)
	}
	if ids := l.ByRemaining(); ids == nil || len(ids) != 0 {
		t.Fatalf("a primary without leases lists %v; only an idle one lists nil", ids)
	}
}

// TestExpiry: never early, not even by a nanosecond; again after RevokeRetry
// while it is not revoked.
func TestExpiry(t *testing.T) {
	l, clk := fakeLessor()
	l.Promote(nil, 0)
	l.Granted(Info{ID: 1, TTL: 10})
	clk.Advance(10*time.Second - 1)
	if got := l.Due(10); got != nil {
		t.Fatalf("due a nanosecond early: %v", got)
	}
	clk.Advance(1)
	if got := l.Due(10); !reflect.DeepEqual(got, []base.LeaseID{1}) {
		t.Fatalf("due %v", got)
	}
	if got := l.Due(10); got != nil {
		t.Fatalf("handed out twice: %v", got)
	}
	r, err := l.Renew(1)
	if err != nil || !r.Expired || r.TTL != 10 {
		t.Fatalf("renewing one that is over: %+v, %v", r, err)
	}
	if remaining(t, l, 1) > 0 {
		t.Fatal("the refused renewal prolonged it")
	}
	clk.Advance(RevokeRetry - 1)
	if got := l.Due(10); got != nil {
		t.Fatalf("tried again too early: %v", got)
	}
	clk.Advance(1)
	if got := l.Due(10); len(got) != 1 {
		t.Fatal("a failed revocation is not tried again")
	}
	l.Revoked(1)
	l.Revoked(1) // applied twice does no harm
	clk.Advance(time.Hour)
	if got := l.Due(10); got != nil {
		t.Fatalf("revoked, still due: %v", got)
	}
	if _, err := l.Renew(1); !errors.Is(err, errs.ErrLeaseNotFound) {
		t.Fatal(err)
	}
}

func TestRenew(t *testing.T) {
	l, clk := fakeLessor()
	l.Promote([]Info{{ID: 1, TTL: 10}, {ID: 2, TTL: 10, Remaining: 3}}, 0)
	clk.Advance(9 * time.Second)
	if r, err := l.Renew(1); err != nil || r != (Renewal{TTL: 10}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := remaining(t, l, 1); got != 10*time.Second {
		t.Fatalf("renewed to %v", got)
	}
	if got := l.Due(10); !reflect.DeepEqual(got, []base.LeaseID{2}) {
		t.Fatalf("the lease with 3 s left was not due after 9: %v", got)
	}
	l.Granted(Info{ID: 3, TTL: 20})
	l.Checkpointed(3, 15)
	if r, err := l.Renew(3); err != nil || !r.Clear {
		t.Fatalf("a checkpointed lease is renewed without clearing: %+v, %v", r, err)
	}
	l.Checkpointed(3, 0)
	if r, err := l.Renew(3); err != nil || r.Clear {
		t.Fatalf("cleared already: %+v, %v", r, err)
	}
}

// TestPromote: what is left plus the extension, checkpoints respected; what an
// earlier term knew is forgotten.
func TestPromote(t *testing.T) {
	l, clk := fakeLessor()
	l.Promote(nil, 0)
	l.Granted(Info{ID: 9, TTL: 5})
	l.Demote()
	clk.Advance(time.Hour)
	l.Promote([]Info{{ID: 1, TTL: 10}, {ID: 2, TTL: 100, Remaining: 7}}, 1500*time.Millisecond)
	if got := remaining(t, l, 1); got != 11500*time.Millisecond {
		t.Errorf("full TTL: %v left", got)
	}
	if got := remaining(t, l, 2); got != 8500*time.Millisecond {
		t.Errorf("from a checkpoint: %v left", got)
	}
	if _, err := l.Remaining(9); !errors.Is(err, errs.ErrLeaseNotFound) {
		t.Errorf("a lease of an earlier term: %v", err)
	}
	if got := l.ByRemaining(); !reflect.DeepEqual(got, []base.LeaseID{2, 1}) {
		t.Errorf("order %v", got)
	}
}

// TestLongestLease: the longest TTL, prolonged, must not wrap around and be
// over at once.
func TestLongestLease(t *testing.T) {
	l, clk := fakeLessor()
	l.Promote([]Info{{ID: 1, TTL: MaxTTL}}, 10*time.Second)
	l.Granted(Info{ID: 2, TTL: MaxTTL})
	clk.Advance(time.Hour)
	if got := l.Due(10); got != nil {
		t.Fatalf("due after an hour: %v", got)
	}
	if r, err := l.Renew(1); err != nil || r.Expired {
		t.Fatalf("%+v, %v", r, err)
	}
	if d := remaining(t, l, 2); d <= 0 {
		t.Fatalf("%v left", d)
	}
}

// TestSpread: after a change of leader not more than spreadPerSecond leases run
// out in any second that starts with an expiry, none earlier than its due, and
// a lease that needs no delay gets none.
func TestSpread(t *testing.T) {
	for _, c := range []struct {
		name  string
		n     int
		ttl   func(i int, rng *rand.Rand) int64
		extra time.Duration // latest delay allowed
	}{
		{"one instant", 5000, func(int, *rand.Rand) int64 { return 30 }, 7 * time.Second},
		{"already thin", 3000, func(i int, _ *rand.Rand) int64 { return int64(10 + i) }, 0},
		{"few", spreadFrom - 1, func(int, *rand.Rand) int64 { return 30 }, 0},
		{"random", 20000, func(_ int, rng *rand.Rand) int64 { return 5 + rng.Int64N(60) }, 20 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, clk := fakeLessor()
			rng := rand.New(rand.NewPCG(1, 2))
			var all []Info
			for i := range c.n {
				all = append(all, Info{ID: base.LeaseID(i + 1), TTL: c.ttl(i, rng)})
			}
			l.Promote(all, time.Second)
			perSecond := map[int64]int{}
			for _, in := range all {
				late := remaining(t, l, in.ID) - seconds(in.TTL) - time.Second
				if late < 0 {
					t.Fatalf("lease %d runs out %v early", in.ID, -late)
				}
				if late > c.extra {
					t.Fatalf("lease %d is %v late", in.ID, late)
				}
				perSecond[int64(remaining(t, l, in.ID)/time.Second)]++
			}
			if c.n >= spreadFrom {
				for s, n := range perSecond {
					if n > spreadPerSecond {
						t.Errorf("%d leases run out in second %d", n, s)
					}
				}
			}
			// The heaps agree with it: walking the clock hands out each once.
			seen := map[base.LeaseID]bool{}
			for range 100_000 {
				at, ok := l.Next()
				if !ok {
					break
				}
				clk.Set(at)
				l.Checkpoints(c.n)
				for _, id := range l.Due(c.n) {
					if seen[id] {
						t.Fatalf("lease %d twice", id)
					}
					seen[id] = true
					l.Revoked(id)
				}
			}
			if len(seen) != c.n {
				t.Fatalf("%d of %d leases ran out", len(seen), c.n)
			}
		})
	}
}

func TestDueIsBounded(t *testing.T) {
	l, clk := fakeLessor()
	var all []Info
	for i := range 10 {
		all = append(all, Info{ID: base.LeaseID(i + 1), TTL: int64(10 - i)})
	}
	l.Promote(all, 0)
	clk.Advance(time.Minute)
	first := l.Due(4)
	if !reflect.DeepEqual(first, []base.LeaseID{10, 9, 8, 7}) {
		t.Fatalf("not the oldest first: %v", first)
	}
	rest := append(l.Due(4), l.Due(4)...)
	if !reflect.DeepEqual(rest, []base.LeaseID{6, 5, 4, 3, 2, 1}) {
		t.Fatalf("%v", rest)
	}
}

// TestCheckpoints: a lease nobody renews is checkpointed every half TTL within
// bounds; a healthy one never; what is left is rounded up.
func TestCheckpoints(t *testing.T) {
	l, clk := fakeLessor()
	l.Promote(nil, 0)
	l.Granted(Info{ID: 1, TTL: 60})
	l.Granted(Info{ID: 2, TTL: 4})       // ends before its first turn
	l.Granted(Info{ID: 3, TTL: 100_000}) // every five minutes at least
	clk.Advance(29_999 * time.Millisecond)
	if got := l.Checkpoints(10); got != nil {
		t.Fatalf("early: %v", got)
	}
	clk.Advance(500 * time.Millisecond)
	if got := l.Checkpoints(10); !reflect.DeepEqual(got, []Info{{ID: 1, TTL: 60, Remaining: 30}}) {
		t.Fatalf("%v", got) // 29.501 s are left
	}
	if got := l.Checkpoints(10); got != nil {
		t.Fatalf("at once again: %v", got)
	}
	for range 40 { // kept alive: silent
		clk.Advance(20 * time.Second)
		if _, err := l.Renew(1); err != nil {
			t.Fatal(err)
		}
		for _, in := range l.Checkpoints(10) {
			if in.ID == 1 {
				t.Fatalf("a healthy lease was checkpointed: %v", in)
			}
		}
	}
	clk.Advance(maxCheckpoint)
	got := l.Checkpoints(1)
	if len(got) != 1 {
		t.Fatalf("limit 1 gave %v", got)
	}
	got = append(got, l.Checkpoints(10)...)
	if len(got) != 1 || got[0].ID != 3 {
		t.Fatalf("the long lease is to be checkpointed, the one that is over not: %v", got)
	}
}

func TestCheckpointAll(t *testing.T) {
	l, clk := fakeLessor()
	l.Promote(nil, 0)
	for id, ttl := range []int64{1: 100, 2: 200, 3: 1, 4: 50} {
		if id > 0 {
			l.Granted(Info{ID: base.LeaseID(id), TTL: ttl})
		}
	}
	clk.Advance(999 * time.Millisecond)
	if got := l.CheckpointAll(); got != nil {
		t.Fatalf("less than a second used: %v", got)
	}
	clk.Advance(9500 * time.Millisecond) // 10.499 s
	l.Checkpointed(4, 40)                // replicated already: 39.501 left
	got := l.CheckpointAll()
	slices.SortFunc(got, func(a, b Info) int { return int(a.ID - b.ID) })
	want := []Info{{ID: 1, TTL: 100, Remaining: 90}, {ID: 2, TTL: 200, Remaining: 190}}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

// TestManyLeasesAgainstModel runs random calls against a map of deadlines.
func TestManyLeasesAgainstModel(t *testing.T) {
	for seed := range uint64(5) {
		l, clk := fakeLessor()
		rng := rand.New(rand.NewPCG(seed, 3))
		l.Promote(nil, 0)
		ends := map[base.LeaseID]time.Time{}
		ttls := map[base.LeaseID]int64{}
		for step := range 3000 {
			id := base.LeaseID(1 + rng.IntN(50))
			_, known := ends[id]
			switch rng.IntN(5) {
			case 0:
				if !known {
					ttls[id] = 1 + rng.Int64N(20)
					ends[id] = clk.Now().Add(seconds(ttls[id]))
					l.Granted(Info{ID: id, TTL: ttls[id]})
				}
			case 1:
				r, err := l.Renew(id)
				switch {
				case !known && !errors.Is(err, errs.ErrLeaseNotFound):
					t.Fatalf("seed %d step %d: renewed an unknown lease: %v", seed, step, err)
				case known && (err != nil || r.Expired != !clk.Now().Before(ends[id])):
					t.Fatalf("seed %d step %d: %+v, %v", seed, step, r, err)
				case known && !r.Expired:
					ends[id] = clk.Now().Add(seconds(ttls[id]))
				}
			case 2:
				l.Revoked(id)
				delete(ends, id)
			case 3:
				clk.Advance(time.Duration(rng.Int64N(int64(3 * time.Second))))
			case 4:
				for _, due := range l.Due(100) {
					if end, ok := ends[due]; !ok || clk.Now().Before(end) {
						t.Fatalf("seed %d step %d: lease %d is due, its end is %v (known %v)", seed, step, due, end, ok)
					}
					l.Revoked(due)
					delete(ends, due)
				}
				for id, end := range ends {
					if !clk.Now().Before(end) {
						t.Fatalf("seed %d step %d: lease %d is over and was not due", seed, step, id)
					}
				}
			}
		}
	}
}

// hundredThousand is a primary lessor with as many leases.
func hundredThousand() (*Lessor, *clock.Fake) {
	l, clk := fakeLessor()
	all := make([]Info, 100_000)
	for i := range all {
		all[i] = Info{ID: base.LeaseID(i + 1), TTL: int64(600 + i%600)}
	}
	l.Promote(all, time.Second)
	return l, clk
}

func BenchmarkRenew100k(b *testing.B) {
	l, clk := hundredThousand()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%1000 == 0 {
			clk.Advance(time.Millisecond)
		}
		if _, err := l.Renew(base.LeaseID(1 + i%100_000)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDue100k is what the leader does twice a second while nothing is due.
func BenchmarkDue100k(b *testing.B) {
	l, _ := hundredThousand()
	b.ReportAllocs()
	for b.Loop() {
		if l.Due(500) != nil || l.Checkpoints(1000) != nil {
			b.Fatal("something is due")
		}
	}
}

// TestRenewDoesNotAllocate: keepalives of 100k leases make no garbage.
func TestRenewDoesNotAllocate(t *testing.T) {
	l, _ := hundredThousand()
	id := base.LeaseID(0)
	if n := testing.AllocsPerRun(1000, func() {
		id++
		if _, err := l.Renew(id); err != nil {
			t.Fatal(err)
		}
		l.Due(500)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
