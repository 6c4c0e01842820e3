package app

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"keelson/internal/config"
	"keelson/internal/errs"
	"keelson/internal/vfs"
)

// found is a disk as a power cut at some moment would leave it, and what a
// client knew then.
type found struct {
	disk   *vfs.Mem
	step   int    // of the disk
	call   string // the call that was cut off
	acked  int    // requests answered before
	issued int    // requests sent before, at most one more
}

// cutter takes a copy of the disk before every stride-th step.
type cutter struct {
	disk          *vfs.Mem
	stride        int
	seed          uint64
	acked, issued atomic.Int64

	mu    sync.Mutex
	found []found
}

func (c *cutter) cut(n int, op vfs.Op, name string) {
	if n%c.stride != 0 {
		return
	}
	mode := [...]vfs.CrashMode{vfs.CrashLose, vfs.CrashRandom, vfs.CrashKeep, vfs.CrashRandom}[n/c.stride%4]
	// What is answered now is on the copy; what is sent later is not.
	f := found{step: n, call: fmt.Sprintf("%v %s, %v", op, name, mode), acked: int(c.acked.Load())}
	f.disk = c.disk.CrashClone(mode, c.seed*1_000_003+uint64(n))
	f.issued = int(c.issued.Load())
	c.mu.Lock()
	c.found = append(c.found, f)
	c.mu.Unlock()
}

// TestPowerCuts runs random requests, keeps copies of the disk as a power cut
// before each n-th of its steps would leave it, and starts a member on each:
// every request that was answered is there, none that was not sent, nothing
// else, down to the hash of the history.
func TestPowerCuts(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			cutPower(t, seed)
		})
	}
}

func cutPower(t *testing.T, seed uint64) {
	ref := newReference(t)
	disk := vfs.NewMem()
	c := &cutter{disk: disk, stride: 5 + int(seed), seed: seed}
	disk.OnOp(c.cut)
	states := []string{everything(t, ref.machine)} // after each request
	p := play{rand.New(rand.NewPCG(seed, 17)), ref.machine.KV.Revision}

	for life := range 3 {
		m := startSized(t, disk, smallSizes, nil)
		for i := range 150 {
			q := p.next()
			want := ref.apply(q)
			states = append(states, everything(t, ref.machine))
			c.issued.Add(1)
			_, err := q.send(t.Context(), t, m)
			c.acked.Add(1)
			if !errors.Is(err, want) {
				t.Fatalf("seed %d life %d request %d, %v: answered %v, want %v", seed, life, i, q, err, want)
			}
			if i%90 == 89 {
				_, err := m.Server.Defragment(t.Context(), &pb.DefragmentRequest{})
				must(t, err)
			}
		}
		if got := everything(t, m.Server.Machine()); got != states[len(states)-1] {
			t.Fatalf("seed %d: the state of the running member is wrong:\n%s", seed, diff(got, states[len(states)-1]))
		}
		if life == 0 {
			stopMember(t, m)
			continue
		}
		// The next life begins after a power cut, so that cuts happen while a
		// member recovers from one.
		disk.OnOp(nil)
		disk = disk.Crash(vfs.CrashRandom, seed)
		_ = m.Stop() // it has lost its disk
		c.disk = disk
		disk.OnOp(c.cut)
	}
	for _, f := range c.found {
		checkFound(t, seed, f, states)
	}
	t.Logf("seed %d: %d requests, %d power cuts", seed, len(states)-1, len(c.found))
}

// checkFound starts a member on a disk found after a power cut.
func checkFound(t *testing.T, seed uint64, f found, states []string) {
	t.Helper()
	at := fmt.Sprintf("seed %d, power cut at step %d (%s) after %d answers of %d requests", seed, f.step, f.call, f.acked, f.issued)
	m, err := openMember(f.disk, smallSizes, nil)
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	if err := awaitReady(m); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	got := everything(t, m.Server.Machine())
	ok := false
	for k := f.acked; k <= f.issued; k++ {
		ok = ok || got == states[k]
	}
	if !ok {
		t.Fatalf("%s: the state is of no moment between:\n%s", at, diff(got, states[f.acked]))
	}
	// It goes on, and a second start finds the same.
	if m.Server.CheckQuota(t.Context(), 1) == nil && len(m.Server.Alarms()) == 0 {
		put(t, m, "after the cut", "x")
	}
	got = everything(t, m.Server.Machine())
	if err := m.Stop(); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	if f.step%5 != 0 {
		return
	}
	m, err = openMember(f.disk, smallSizes, nil)
	if err != nil {
		t.Fatalf("%s, second start: %v", at, err)
	}
	if err := awaitReady(m); err != nil {
		t.Fatalf("%s, second start: %v", at, err)
	}
	if again := everything(t, m.Server.Machine()); again != got {
		t.Fatalf("%s, second start:\n%s", at, diff(again, got))
	}
	stopMember(t, m)
}

// diff shows the lines in which two texts differ.
func diff(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	inG, inW := map[string]bool{}, map[string]bool{}
	for _, l := range g {
		inG[l] = true
	}
	for _, l := range w {
		inW[l] = true
	}
	var b strings.Builder
	for _, l := range g {
		if !inW[l] {
			fmt.Fprintln(&b, "+", l)
		}
	}
	for _, l := range w {
		if !inG[l] {
			fmt.Fprintln(&b, "-", l)
		}
	}
	return b.String()
}

// TestPowerCutsWhileFounding cuts the power at every single step of a member's
// first start: the next start founds it or goes on, and it is the same member.
func TestPowerCutsWhileFounding(t *testing.T) {
	disk := vfs.NewMem()
	c := &cutter{disk: disk, stride: 1, seed: 5}
	disk.OnOp(c.cut)
	m := startSized(t, disk, smallSizes, nil)
	id := m.ID()
	disk.OnOp(nil)
	stopMember(t, m)
	for _, f := range c.found {
		m, err := openMember(f.disk, smallSizes, nil)
		if err != nil {
			t.Fatalf("power cut at step %d (%s): %v", f.step, f.call, err)
		}
		if err := awaitReady(m); err != nil {
			t.Fatalf("power cut at step %d (%s): %v", f.step, f.call, err)
		}
		if m.ID() != id {
			t.Fatalf("power cut at step %d: another member, %s", f.step, m.ID())
		}
		if rev := put(t, m, "k", "v"); rev != 2 {
			t.Fatalf("power cut at step %d: first revision %d", f.step, rev)
		}
		stopMember(t, m)
	}
	t.Logf("%d power cuts", len(c.found))
}

// TestManyWritersPowerCut: many clients write at once, so that entries share a
// sync; whatever was answered survives.
func TestManyWritersPowerCut(t *testing.T) {
	disk := vfs.NewMem()
	m := startSized(t, disk, smallSizes, func(c *config.Config) { c.Raft.SnapshotCount = 40 })
	const writers, writes = 8, 40
	type ack struct {
		key string
		rev int64
	}
	var mu sync.Mutex
	var acks []ack
	type moment struct {
		disk *vfs.Mem
		acks []ack
	}
	var moments []moment
	disk.OnOp(func(n int, _ vfs.Op, _ string) {
		if n%29 == 0 {
			mu.Lock()
			known := acks[:len(acks):len(acks)]
			mu.Unlock()
			clone := disk.CrashClone(vfs.CrashRandom, uint64(n))
			mu.Lock()
			moments = append(moments, moment{clone, known})
			mu.Unlock()
		}
	})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range writes {
				key := fmt.Sprintf("w%d-%d", w, i)
				rev := put(t, m, key, strings.Repeat("v", 100))
				mu.Lock()
				acks = append(acks, ack{key, rev})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	disk.OnOp(nil)
	stopMember(t, m)
	for i, mo := range moments {
		m := startSized(t, mo.disk, smallSizes, nil)
		for _, a := range mo.acks {
			if res := get(t, m, a.key); len(res.Kvs) != 1 || res.Kvs[0].ModRevision != a.rev {
				t.Fatalf("power cut %d: %s was answered at revision %d, now %v", i, a.key, a.rev, res)
			}
		}
		stopMember(t, m)
	}
	t.Logf("%d power cuts", len(moments))
}

// TestRefusedIsKnown: the errors compared above are the real ones.
func TestRefusedIsKnown(t *testing.T) {
	ref := newReference(t)
	err := ref.apply(request{8, &pb.LeaseGrantRequest{ID: 1, TTL: 10}})
	must(t, err)
	if err := ref.apply(request{8, &pb.LeaseGrantRequest{ID: 1, TTL: 10}}); !errors.Is(err, errs.ErrLeaseExist) {
		t.Fatal(err)
	}
}

// TestFoundingWithAnotherConfiguration: a founding that was cut off is not
// finished by a configuration that would make another member.
func TestFoundingWithAnotherConfiguration(t *testing.T) {
	disk := vfs.NewMem()
	c := &cutter{disk: disk, stride: 1}
	disk.OnOp(c.cut)
	stopMember(t, startSized(t, disk, smallSizes, nil))
	for _, f := range c.found {
		infos, err := f.disk.List(dataDir + "/member/wal")
		if err != nil || len(infos) == 0 {
			continue // nothing there yet: any configuration may found
		}
		_, err = openMember(f.disk, smallSizes, func(c *config.Config) { c.Cluster.Token = "another" })
		if err == nil || !strings.Contains(err.Error(), "belongs to member") {
			t.Fatalf("power cut at step %d (%s): %v", f.step, f.call, err)
		}
		return
	}
	t.Fatal("no moment with an empty raft log")
}
