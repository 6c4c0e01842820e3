package replica

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
)

// TestAlone: a single voter elects itself without waiting for the clock, and
// what it proposes is applied in order, stored first.
func TestAlone(t *testing.T) {
	n := alone(t)
	for i := range 100 {
		propose(t, n.Replica, fmt.Sprint(i))
	}
	n.machine.untilApplied("99")
	for i, d := range n.machine.data() {
		if d != fmt.Sprint(i) {
			t.Fatalf("applied %q as number %d", d, i)
		}
	}
	n.log.set(func(l *memLog) {
		if len(l.ents) < 102 {
			t.Errorf("%d entries stored", len(l.ents))
		}
	})
	if st := n.State(); !st.IsLeader || st.Leader != 1 || st.Term < 2 {
		t.Fatalf("%+v", st)
	}
}

// TestGroupCommit: what comes while the log is being synced goes into one
// write.
func TestGroupCommit(t *testing.T) {
	n := alone(t)
	propose(t, n.Replica, "warm")
	n.machine.untilApplied("warm")
	stall := make(chan struct{})
	before := 0
	n.log.set(func(l *memLog) { l.stall, before = stall, l.appends })
	for i := range 200 {
		propose(t, n.Replica, fmt.Sprint("p", i))
	}
	n.log.set(func(l *memLog) { l.stall = nil })
	if got := n.machine.data(); len(got) != 1 {
		t.Fatalf("applied before it was stored: %v", got)
	}
	close(stall)
	n.machine.untilApplied("p199")
	n.log.set(func(l *memLog) {
		if n := l.appends - before; n > 20 {
			t.Errorf("%d writes for 200 proposals that waited together", n)
		}
	})
}

func TestStopRefuses(t *testing.T) {
	n := newNode(t, 1, nil, func(c *Config) { c.Bootstrap = []Peer{{ID: 1}, {ID: 2}} }) // never a leader
	n.Start()
	_, held := propose(t, n.Replica, "held")
	n.Stop()
	if err := await(t, held, "the refusal"); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	if err := n.Propose(&Proposal{Data: []byte("late")}); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	if n.Do(func(*raft.RawNode) {}) {
		t.Fatal("accepted a call after Stop")
	}
	if err := n.OnLog(func() error { return nil }); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	n.Stop() // again
}

// TestHeldAndWithdrawn: without a leader proposals wait; one that is withdrawn
// in time never gets into the log, and its bytes count no longer.
func TestHeldAndWithdrawn(t *testing.T) {
	n := newNode(t, 1, nil, func(c *Config) {
		c.Bootstrap, c.MaxPendingBytes = []Peer{{ID: 1}, {ID: 2}}, 100
	})
	n.Start()
	n.settle(t)
	big := strings.Repeat("x", 90)
	p, refused := propose(t, n.Replica, big)
	if err := n.Propose(&Proposal{Data: make([]byte, 20)}); !errors.Is(err, ErrBusy) {
		t.Fatalf("beyond the bound: %v", err)
	}
	if !p.Withdraw() {
		t.Fatal("it could not be withdrawn although nobody leads")
	}
	if p.Withdraw() {
		t.Fatal("withdrawn twice")
	}
	n.settle(t) // a turn of the loop notices
	n.settle(t)
	if err := n.Propose(&Proposal{Data: make([]byte, 20)}); err != nil {
		t.Fatalf("a withdrawn proposal still takes room: %v", err)
	}
	n.Stop()
	select {
	case err := <-refused:
		t.Fatalf("a withdrawn proposal was refused as well: %v", err)
	default:
	}
	n.log.set(func(l *memLog) {
		for _, e := range l.ents {
			if string(e.Data) == big {
				t.Error("it is in the log")
			}
		}
	})
}

// settle returns after a turn of the loop.
func (n *node) settle(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	n.Do(func(*raft.RawNode) { close(done) })
	await(t, done, "a turn of the loop")
}

// TestOneLargeProposal larger than the bound passes when nothing else waits.
func TestOneLargeProposal(t *testing.T) {
	n := newNode(t, 1, nil, func(c *Config) { c.Bootstrap, c.MaxPendingBytes = []Peer{{ID: 1}}, 10 })
	n.Start()
	big := strings.Repeat("x", 100)
	propose(t, n.Replica, big)
	n.machine.untilApplied(big)
}

func TestReadIndex(t *testing.T) {
	n := alone(t)
	propose(t, n.Replica, "a")
	n.machine.untilApplied("a")
	committed := n.Committed()
	n.ReadIndex(77)
	n.machine.until("the read index", func() bool { return n.machine.indexes[77] >= committed })
}

func TestConfChanges(t *testing.T) {
	n := alone(t)
	add := &pb.ConfChange{Type: pb.ConfChangeAddLearnerNode.Enum(), NodeId: proto.Uint64(2), Id: proto.Uint64(5)}
	if err := n.Propose(&Proposal{Conf: add}); err != nil {
		t.Fatal(err)
	}
	n.machine.until("the learner", func() bool { return n.machine.conf != nil && slices.Equal(n.machine.conf.Learners, []uint64{2}) })
	// One that the machine refuses changes nothing in raft, and the next can come.
	n.machine.mu.Lock()
	n.machine.refuse = true
	n.machine.mu.Unlock()
	for id := uint64(3); id < 5; id++ {
		before := n.Applied()
		add := &pb.ConfChange{Type: pb.ConfChangeAddNode.Enum(), NodeId: proto.Uint64(id)}
		if err := n.Propose(&Proposal{Conf: add}); err != nil {
			t.Fatal(err)
		}
		n.machine.until("the refused change", func() bool {
			last := n.machine.applied[len(n.machine.applied)-1]
			return base.Index(last.GetIndex()) > before && last.GetType() == pb.EntryConfChange
		})
		n.settle(t)
		n.settle(t)
	}
	voters := make(chan int, 1)
	n.Do(func(rn *raft.RawNode) { voters <- len(rn.Status().Config.Voters.IDs()) })
	if v := await(t, voters, "the voters"); v != 1 {
		t.Fatalf("%d voters after a refused change", v)
	}
	propose(t, n.Replica, "goes on")
	n.machine.untilApplied("goes on")
}

// TestLogFails: a failed write stops the replica; nothing is applied, sent or
// accepted from then on.
func TestLogFails(t *testing.T) {
	n := alone(t)
	propose(t, n.Replica, "before")
	n.machine.untilApplied("before")
	n.log.set(func(l *memLog) { l.err = errDisk })
	propose(t, n.Replica, "lost")
	n.machine.until("the failure", func() bool { return n.machine.failure != nil })
	if !errors.Is(n.machine.failure, errDisk) {
		t.Fatal(n.machine.failure)
	}
	n.log.set(func(l *memLog) { l.err = nil }) // it must not try again
	n.Stop()
	if err := n.Propose(&Proposal{Data: []byte("late")}); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	if got := n.machine.data(); !slices.Equal(got, []string{"before"}) {
		t.Fatalf("applied %v", got)
	}
	n.log.set(func(l *memLog) {
		if string(l.ents[len(l.ents)-1].Data) == "lost" {
			t.Error("a failed write was repeated")
		}
	})
}

func TestMachineFails(t *testing.T) {
	n := alone(t)
	n.machine.mu.Lock()
	n.machine.err = errDisk
	n.machine.mu.Unlock()
	propose(t, n.Replica, "x")
	n.machine.until("the failure", func() bool { return n.machine.failure != nil })
	n.Stop()
}

// TestOnLog runs on the log goroutine, and its error is its own.
func TestOnLog(t *testing.T) {
	n := alone(t)
	if err := n.OnLog(func() error { return errDisk }); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	propose(t, n.Replica, "goes on")
	n.machine.untilApplied("goes on")
	if err := n.OnLog(func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	n.log.set(func(l *memLog) {
		if l.hard.GetCommit() < uint64(n.Applied()) {
			t.Errorf("the commit index on disk is %d, applied %d", l.hard.GetCommit(), n.Applied())
		}
	})
}

// TestRestart: from stored entries and hard state, in part applied already,
// part in memory and part to be read back.
func TestRestart(t *testing.T) {
	n := alone(t)
	for i := range 300 {
		propose(t, n.Replica, fmt.Sprint("e", i))
	}
	n.machine.untilApplied("e299")
	n.Stop()
	log, last, hard := n.log, base.Index(len(n.log.ents)), n.log.hard
	for _, applied := range []base.Index{1, 100, last} {
		for _, inMemory := range []int{0, 50, int(last)} {
			m := newMachine(t)
			r := &node{id: 1, log: log, machine: m, clock: n.clock}
			r.build(t, nil, func(c *Config) {
				c.HardState, c.ConfState = log.hard, &pb.ConfState{Voters: []uint64{1}}
				if c.HardState.GetCommit() < uint64(applied) {
					c.HardState = proto.Clone(log.hard).(*pb.HardState)
					c.HardState.Commit = proto.Uint64(uint64(applied))
				}
				c.Last, c.Applied = last, applied
				c.Entries = log.ents[len(log.ents)-inMemory:]
				c.CacheBytes = 500
			})
			r.Start()
			propose(t, r.Replica, "after the restart")
			m.untilApplied("after the restart")
			first := m.applied[0].GetIndex()
			if base.Index(first) != applied+1 {
				t.Fatalf("applied %d, %d in memory: began with entry %d", applied, inMemory, first)
			}
			want := int(last - applied)
			if got := len(m.data()) - 1; got > want || applied < 3 && got != 300 {
				t.Fatalf("applied %d: %d entries were applied again, want %d", applied, got, want)
			}
			r.Stop()
			log.ents, log.hard = log.ents[:last], hard // as it was
		}
	}
}

// TestBatchOfTwoLeaders: entries that a new leader replaces while they wait
// for the log are not written with those that replace them.
func TestBatchOfTwoLeaders(t *testing.T) {
	entry := func(index, term uint64) *pb.Entry {
		return &pb.Entry{Index: proto.Uint64(index), Term: proto.Uint64(term)}
	}
	for _, c := range []struct {
		second []*pb.Entry
		want   string
	}{
		{[]*pb.Entry{entry(4, 2)}, "1/1 2/1 3/1 4/2"},
		{[]*pb.Entry{entry(3, 2)}, "1/1 2/1 3/2"},
		{[]*pb.Entry{entry(2, 2), entry(3, 2), entry(4, 2)}, "1/1 2/2 3/2 4/2"},
		{[]*pb.Entry{entry(1, 2)}, "1/2"},
	} {
		log := &memLog{}
		cfg := &Config{Log: log, CacheBytes: 1 << 20}
		w := logWriter{log: log, storage: newStorage(cfg)}
		msgs := []*pb.Message{{Entries: []*pb.Entry{entry(1, 1), entry(2, 1), entry(3, 1)}}, {Entries: c.second}}
		if err := w.store(msgs, false); err != nil {
			t.Fatalf("%s: %v", c.want, err)
		}
		for name, ents := range map[string][]*pb.Entry{"log": log.ents, "cache": w.storage.cached} {
			var got []string
			for _, e := range ents {
				got = append(got, fmt.Sprintf("%d/%d", e.GetIndex(), e.GetTerm()))
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s holds %s, want %s", name, s, c.want)
			}
		}
	}
}

// TestSnapshotMessageRefused: this version cannot install one and says what to do.
func TestSnapshotMessageRefused(t *testing.T) {
	w := logWriter{log: &memLog{}, storage: newStorage(&Config{})}
	err := w.store([]*pb.Message{{Snapshot: &pb.Snapshot{}}}, false)
	if err == nil || !strings.Contains(err.Error(), "add it again") {
		t.Fatal(err)
	}
}

// TestStorage: raft's view of the log agrees with the log wherever the border
// between cache and disk is.
func TestStorage(t *testing.T) {
	log := &memLog{}
	var ents []*pb.Entry
	for i := uint64(1); i <= 100; i++ {
		ents = append(ents, &pb.Entry{Index: proto.Uint64(i), Term: proto.Uint64(1 + i/30), Data: make([]byte, 100)})
	}
	if err := log.Append(nil, ents, true); err != nil {
		t.Fatal(err)
	}
	s := newStorage(&Config{Log: log, CacheBytes: 3000})
	for i := 0; i < 100; i += 10 {
		s.Append(ents[i : i+10])
	}
	if n := len(s.cached); n == 0 || n > 40 || s.bytes > 3000 {
		t.Fatalf("%d entries, %d bytes cached", n, s.bytes)
	}
	for i := uint64(1); i <= 100; i++ {
		if term, err := s.Term(i); err != nil || term != 1+i/30 {
			t.Fatalf("term of %d: %d, %v", i, term, err)
		}
		got, err := s.Entries(i, min(i+20, 101), 1<<20)
		if err != nil || len(got) != int(min(20, 101-i)) || got[0].GetIndex() != i {
			t.Fatalf("entries from %d: %d, %v", i, len(got), err)
		}
		if one, err := s.Entries(i, 101, 0); err != nil || len(one) == 0 || one[0].GetIndex() != i {
			t.Fatalf("at least one from %d: %v", i, err)
		}
	}
	if _, err := s.Term(101); !errors.Is(err, raft.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := s.Entries(50, 102, 1); !errors.Is(err, raft.ErrUnavailable) {
		t.Fatal(err)
	}
	for _, first := range []base.Index{50, 20, 95, 200} { // going back and beyond the end are ignored
		if err := s.Compact(first); err != nil {
			t.Fatal(err)
		}
	}
	if f, _ := s.FirstIndex(); f != 95 {
		t.Fatalf("first %d", f)
	}
	if term, err := s.Term(94); err != nil || term != 1+94/30 {
		t.Fatalf("the entry before the first still has a term: %d, %v", term, err)
	}
	if _, err := s.Term(93); !errors.Is(err, raft.ErrCompacted) {
		t.Fatal(err)
	}
	if _, err := s.Entries(94, 96, 1); !errors.Is(err, raft.ErrCompacted) {
		t.Fatal(err)
	}
}
