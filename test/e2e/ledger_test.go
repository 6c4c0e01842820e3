package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ledger is what the clients of a crash test know: what they asked for, what
// was acknowledged, and what has been read of the history so far.
type ledger struct {
	mu sync.Mutex

	byValue map[string]*attempt // values are unique
	deletes []*attempt
	leases  map[clientv3.LeaseID]leaseState

	asked, compacted int64 // largest compaction asked for, and acknowledged

	acked, unknown int
	history        map[int64][]event
	last           int64 // newest revision compared
}

// attempt is one change that was asked for.
type attempt struct {
	puts   map[string]string // key to value
	key    string            // of a delete
	prefix bool
	revoke bool // the delete comes with the end of a lease; key hung on it

	outcome outcome
	rev     int64 // of an acknowledged change; 0 for a delete that found nothing
	seenAt  int64 // revision at which it stands in the history
}

type outcome int

const (
	pending outcome = iota
	acknowledged
	unknown // the connection ended before the answer
	never   // unknown, and it did not happen before the next start
)

type leaseState int

const (
	leaseThere leaseState = iota
	leaseGoing
	leaseGone
)

// event is a change as a watcher sees it.
type event struct {
	del             bool
	key, value      string
	create, version int64
	lease           int64
}

func (e event) String() string {
	if e.del {
		return "DELETE " + e.key
	}
	return fmt.Sprintf("PUT %s=%.40q create %d version %d lease %x", e.key, e.value, e.create, e.version, e.lease)
}

func newLedger() *ledger {
	return &ledger{byValue: map[string]*attempt{}, leases: map[clientv3.LeaseID]leaseState{}, history: map[int64][]event{}}
}

// attempt notes a change before it is sent.
func (l *ledger) attempt(op clientv3.Op) *attempt {
	a := &attempt{puts: map[string]string{}}
	switch {
	case op.IsPut():
		a.puts[string(op.KeyBytes())] = string(op.ValueBytes())
	case op.IsTxn():
		_, then, _ := op.Txn()
		for _, o := range then {
			a.puts[string(o.KeyBytes())] = string(o.ValueBytes())
		}
	case op.IsDelete():
		a.key, a.prefix = string(op.KeyBytes()), len(op.RangeBytes()) > 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range a.puts {
		l.byValue[v] = a
	}
	if len(a.puts) == 0 {
		l.deletes = append(l.deletes, a)
	}
	return a
}

// settle notes the answer.
func (l *ledger) settle(a *attempt, rev int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		a.outcome = unknown
		l.unknown++
		return
	}
	a.outcome, a.rev = acknowledged, rev
	l.acked++
}

func (l *ledger) setLease(id clientv3.LeaseID, s leaseState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leases[id] = s
}

func (l *ledger) leaseGranted(id clientv3.LeaseID) { l.setLease(id, leaseThere) }
func (l *ledger) leaseRevoked(id clientv3.LeaseID) { l.setLease(id, leaseGone) }

// leaseRevoking notes a revoke before it is sent.
func (l *ledger) leaseRevoking(id clientv3.LeaseID, key string) *attempt {
	l.setLease(id, leaseGoing)
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &attempt{key: key, revoke: true}
	l.deletes = append(l.deletes, a)
	return a
}

func (l *ledger) compacting(at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = max(l.asked, at)
}

func (l *ledger) compactionDone(at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.compacted = max(l.compacted, at)
}

// note adds events of one watch answer to the history, or compares them with
// what is there.
func (l *ledger) note(events []*clientv3.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(events) > 0 {
		rev, n := events[0].Kv.ModRevision, 1
		for n < len(events) && events[n].Kv.ModRevision == rev {
			n++
		}
		var all []event
		for _, e := range events[:n] {
			all = append(all, newEvent(e))
		}
		if known, ok := l.history[rev]; ok && !slices.Equal(known, all) {
			return fmt.Errorf("revision %d was %v and is now %v", rev, known, all)
		}
		l.history[rev] = all
		events = events[n:]
	}
	return nil
}

func newEvent(e *clientv3.Event) event {
	return event{
		del: e.Type == mvccpb.DELETE, key: string(e.Kv.Key), value: string(e.Kv.Value),
		create: e.Kv.CreateRevision, version: e.Kv.Version, lease: e.Kv.Lease,
	}
}

// follow watches from the first revision not compared yet, and notes what it
// sees: what a watcher was told must not be lost either. It returns when the
// watch is registered; the watch ends with the context.
func (l *ledger) follow(ctx context.Context, t *testing.T, cli *clientv3.Client, wg *sync.WaitGroup) {
	w := cli.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(l.last+1), clientv3.WithCreatedNotify())
	if r := <-w; !r.Created {
		t.Errorf("watch from %d: %v", l.last+1, r.Err())
	}
	wg.Go(func() {
		for r := range w {
			if err := r.Err(); err != nil && ctx.Err() == nil {
				t.Errorf("watch: %v", err)
			}
			if err := l.note(r.Events); err != nil {
				t.Errorf("the history changed: %v", err)
			}
		}
	})
}

// check compares a freshly started member with the ledger. Nobody else uses the
// member meanwhile.
func (l *ledger) check(t *testing.T, m *member, when string) {
	t.Helper()
	ctx := testContext(t)
	cli := m.dial()
	defer cli.Close()
	// The last revision is our own, so that the watch has an end.
	stop := clientv3.OpPut("sentinel", when)
	a := l.attempt(stop)
	r, err := cli.Do(ctx, stop)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	current := r.Put().Header.Revision
	l.settle(a, current, nil)

	from := l.compactRevision(ctx, t, cli, when)
	l.readHistory(ctx, t, cli, from, current, when)
	if t.Failed() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for rev := l.last + 1; rev <= current && !t.Failed(); rev++ {
		if err := l.explain(rev); err != nil {
			t.Errorf("%s: revision %d: %v", when, rev, err)
		}
	}
	l.checkAcknowledged(t, from, when)
	l.checkState(ctx, t, cli, from, current, when)
	l.checkLeases(ctx, t, cli, when)
	l.last = current
}

// compactRevision asks for the first revision a watch can start at.
func (l *ledger) compactRevision(ctx context.Context, t *testing.T, cli *clientv3.Client, when string) int64 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := <-cli.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithCreatedNotify())
	second := first
	if !first.Canceled {
		second = <-cli.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(1))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := second.CompactRevision; c < l.compacted || c > l.asked {
		t.Fatalf("%s: compacted at %d, want between %d (acknowledged) and %d (asked for)", when, c, l.compacted, l.asked)
	}
	return max(1, second.CompactRevision)
}

// readHistory watches everything from the first revision there is to the last:
// every revision once, in order. Below a compaction only what was retained is
// left, which is what the first revision may lack.
func (l *ledger) readHistory(ctx context.Context, t *testing.T, cli *clientv3.Client, from, to int64, when string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := from
	for r := range cli.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if err := r.Err(); err != nil {
			t.Fatalf("%s: watch from %d: %v", when, from, err)
		}
		for _, e := range r.Events {
			switch rev := e.Kv.ModRevision; {
			case rev == next-1 && next > from: // more of the same revision
			case rev == next || next == from && rev == from+1:
				next = rev + 1
			default:
				t.Fatalf("%s: watch from %d: revision %d follows on %d", when, from, rev, next-1)
			}
		}
		if from == r.Events[0].Kv.ModRevision && from > 1 {
			// Part of a compacted revision may be gone: nothing to compare.
			for len(r.Events) > 0 && r.Events[0].Kv.ModRevision == from {
				r.Events = r.Events[1:]
			}
		}
		if err := l.note(r.Events); err != nil {
			t.Fatalf("%s: the history changed: %v", when, err)
		}
		if next > to {
			return
		}
	}
	t.Fatalf("%s: the watch from %d ended at %d: %v", when, from, next, ctx.Err())
}

// explain finds the attempt behind a revision.
func (l *ledger) explain(rev int64) error {
	events := l.history[rev]
	if len(events) == 0 {
		return nil // compacted before anybody read it
	}
	if events[0].del {
		return l.explainDelete(rev, events)
	}
	a := l.byValue[events[0].value]
	if a == nil {
		return fmt.Errorf("nobody wrote %v", events[0])
	}
	got := map[string]string{}
	for _, e := range events {
		got[e.key] = e.value
	}
	if len(got) != len(events) || !maps.Equal(got, a.puts) {
		return fmt.Errorf("events %v are not what was written in one go: %.200q", events, a.puts)
	}
	return a.happened(rev)
}

func (a *attempt) happened(rev int64) error {
	switch {
	case a.seenAt != 0 && a.seenAt != rev:
		return fmt.Errorf("it happened before, at %d", a.seenAt)
	case a.outcome == acknowledged && a.rev != rev:
		return fmt.Errorf("it was acknowledged at %d", a.rev)
	case a.outcome == never:
		return fmt.Errorf("it was lost in a crash and now comes back")
	}
	a.seenAt = rev
	return nil
}

// explainDelete: a delete or the end of a lease that was acknowledged there, or
// one of unknown outcome. A client has at most one of those: it was its last.
func (l *ledger) explainDelete(rev int64, events []event) error {
	var candidate *attempt
	for _, a := range l.deletes {
		covers := !slices.ContainsFunc(events, func(e event) bool {
			return !e.del || e.key != a.key && !(a.prefix && strings.HasPrefix(e.key, a.key))
		})
		switch {
		case a.outcome == acknowledged && a.rev == rev && covers:
			return a.happened(rev)
		case a.outcome == acknowledged && a.rev == rev && !a.revoke:
			return fmt.Errorf("acknowledged as delete of %s, but it is %v", a.key, events)
		case a.outcome == unknown && a.seenAt == 0 && covers:
			candidate = a
		}
	}
	if candidate == nil {
		return fmt.Errorf("nobody deleted %v", events)
	}
	return candidate.happened(rev)
}

// checkAcknowledged: nothing acknowledged is missing. What is older than the
// compaction and was not read before cannot be known.
func (l *ledger) checkAcknowledged(t *testing.T, from int64, when string) {
	look := func(a *attempt, what any) {
		_, read := l.history[a.rev]
		if a.revoke && a.outcome == acknowledged {
			return // its key may have been gone already
		}
		if a.outcome == acknowledged && (read || a.rev > from) && a.seenAt != a.rev {
			t.Errorf("%s: acknowledged at %d, but not in the history: %.200q", when, a.rev, what)
		}
		if a.outcome == unknown && a.seenAt == 0 {
			a.outcome = never
		}
	}
	for _, a := range l.byValue {
		look(a, a.puts)
	}
	for _, a := range l.deletes {
		look(a, "delete "+a.key)
	}
}

// checkState: the history leads from the first state there is to the last one,
// and to one in between.
func (l *ledger) checkState(ctx context.Context, t *testing.T, cli *clientv3.Client, from, to int64, when string) {
	state := stateAt(ctx, t, cli, from)
	for _, at := range []int64{from + (to-from)/2, to} {
		for rev := from + 1; rev <= at; rev++ {
			for _, e := range l.history[rev] {
				if _, there := state[e.key]; e.del && !there {
					t.Errorf("%s: revision %d deletes %s, which was not there", when, rev, e.key)
				}
				if e.del {
					delete(state, e.key)
				} else {
					state[e.key] = e
				}
			}
		}
		from = at
		got := stateAt(ctx, t, cli, at)
		if !maps.Equal(got, state) {
			t.Errorf("%s: the state at revision %d is not what the history leads to:\n%s", when, at, differences(got, state))
		}
	}
}

func stateAt(ctx context.Context, t *testing.T, cli *clientv3.Client, rev int64) map[string]event {
	t.Helper()
	r, err := cli.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(rev))
	if err != nil {
		t.Fatalf("read at revision %d: %v", rev, err)
	}
	state := map[string]event{}
	for _, kv := range r.Kvs {
		state[string(kv.Key)] = event{key: string(kv.Key), value: string(kv.Value), create: kv.CreateRevision, version: kv.Version, lease: kv.Lease}
	}
	return state
}

func differences(got, want map[string]event) string {
	var lines []string
	for k, g := range got {
		if w, ok := want[k]; !ok || g != w {
			lines = append(lines, fmt.Sprintf("%s: got %v, want %v", k, g, w))
		}
	}
	for k, w := range want {
		if _, ok := got[k]; !ok {
			lines = append(lines, fmt.Sprintf("%s: missing, want %v", k, w))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines[:min(len(lines), 10)], "\n")
}

// checkLeases: granted leases are there with their keys, revoked ones are not.
func (l *ledger) checkLeases(ctx context.Context, t *testing.T, cli *clientv3.Client, when string) {
	r, err := cli.Leases(ctx)
	if err != nil {
		t.Fatal(err)
	}
	there := map[clientv3.LeaseID]bool{}
	for _, s := range r.Leases {
		there[s.ID] = true
	}
	for id, s := range l.leases {
		if s == leaseThere && !there[id] || s == leaseGone && there[id] {
			t.Errorf("%s: lease %x: listed: %v, revoked: %v", when, id, there[id], s == leaseGone)
		}
	}
	kvs, err := cli.Get(ctx, "k/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range kvs.Kvs {
		if kv.Lease != 0 && !there[clientv3.LeaseID(kv.Lease)] {
			t.Errorf("%s: key %s outlived its lease %x", when, kv.Key, kv.Lease)
		}
	}
}
