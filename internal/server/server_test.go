package server

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"keelson/internal/alarm"
	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/lease"
	"keelson/internal/wire"
)

// TestWaitEnds: how a wait ends says whether the request may have been carried
// out. Raw context errors say that it certainly was not.
func TestWaitEnds(t *testing.T) {
	t.Run("no leader, client gone", func(t *testing.T) {
		f := newFixture(t, false, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := f.Put(ctx, putRequest(t, &pb.PutRequest{Key: []byte("k")}))
		if !errors.Is(err, errs.ErrRawCanceled) {
			t.Fatal(err)
		}
	})
	t.Run("no leader, client's deadline", func(t *testing.T) {
		f := newFixture(t, false, nil)
		ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
		defer cancel()
		_, err := f.Put(ctx, putRequest(t, &pb.PutRequest{Key: []byte("k")}))
		if !errors.Is(err, errs.ErrRawDeadline) {
			t.Fatal(err)
		}
	})
	t.Run("no leader, request timeout", func(t *testing.T) {
		f := newFixture(t, false, nil)
		got := later(func() error { return f.put(&pb.PutRequest{Key: []byte("k")}) })
		if err := advanceUntil(f, time.Second, got, "the timeout"); !errors.Is(err, errs.ErrRawDeadline) {
			t.Fatal(err)
		}
	})
	t.Run("no leader, read", func(t *testing.T) {
		f := newFixture(t, false, nil)
		got := later(func() error { return f.Linearize(context.Background()) })
		if err := advanceUntil(f, time.Second, got, "the timeout"); !errors.Is(err, errs.ErrTimeout) {
			t.Fatal(err)
		}
		if _, err := f.Range(t.Context(), &wire.RangeRequest{Key: []byte("k"), Serializable: true}); err != nil {
			t.Fatalf("a serializable read needs no leader: %v", err)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		f := newFixture(t, false, nil)
		write := later(func() error { return f.put(&pb.PutRequest{Key: []byte("k")}) })
		read := later(func() error { return f.Linearize(context.Background()) })
		renew := later(func() error { _, err := f.LeaseRenew(context.Background(), 1); return err })
		f.stop()
		for _, c := range []<-chan error{write, read, renew} {
			if err := await(t, c, "the end"); !errors.Is(err, errs.ErrStopped) {
				t.Fatal(err)
			}
		}
	})
}

// TestAbandoned is the table of all ends.
func TestAbandoned(t *testing.T) {
	f := newFixture(t, true, nil)
	now := f.clock.Now()
	elected := now.Add(-time.Minute)
	f.leaderSince.Store(&elected)
	for _, c := range []struct {
		name  string
		cause error
		taken bool // handed to raft already
		start time.Time
		want  error
	}{
		{"canceled in time", context.Canceled, false, now, errs.ErrRawCanceled},
		{"canceled too late", context.Canceled, true, now, errs.ErrCanceled},
		{"deadline in time", context.DeadlineExceeded, false, now, errs.ErrRawDeadline},
		{"deadline too late", context.DeadlineExceeded, true, now, errs.ErrTimeout},
		{"a leader took over meanwhile", context.DeadlineExceeded, true, elected.Add(-time.Second), errs.ErrTimeoutDueToLeaderFail},
		{"long before the leader", context.DeadlineExceeded, true, elected.Add(-3 * time.Second), errs.ErrTimeout},
	} {
		p := withdrawable(c.taken)
		w := f.waiters.add(99)
		if err := f.abandoned(w, p, c.cause, c.start); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if f.waiters.has(99) {
			t.Errorf("%s: the waiter stayed behind", c.name)
		}
	}
}

func TestRequestTooLarge(t *testing.T) {
	f := newFixture(t, true, func(c *Config) { c.MaxRequestBytes = 1000 })
	if err := f.put(&pb.PutRequest{Key: []byte("k"), Value: make([]byte, 2000)}); !errors.Is(err, errs.ErrRequestTooLarge) {
		t.Fatal(err)
	}
	must(t, f.put(&pb.PutRequest{Key: []byte("k"), Value: make([]byte, 900)}))
}

func (f *fixture) grant(id base.LeaseID, ttl int64) {
	f.t.Helper()
	_, err := f.LeaseGrant(f.t.Context(), &wire.LeaseGrantRequest{ID: id, TTL: ttl})
	must(f.t, err)
}

// TestLeaseEnds: a lease that is over is revoked with its keys, by the clock,
// not before; a renewal that comes while it is being revoked waits and finds it
// gone.
func TestLeaseEnds(t *testing.T) {
	f := newFixture(t, true, nil)
	f.grant(7, 10)
	must(t, f.put(&pb.PutRequest{Key: []byte("k"), Lease: 7}))
	gone, _ := f.cfg.Machine.Leases.Gone(7)
	f.clock.Advance(9999 * time.Millisecond)
	if ttl, err := f.LeaseRenew(t.Context(), 7); err != nil || ttl != 10 {
		t.Fatalf("%d, %v", ttl, err)
	}
	f.clock.Advance(9999 * time.Millisecond)
	if r, err := f.LeaseTimeToLive(t.Context(), &wire.LeaseTimeToLiveRequest{ID: 7, Keys: true}); err != nil ||
		r.TTL != 0 || r.GrantedTTL != 10 || len(r.Keys) != 1 {
		t.Fatalf("%v, %v", r, err)
	}
	select {
	case <-gone:
		t.Fatal("ended early")
	default:
	}
	f.clock.Advance(time.Second)
	await(t, gone, "the lease to be revoked")
	if _, err := f.LeaseRenew(t.Context(), 7); !errors.Is(err, errs.ErrLeaseNotFound) {
		t.Fatal(err)
	}
	must(t, f.Linearize(t.Context()))
	v := f.kv.View()
	defer v.Release()
	if _, ok := v.Get([]byte("k")); ok {
		t.Fatal("the key outlived its lease")
	}
	if r, err := f.LeaseTimeToLive(t.Context(), &wire.LeaseTimeToLiveRequest{ID: 7}); err != nil || r.TTL != -1 {
		t.Fatalf("%v, %v", r, err)
	}
}

func TestRenewPaths(t *testing.T) {
	f := newFixture(t, true, nil)
	if _, err := f.LeaseRenew(t.Context(), 99); !errors.Is(err, errs.ErrLeaseNotFound) {
		t.Fatal(err)
	}
	// A checkpoint of it is cleared through the log before the answer.
	f.grant(7, 100)
	f.replicateRemaining([]lease.Info{{ID: 7, Remaining: 33}})
	if in, _ := f.cfg.Machine.Leases.Lookup(7); in.Remaining != 33 {
		t.Fatalf("%+v", in)
	}
	if ttl, err := f.LeaseRenew(t.Context(), 7); err != nil || ttl != 100 {
		t.Fatalf("%d, %v", ttl, err)
	}
	if in, _ := f.cfg.Machine.Leases.Lookup(7); in.Remaining != 0 {
		t.Fatalf("the checkpoint stayed: %+v", in)
	}
	// IDs the server chooses are positive and new.
	seen := map[int64]bool{}
	for range 20 {
		r, err := f.LeaseGrant(t.Context(), &wire.LeaseGrantRequest{TTL: 50})
		must(t, err)
		if r.ID <= 0 || seen[r.ID] || r.TTL != 50 {
			t.Fatalf("%v", r)
		}
		seen[r.ID] = true
	}
	all, err := f.LeaseLeases(t.Context())
	must(t, err)
	if len(all.Leases) != 21 || all.Leases[20].ID != 7 {
		t.Fatalf("%v is not ordered by what is left", all.Leases)
	}
}

// TestRenewWithoutPrimary: elected, but the lease clocks do not run: the wait
// ends with the client or the server, it does not spin.
func TestRenewWithoutPrimary(t *testing.T) {
	f := newFixture(t, true, nil)
	f.grant(7, 100)
	f.lessor.Demote()
	ctx, cancel := context.WithCancel(t.Context())
	got := later(func() error { _, err := f.LeaseRenew(ctx, 7); return err })
	cancel()
	if err := await(t, got, "the client's end"); !errors.Is(err, errs.ErrCanceled) {
		t.Fatal(err)
	}
	got = later(func() error { _, err := f.LeaseRenew(context.Background(), 7); return err })
	f.stop()
	if err := await(t, got, "the server's end"); !errors.Is(err, errs.ErrStopped) {
		t.Fatal(err)
	}
}

// TestOrderlyStopSavesLeases: what is left of a lease is replicated by a stop.
func TestOrderlyStopSavesLeases(t *testing.T) {
	f := newFixture(t, true, nil)
	f.grant(7, 100)
	f.clock.Advance(3500 * time.Millisecond)
	f.stop()
	if in, _ := f.cfg.Machine.Leases.Lookup(7); in.Remaining != 97 {
		t.Fatalf("%+v, want 97 s left", in)
	}
}

// TestQuotaAtApply: a request that was let in just before the quota ran out
// takes effect, is answered NOSPACE, and the alarm is raised once.
func TestQuotaAtApply(t *testing.T) {
	f := newFixture(t, true, func(c *Config) { c.QuotaBytes = 20 << 10 })
	raised := make(chan struct{})
	var err error
	for range 100 {
		if err = f.put(&pb.PutRequest{Key: []byte("k"), Value: make([]byte, 1000)}); err != nil {
			break
		}
	}
	if !errors.Is(err, errs.ErrNoSpace) {
		t.Fatal(err)
	}
	go func() { // the alarm comes through the log behind it
		for len(f.Alarms()) == 0 {
			if f.Linearize(context.Background()) != nil {
				return
			}
		}
		close(raised)
	}()
	await(t, raised, "the alarm")
	must(t, f.Linearize(t.Context()))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := f.CheckQuota(t.Context(), 100); !errors.Is(err, errs.ErrNoSpace) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if a := f.Alarms(); len(a) != 1 || a[0] != (alarm.Alarm{Member: ownID, Kind: alarm.NoSpace}) {
		t.Fatalf("%v", a)
	}
	must(t, f.CheckQuota(t.Context(), 0)) // what costs nothing may pass
}

// TestNoLeaderEndsStreams: streams that want a leader end after three election
// timeouts without one, once.
func TestNoLeaderEndsStreams(t *testing.T) {
	f := newFixture(t, false, nil)
	lost := make(chan struct{}, 10)
	f.Register(func() { lost <- struct{}{} })
	f.Register(func() { t.Error("called after it was unregistered") })()
	advanceUntil(f, f.cfg.ElectionTimeout, lost, "the stream to end")
}

// TestLimiter: a background rewrite pauses so that it stays under its pace.
func TestLimiter(t *testing.T) {
	f := newFixture(t, true, nil)
	limit := f.limiter()
	limit(reclaimPauseBytes - 1) // not worth a pause yet
	begun := f.clock.Now()
	done := later(func() error { limit(1 + reclaimBytesPerS - reclaimPauseBytes); return nil })
	must(t, advanceUntil(f, 100*time.Millisecond, done, "the pause to end"))
	if took := f.clock.Now().Sub(begun); took < time.Second {
		t.Fatalf("a second's worth of bytes passed in %v", took)
	}
	pausing := later(func() error { limit(10 * reclaimBytesPerS); return nil })
	f.stop()
	must(t, await(t, pausing, "the pause to end with the server"))
}

// TestCompactPhysical returns when the work is done.
func TestCompactPhysical(t *testing.T) {
	f := newFixture(t, true, nil)
	for range 2000 {
		must(t, f.put(&pb.PutRequest{Key: []byte("k"), Value: []byte("v")}))
	}
	compact := func() error {
		body := []byte{0x08, 0xd0, 0x0f, 0x10, 0x01} // revision 2000, physical
		var r wire.CompactionRequest
		must(t, r.UnmarshalWire(body))
		fr, err := f.Compact(t.Context(), &r)
		if err == nil {
			fr.Free()
		}
		return err
	}
	compacted := later(compact)
	for !f.physical.isShut() { // its clock stands still until it is applied
		runtime.Gosched()
	}
	must(t, advanceUntil(f, 10*time.Microsecond, compacted, "the compaction"))
	if f.kv.FinishedCompaction() != 2000 {
		t.Fatalf("answered with compaction %d finished", f.kv.FinishedCompaction())
	}
	if err := compact(); !errors.Is(err, errs.ErrCompacted) {
		t.Fatal(err)
	}
}

// TestFaults: damage found by a read is DataLoss for the client and
// stops the member; refusals and a full disk do not.
func TestFaults(t *testing.T) {
	var reported []error
	fa := fault{report: func(err error) { reported = append(reported, err) }}
	for _, c := range []struct{ in, want error }{
		{errs.ErrCompacted, errs.ErrCompacted},
		{context.Canceled, errs.ErrRawCanceled},
		{context.DeadlineExceeded, errs.ErrRawDeadline},
	} {
		if got := fa.check(c.in); !errors.Is(got, c.want) {
			t.Errorf("%v became %v", c.in, got)
		}
	}
	if reported != nil {
		t.Fatalf("reported %v", reported)
	}
	var e *errs.Error
	if err := fa.check(errors.New("bad sector")); !errors.As(err, &e) || e.Code != errs.DataLoss || !strings.Contains(e.Text, "bad sector") || len(reported) != 1 {
		t.Fatalf("%v, reported %v", err, reported)
	}
}

// TestStatus and the smaller answers agree with the parts.
func TestStatus(t *testing.T) {
	f := newFixture(t, true, nil)
	must(t, f.put(&pb.PutRequest{Key: []byte("k")}))
	st, err := f.Status(t.Context(), &pb.StatusRequest{})
	must(t, err)
	if st.Header.Revision != 2 || st.Leader != ownID || st.RaftAppliedIndex == 0 || st.RaftIndex < st.RaftAppliedIndex ||
		st.Version != "3.7.1" || len(st.Errors) != 0 || st.DbSize == 0 {
		t.Fatalf("%v", st)
	}
	for _, linearizable := range []bool{true, false} {
		must(t, f.Read(t.Context(), linearizable))
	}
	if !f.HasLeader() || f.IsLearner() {
		t.Fatal("leader unknown, or a learner")
	}
	if _, err := f.MoveLeader(t.Context(), &pb.MoveLeaderRequest{TargetID: 1}); !errors.Is(err, errs.ErrBadLeaderTransferee) {
		t.Fatal(err)
	}
	if _, err := f.Server.Alarm(t.Context(), &pb.AlarmRequest{Action: 9}); !errors.Is(err, errs.ErrUnknownMethod) {
		t.Fatal(err)
	}
	for _, id := range []uint64{1, ownID} {
		_, err := f.MemberRemove(t.Context(), &pb.MemberRemoveRequest{ID: id})
		if want := map[bool]error{true: errs.ErrMemberNotEnoughStarted, false: errs.ErrMemberNotFound}[id == ownID]; !errors.Is(err, want) {
			t.Fatalf("remove %x: %v", id, err)
		}
	}
}
