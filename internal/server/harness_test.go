package server

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"keelson/internal/alarm"
	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/lease"
	"keelson/internal/member"
	"keelson/internal/mvcc"
	"keelson/internal/replica"
	"keelson/internal/revlog"
	"keelson/internal/state"
	"keelson/internal/vfs"
	"keelson/internal/wal"
	"keelson/internal/watch"
	"keelson/internal/wire"
)

// patience bounds the waits that a working server ends at once.
const patience = 20 * time.Second

// quiet are metrics nobody reads.
type quiet struct{}

func (quiet) ProposalPending(int)                 {}
func (quiet) ProposalFailed()                     {}
func (quiet) ReadIndexSlow()                      {}
func (quiet) ReadIndexFailed()                    {}
func (quiet) Request(string, time.Duration, bool) {}
func (quiet) Applied(string, time.Duration, bool) {}
func (quiet) SlowApply()                          {}
func (quiet) RangeServed(time.Duration, bool)     {}
func (quiet) Operation(_, _, _, _ int)            {}
func (quiet) LeaseGranted(int64)                  {}
func (quiet) LeaseRevoked()                       {}
func (quiet) LeaseRenewed()                       {}
func (quiet) LeaseExpired()                       {}
func (quiet) LeaderChanged()                      {}
func (quiet) CompactionDone(int64, time.Duration) {}
func (quiet) CheckpointTaken(time.Duration)       {}
func (quiet) DefragDone(time.Duration)            {}
func (quiet) Alarm(base.MemberID, string, bool)   {}

// nobody is where messages to other members go.
type nobody struct{}

func (nobody) Send([]*raftpb.Message) {}

const ownID = 0x1234

// fixture is a server with real parts on a simulated disk and a clock that
// stands still.
type fixture struct {
	*Server
	t     *testing.T
	clock *clock.Fake
	disk  *vfs.Mem
	rep   *replica.Replica
	stop  func()
}

// newFixture builds a server. Alone it is the only member and becomes leader;
// otherwise it waits for another one that never comes.
func newFixture(t *testing.T, alone bool, adjust func(*Config)) *fixture {
	t.Helper()
	disk, clk := vfs.NewMem(), clock.NewFake(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	for _, d := range []string{"snap", "revlog"} {
		must(t, disk.MkdirAll(d))
	}
	log, err := revlog.Create(revlog.Options{FS: disk, Dir: "revlog", Clock: clk, SegmentBytes: 32 << 10, TailBytes: 4 << 10})
	must(t, err)
	kv, err := mvcc.Open(mvcc.Config{Log: log, Logger: zap.NewNop()}, mvcc.EmptyPosition())
	must(t, err)
	w, err := wal.Create(wal.Options{FS: disk, Dir: "wal", Clock: clk, SegmentBytes: 64 << 10}, []byte("meta"))
	must(t, err)
	m := &state.Machine{KV: kv, Leases: lease.NewStore(2), Members: member.NewStore(1), Alarms: alarm.NewStore()}
	hub := watch.NewHub(watch.Config{
		Source: History{KV: kv}, Clock: clk, Logger: zap.NewNop(), Rand: rand.New(rand.NewPCG(1, 1)),
		MaxFragmentBytes: 1 << 20, ProgressInterval: time.Minute,
	})
	cfg := Config{
		MemberID: ownID, ClusterID: 5, Name: "m", ClientURLs: []string{"http://localhost:2379"},
		Machine: m, Log: log, WAL: w, Hub: hub, FS: disk, SnapDir: "snap", TempDir: "snap",
		Clock: clk, Logger: zap.NewNop(), Metrics: quiet{}, Start: clk.Now(), Version: "3.7.1", StorageVersion: "3.7.0",
		ElectionTimeout: time.Second, QuotaBytes: -1, MaxRequestBytes: 1 << 20, AnswerBytes: 1 << 20,
		SnapshotCount: 1000, SnapshotBytes: 1 << 30, CatchUpEntries: 10, SlowApply: time.Second,
	}
	if adjust != nil {
		adjust(&cfg)
	}
	f := &fixture{Server: New(cfg), t: t, clock: clk, disk: disk}
	peers := []replica.Peer{{ID: ownID, Context: []byte(`{"id":4660,"peerURLs":["http://a"],"name":"m"}`)}}
	if !alone {
		peers = append(peers, replica.Peer{ID: ownID + 1, Context: []byte(`{"id":4661,"peerURLs":["http://b"],"name":"n"}`)})
	}
	f.rep, err = replica.New(replica.Config{
		ID: ownID, Log: w, Machine: f.Server, Transport: nobody{}, Clock: clk, Logger: zap.NewNop(),
		Tick: 100 * time.Millisecond, ElectionTicks: 10, HeartbeatTicks: 1, PreVote: true, Bootstrap: peers,
	})
	must(t, err)
	f.Bind(f.rep)
	hub.Start()
	f.rep.Start()
	f.Server.Start()
	stopped := false
	f.stop = func() {
		if stopped {
			return
		}
		stopped = true
		hub.Close()
		f.Server.Stop()
		kv.Close()
		must(t, log.Close())
		must(t, w.Close())
	}
	t.Cleanup(f.stop)
	if alone {
		await(t, f.Ready(), "the server to be ready")
	}
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// later runs f on a goroutine of its own and returns where its error comes.
func later(f func() error) <-chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

func putRequest(t testing.TB, p *pb.PutRequest) *wire.PutRequest {
	t.Helper()
	b, err := proto.Marshal(p)
	must(t, err)
	var r wire.PutRequest
	must(t, r.UnmarshalWire(b))
	return &r
}

func (f *fixture) put(p *pb.PutRequest) error {
	fr, err := f.Put(f.t.Context(), putRequest(f.t, p))
	if err == nil {
		fr.Free()
	}
	return err
}

// withdrawable is a proposal that raft has, or has not.
func withdrawable(taken bool) *replica.Proposal {
	p := &replica.Proposal{}
	if taken {
		p.Withdraw() // a second one finds it is not waiting any more
	}
	return p
}

// advanceUntil moves the clock in steps until something comes: goroutines that
// have not armed their timers yet get another chance.
func advanceUntil[T any](f *fixture, step time.Duration, c <-chan T, what string) (v T) {
	f.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case v = <-c:
			return v
		case <-limit:
			f.t.Fatalf("waited in vain for %s", what)
		default:
			f.clock.Advance(step)
			runtime.Gosched()
		}
	}
}
