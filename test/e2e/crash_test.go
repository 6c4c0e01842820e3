package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestCrash kills the member at random moments while several clients write,
// compact and use leases. After each restart the whole history is read back and
// compared with what the clients know:
//
//   - an acknowledged change stands at the revision it was acknowledged with
//   - every change in the history was asked for, and none happened twice
//   - revisions follow each other without a gap
//   - what was once read at a revision is read there for ever
//   - the state at the last revision is the one the history leads to
//
// Every third end is a SIGTERM.
func TestCrash(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	rounds := 5
	if s := os.Getenv("KEELSON_CRASH_ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("KEELSON_CRASH_ROUNDS: %v", err)
		}
	}
	m := startMember(t, "--snapshot-count=150", "--snapshot-catchup-entries=50", "--max-wals=1")
	led := newLedger()
	for round := range rounds {
		crashRound(t, m, led, rng, round)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d rounds, %d changes acknowledged, %d of unknown outcome, %d revisions, last compaction at %d",
		rounds, led.acked, led.unknown, len(led.history), led.compacted)
}

// crashRound is one life of the member under load, its end, and the comparison
// after the next start.
func crashRound(t *testing.T, m *member, led *ledger, rng *rand.Rand, round int) {
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	enough := make(chan struct{}) // closed when so many changes were acknowledged
	var left atomic.Int64
	left.Store(30 + rng.Int64N(900))
	acknowledged := func() {
		if left.Add(-1) == 0 {
			close(enough)
		}
	}
	var wg sync.WaitGroup
	watcher := m.dial()
	defer watcher.Close()
	led.follow(ctx, t, watcher, &wg)
	for i := range 5 {
		w := &crashWriter{led: led, cli: m.dial(), rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), acknowledged: acknowledged}
		w.name = fmt.Sprintf("r%d-w%d", round, i)
		wg.Go(func() {
			defer w.cli.Close()
			w.run(ctx)
		})
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Fatalf("round %d: the writers got stuck", round)
	}
	// Not always right behind an acknowledgement.
	<-time.After(time.Duration(rng.IntN(20_000)) * time.Microsecond)
	if round%3 == 2 {
		m.terminate()
	} else {
		m.kill()
	}
	cancel()
	wg.Wait()
	m.start()
	led.check(t, m, fmt.Sprintf("after round %d", round))
}

// crashWriter is one client. Its keys are its own; its values are unique.
type crashWriter struct {
	led          *ledger
	cli          *clientv3.Client
	rng          *rand.Rand
	name         string
	acknowledged func()

	seq    int
	leases []leasedKey
}

type leasedKey struct {
	id  clientv3.LeaseID
	key string
}

// run works until the first error, which is the end of the member.
func (w *crashWriter) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.step(ctx); err != nil {
			return
		}
	}
}

func (w *crashWriter) step(ctx context.Context) error {
	key := fmt.Sprintf("k/%s/%d", strings.SplitAfter(w.name, "-")[1], w.rng.IntN(25))
	switch n := w.rng.IntN(100); {
	case n < 55:
		return w.change(ctx, clientv3.OpPut(key, w.value()))
	case n < 70:
		// Two keys in one revision, or none of them.
		return w.change(ctx, clientv3.OpTxn(nil, []clientv3.Op{
			clientv3.OpPut(key, w.value()), clientv3.OpPut(key+"/twin", w.value()),
		}, nil))
	case n < 82:
		return w.change(ctx, clientv3.OpDelete(key))
	case n < 84:
		return w.change(ctx, clientv3.OpDelete(key, clientv3.WithPrefix()))
	case n < 88:
		return w.grant(ctx, key)
	case n < 91:
		return w.revoke(ctx)
	case n < 94:
		return w.compact(ctx)
	default:
		_, err := w.cli.Get(ctx, "k/", clientv3.WithPrefix())
		return err
	}
}

// value is unique; one in forty is big, so that files roll over.
func (w *crashWriter) value() string {
	w.seq++
	v := fmt.Sprintf("%s-%d", w.name, w.seq)
	if w.rng.IntN(40) == 0 {
		v += "|" + strings.Repeat(v[len(v)-1:], 100_000+w.rng.IntN(900_000))
	}
	return v
}

// change sends puts and deletes that make up at most one revision.
func (w *crashWriter) change(ctx context.Context, op clientv3.Op) error {
	a := w.led.attempt(op)
	r, err := w.cli.Do(ctx, op)
	if err != nil {
		w.led.settle(a, 0, err)
		return err
	}
	rev := int64(0)
	switch {
	case r.Put() != nil:
		rev = r.Put().Header.Revision
	case r.Txn() != nil:
		rev = r.Txn().Header.Revision
	case r.Del() != nil && r.Del().Deleted > 0:
		rev = r.Del().Header.Revision
	}
	w.led.settle(a, rev, nil)
	w.acknowledged()
	return nil
}

// grant makes a lease that will not expire here, and a key that hangs on it.
func (w *crashWriter) grant(ctx context.Context, key string) error {
	r, err := w.cli.Grant(ctx, 100_000)
	if err != nil {
		return err
	}
	w.led.leaseGranted(r.ID)
	key += "/leased"
	w.leases = append(w.leases, leasedKey{r.ID, key})
	return w.change(ctx, clientv3.OpPut(key, w.value(), clientv3.WithLease(r.ID)))
}

func (w *crashWriter) revoke(ctx context.Context) error {
	if len(w.leases) == 0 {
		return nil
	}
	l := w.leases[0]
	w.leases = w.leases[1:]
	a := w.led.leaseRevoking(l.id, l.key)
	r, err := w.cli.Revoke(ctx, l.id)
	if err != nil {
		w.led.settle(a, 0, err)
		return err
	}
	w.led.settle(a, r.Header.Revision, nil)
	w.led.leaseRevoked(l.id)
	return nil
}

// compact forgets everything but some of the newest revisions.
func (w *crashWriter) compact(ctx context.Context) error {
	r, err := w.cli.Get(ctx, "none", clientv3.WithSerializable())
	if err != nil {
		return err
	}
	at := r.Header.Revision - 20 - w.rng.Int64N(300)
	if at < 1 {
		return nil
	}
	w.led.compacting(at)
	if _, err = w.cli.Compact(ctx, at); err != nil && strings.Contains(err.Error(), "has been compacted") {
		return nil // another client was faster
	}
	if err == nil {
		w.led.compactionDone(at)
	}
	return err
}
