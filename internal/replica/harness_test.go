package replica

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/wal"
)

// patience bounds the waits that a working replica ends at once.
const patience = 20 * time.Second

var errDisk = errors.New("the disk is broken")

// memLog is a log in memory that can stall and break. It keeps only what was
// appended, as a disk would.
type memLog struct {
	mu      sync.Mutex
	ents    []*pb.Entry // ents[i] has index i+1
	hard    *pb.HardState
	err     error
	appends int
	reads   int
	stall   chan struct{} // when not nil, Append waits until it is closed
}

func (l *memLog) Append(hs *pb.HardState, ents []*pb.Entry, _ bool) error {
	l.mu.Lock()
	stall := l.stall
	l.mu.Unlock()
	if stall != nil {
		<-stall
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.appends++
	if hs != nil {
		l.hard = proto.Clone(hs).(*pb.HardState)
	}
	for _, e := range ents {
		at := int(e.GetIndex()) - 1
		if at > len(l.ents) {
			return fmt.Errorf("entry %d leaves a gap behind %d", e.GetIndex(), len(l.ents))
		}
		l.ents = append(l.ents[:at:at], proto.Clone(e).(*pb.Entry))
	}
	for i, e := range ents { // one batch is one run of indexes, as the real log wants it
		if e.GetIndex() != ents[0].GetIndex()+uint64(i) {
			return wal.ErrOutOfOrder
		}
	}
	return nil
}

func (l *memLog) ReadEntries(lo, hi base.Index, _ uint64) ([]*pb.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if int(hi)-1 > len(l.ents) {
		return nil, wal.ErrUnavailable
	}
	return append([]*pb.Entry(nil), l.ents[lo-1:hi-1]...), nil
}

func (l *memLog) Term(i base.Index) (base.Term, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i == 0 {
		return 0, nil
	}
	if int(i) > len(l.ents) {
		return 0, wal.ErrUnavailable
	}
	return base.Term(l.ents[i-1].GetTerm()), nil
}

func (l *memLog) set(f func(*memLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

// memMachine records what the log makes it do.
type memMachine struct {
	t *testing.T

	mu      sync.Mutex
	changed *sync.Cond
	applied []*pb.Entry
	conf    *pb.ConfState
	indexes map[uint64]base.Index
	states  []State
	failure error
	batches int
	block   chan struct{} // when not nil, Apply waits until it is closed
	refuse  bool          // configuration changes are found invalid
	err     error         // of Apply
}

func newMachine(t *testing.T) *memMachine {
	m := &memMachine{t: t, indexes: map[uint64]base.Index{}}
	m.changed = sync.NewCond(&m.mu)
	return m
}

func (m *memMachine) Apply(ents []*pb.Entry, conf func(*pb.ConfChange) *pb.ConfState) error {
	m.mu.Lock()
	block, refuse, err := m.block, m.refuse, m.err
	m.mu.Unlock()
	if block != nil {
		<-block
	}
	if err != nil {
		return err
	}
	for _, e := range ents {
		var cs *pb.ConfState
		if e.GetType() == pb.EntryConfChange {
			var cc pb.ConfChange
			if err := proto.Unmarshal(e.Data, &cc); err != nil {
				return err
			}
			if refuse {
				cs = conf(nil)
			} else {
				cs = conf(&cc)
			}
		}
		m.mu.Lock()
		if n := len(m.applied); n > 0 && e.GetIndex() != m.applied[n-1].GetIndex()+1 {
			m.t.Errorf("entry %d applied after %d", e.GetIndex(), m.applied[n-1].GetIndex())
		}
		m.applied = append(m.applied, e)
		if cs != nil {
			m.conf = cs
		}
		m.mu.Unlock()
	}
	m.mu.Lock()
	m.batches++
	m.changed.Broadcast()
	m.mu.Unlock()
	return nil
}

func (m *memMachine) Background() (bool, error) { return false, nil }

func (m *memMachine) ReadIndex(id uint64, index base.Index) {
	m.mu.Lock()
	m.indexes[id] = index
	m.changed.Broadcast()
	m.mu.Unlock()
}

func (m *memMachine) StateChanged(st State) {
	m.mu.Lock()
	m.states = append(m.states, st)
	m.changed.Broadcast()
	m.mu.Unlock()
}

func (m *memMachine) Failed(err error) {
	m.mu.Lock()
	if m.failure != nil {
		m.t.Error("Failed is called twice")
	}
	m.failure = err
	m.changed.Broadcast()
	m.mu.Unlock()
}

// data is the payload of the normal entries applied so far.
func (m *memMachine) data() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.applied {
		if e.GetType() == pb.EntryNormal && len(e.Data) > 0 {
			all = append(all, string(e.Data))
		}
	}
	return all
}

// until waits for something to become true of the machine.
func (m *memMachine) until(what string, f func() bool) {
	m.t.Helper()
	late := time.AfterFunc(patience, func() {
		m.mu.Lock()
		m.changed.Broadcast()
		m.mu.Unlock()
	})
	defer late.Stop()
	deadline := time.Now().Add(patience)
	m.mu.Lock()
	defer m.mu.Unlock()
	for !f() {
		if time.Now().After(deadline) {
			m.t.Fatalf("waited in vain for %s", what)
		}
		m.changed.Wait()
	}
}

func (m *memMachine) untilApplied(data string) {
	m.t.Helper()
	m.until(data, func() bool {
		for _, e := range m.applied {
			if string(e.Data) == data {
				return true
			}
		}
		return false
	})
}

// node is one replica and its surroundings.
type node struct {
	*Replica
	id      base.MemberID
	log     *memLog
	machine *memMachine
	clock   *clock.Fake
}

type transport func([]*pb.Message)

func (f transport) Send(ms []*pb.Message) { f(ms) }

func newNode(t *testing.T, id base.MemberID, send func([]*pb.Message), adjust func(*Config)) *node {
	t.Helper()
	n := &node{id: id, log: &memLog{}, machine: newMachine(t), clock: clock.NewFake(time.Unix(0, 0))}
	n.build(t, send, adjust)
	return n
}

func (n *node) build(t *testing.T, send func([]*pb.Message), adjust func(*Config)) {
	t.Helper()
	if send == nil {
		send = func([]*pb.Message) {}
	}
	cfg := Config{
		ID: n.id, Log: n.log, Machine: n.machine, Transport: transport(send), Clock: n.clock, Logger: zap.NewNop(),
		Tick: 100 * time.Millisecond, ElectionTicks: 10, HeartbeatTicks: 1, PreVote: true,
	}
	if adjust != nil {
		adjust(&cfg)
	}
	var err error
	if n.Replica, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
}

// alone starts a replica that is the only voter.
func alone(t *testing.T) *node {
	n := newNode(t, 1, nil, func(c *Config) { c.Bootstrap = []Peer{{ID: 1}} })
	n.Start()
	n.machine.until("leadership", func() bool { return n.State().IsLeader })
	return n
}

// propose queues data and returns where its refusal comes.
func propose(t *testing.T, r *Replica, data string) (*Proposal, chan error) {
	t.Helper()
	refused := make(chan error, 1)
	p := &Proposal{Data: []byte(data), Refused: func(err error) { refused <- err }}
	if err := r.Propose(p); err != nil {
		t.Fatal(err)
	}
	return p, refused
}

func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}
