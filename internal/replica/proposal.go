package replica

import (
	"sync/atomic"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Proposal is something to be put into the log: the data of a normal entry,
// or a configuration change.
type Proposal struct {
	Data []byte
	Conf *pb.ConfChange
	// Refused is called at most once, on the loop goroutine, when the proposal
	// will certainly not be in the log. It must not block.
	Refused func(error)

	state atomic.Int32
}

const (
	proposalWaiting int32 = iota
	proposalTaken         // handed to raft: its outcome is open
	proposalWithdrawn
)

// Withdraw takes back a proposal that raft was not given yet, for example
// because no leader was known, and reports whether that was in time: then it
// will never be in the log.
func (p *Proposal) Withdraw() bool {
	return p.state.CompareAndSwap(proposalWaiting, proposalWithdrawn)
}

func (p *Proposal) take() bool {
	return p.state.CompareAndSwap(proposalWaiting, proposalTaken)
}

func (p *Proposal) refuse(err error) {
	if p.Refused != nil {
		p.Refused(err)
	}
}
