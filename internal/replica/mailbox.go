package replica

import (
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"

	"go.etcd.io/raft/v3"
)

// mailbox collects everything for the loop between two of its turns. The
// loop swaps it for an empty one, so that a turn is a batch by nature.
type mailbox struct {
	wake chan struct{} // one token: something is inside

	mu           sync.Mutex
	in           mail
	pendingBytes int
	closed       bool
}

// mail is one turn's worth.
type mail struct {
	proposals []*Proposal
	messages  []*pb.Message // from peers
	acks      []*pb.Message // from our own log and apply goroutines
	reads     []uint64
	calls     []func(*raft.RawNode)
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// put runs add under the lock and wakes the loop; false after close.
func (m *mailbox) put(add func(*mail)) bool {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	add(&m.in)
	m.mu.Unlock()
	m.signal()
	return true
}

// putProposal is put for proposals, bounded by limit bytes.
func (m *mailbox) putProposal(p *Proposal, limit int) error {
	m.mu.Lock()
	switch {
	case m.closed:
		m.mu.Unlock()
		return ErrStopped
	case m.pendingBytes > 0 && m.pendingBytes+len(p.Data) > limit:
		m.mu.Unlock()
		return ErrBusy
	}
	m.pendingBytes += len(p.Data)
	m.in.proposals = append(m.in.proposals, p)
	m.mu.Unlock()
	m.signal()
	return nil
}

func (m *mailbox) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// drain returns what is inside and leaves the emptied last (its slices are
// used again).
func (m *mailbox) drain(last mail) mail {
	clear(last.proposals)
	clear(last.messages)
	clear(last.acks)
	clear(last.calls)
	m.mu.Lock()
	out := m.in
	m.in = mail{
		proposals: last.proposals[:0], messages: last.messages[:0],
		acks: last.acks[:0], reads: last.reads[:0], calls: last.calls[:0],
	}
	m.mu.Unlock()
	return out
}

// settled gives the bytes of proposals that left the mailbox for good back.
func (m *mailbox) settled(bytes int) {
	m.mu.Lock()
	m.pendingBytes -= bytes
	m.mu.Unlock()
}

// close refuses everything from now on and returns what was left.
func (m *mailbox) close() mail {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	return m.drain(mail{})
}
