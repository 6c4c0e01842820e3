package replica

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
)

// loop is the only goroutine that touches raft: one turn takes everything
// that waits, steps raft once per kind, and hands on what raft obliges us to.
func (r *Replica) loop() {
	defer r.refuseAll()
	ticker := r.cfg.Clock.NewTicker(r.cfg.Tick)
	defer ticker.Stop()
	r.campaignIfAlone()
	r.handOn()
	var in mail
	for {
		select {
		case <-r.stop:
			return
		case <-ticker.C():
			r.rn.Tick()
			if r.state.Leader == 0 {
				r.campaignIfAlone()
			}
		case <-r.mail.wake:
		}
		in = r.mail.drain(in)
		for _, call := range in.calls {
			call(r.rn)
		}
		r.step(in.acks)
		if r.state.Leader == 0 && len(in.acks) > 0 {
			r.campaignIfAlone()
		}
		r.step(in.messages)
		r.handOn() // a leader known now is one proposals can go to
		r.propose(in.proposals)
		r.readIndex(in.reads)
		r.handOn()
	}
}

// campaignIfAlone starts an election at once when this member is the only
// voter: there is nobody to wait for. Raft refuses while configuration changes
// wait to be applied, so it is tried again when entries were.
func (r *Replica) campaignIfAlone() {
	st := r.rn.Status()
	voters := st.Config.Voters.IDs()
	_, own := voters[uint64(r.cfg.ID)]
	if !own || len(voters) != 1 || st.RaftState != raft.StateFollower || st.Applied < st.HardState.GetCommit() {
		return
	}
	if err := r.rn.Campaign(); err != nil {
		r.log.Warn("failed to campaign", zap.Error(err))
	}
}

// step gives messages to raft: acknowledgements of our own storage, or what
// peers sent.
func (r *Replica) step(msgs []*pb.Message) {
	for _, m := range msgs {
		if err := r.rn.Step(m); err != nil {
			r.log.Debug("raft ignored a message", zap.Stringer("type", m.GetType()), zap.Error(err))
		}
	}
}

// propose puts waiting proposals into the log, as few raft steps as possible.
// Without a leader they are held until there is one or they are withdrawn.
func (r *Replica) propose(fresh []*Proposal) {
	if len(r.held) > 0 {
		fresh = append(r.held, fresh...)
		r.held = nil
	}
	if len(fresh) == 0 {
		return
	}
	if r.state.Leader == 0 {
		r.hold(fresh)
		return
	}
	var taken []*Proposal
	var ents []*pb.Entry
	var bytes, settled int
	flush := func() {
		if len(ents) == 0 {
			return
		}
		err := r.rn.Step(&pb.Message{Type: pb.MsgProp.Enum(), From: proto.Uint64(uint64(r.cfg.ID)), Entries: ents})
		if err != nil {
			for _, p := range taken {
				p.refuse(ErrDropped)
			}
		}
		taken, ents, bytes = taken[:0], nil, 0
	}
	for _, p := range fresh {
		settled += len(p.Data)
		if !p.take() {
			continue
		}
		e := &pb.Entry{Data: p.Data}
		if p.Conf != nil {
			data, err := proto.Marshal(p.Conf)
			if err != nil {
				p.refuse(err)
				continue
			}
			e.Type, e.Data = pb.EntryConfChange.Enum(), data
		}
		taken, ents, bytes = append(taken, p), append(ents, e), bytes+len(e.Data)
		if bytes >= maxMessageBytes {
			flush()
		}
	}
	flush()
	r.mail.settled(settled)
}

// hold keeps proposals for later and forgets withdrawn ones.
func (r *Replica) hold(ps []*Proposal) {
	settled := 0
	for _, p := range ps {
		if p.state.Load() == proposalWithdrawn {
			settled += len(p.Data)
			continue
		}
		r.held = append(r.held, p)
	}
	r.mail.settled(settled)
}

// readIndex asks raft for read indexes. Without a leader raft would drop the
// request in silence, which is what its caller expects and retries.
func (r *Replica) readIndex(ids []uint64) {
	for _, id := range ids {
		r.rn.ReadIndex(encodeReadID(id))
	}
}

// handOn passes raft's obligations to whoever carries them out.
func (r *Replica) handOn() {
	for r.rn.HasReady() {
		rd := r.rn.Ready()
		if rd.SoftState != nil || rd.HardState != nil {
			r.noteState(&rd)
		}
		for _, rs := range rd.ReadStates {
			if id, ok := decodeReadID(rs.RequestCtx); ok {
				r.cfg.Machine.ReadIndex(id, base.Index(rs.Index))
			}
		}
		var out []*pb.Message
		for _, m := range rd.Messages {
			switch m.GetTo() {
			case raft.LocalAppendThread:
				r.logq.put(m)
			case raft.LocalApplyThread:
				r.applyq.put(m)
			default:
				out = append(out, m)
			}
		}
		if len(out) > 0 {
			r.cfg.Transport.Send(out)
		}
	}
}

// noteState publishes term, leader and commit index.
func (r *Replica) noteState(rd *raft.Ready) {
	now := r.state
	if rd.SoftState != nil {
		now.Leader = base.MemberID(rd.SoftState.Lead)
		now.IsLeader = rd.SoftState.RaftState == raft.StateLeader
	}
	if rd.HardState != nil {
		now.Term = base.Term(rd.HardState.GetTerm())
		r.commit.Store(rd.HardState.GetCommit())
	}
	if now == r.state {
		return
	}
	r.state = now
	r.term.Store(uint64(now.Term))
	r.leader.Store(uint64(now.Leader))
	r.isLeader.Store(now.IsLeader)
	r.cfg.Machine.StateChanged(now)
}

// refuseAll tells every proposal that still waits that it is not in the log.
func (r *Replica) refuseAll() {
	in := r.mail.close()
	for _, p := range append(r.held, in.proposals...) {
		if p.take() {
			p.refuse(ErrStopped)
		}
	}
	r.held = nil
}
