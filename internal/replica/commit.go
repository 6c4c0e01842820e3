package replica

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// applyLoop gives committed entries to the machine, as large a batch as has
// become ready. Between batches and when idle the machine does its background
// work, a slice at a time.
func (r *Replica) applyLoop() {
	var msgs []*pb.Message
	var ents []*pb.Entry
	more := true
	for {
		var ok bool
		if msgs, _, ok = r.applyq.take(msgs, !more); !ok {
			return
		}
		ents = ents[:0]
		for _, m := range msgs {
			ents = append(ents, m.Entries...)
		}
		if len(ents) > 0 {
			if err := r.cfg.Machine.Apply(ents, r.applyConfChange); err != nil {
				r.fail(err)
				return
			}
			r.applied.Store(ents[len(ents)-1].GetIndex())
			r.acknowledge(msgs)
			clear(ents)
		}
		var err error
		if more, err = r.cfg.Machine.Background(); err != nil {
			r.fail(err)
			return
		}
	}
}

// applyConfChange has the loop change raft's configuration and waits for it:
// raft must know before the next entries are acknowledged. nil stands for a
// change that was refused; raft must see it as one that changes nothing.
func (r *Replica) applyConfChange(cc *pb.ConfChange) *pb.ConfState {
	if cc == nil {
		cc = &pb.ConfChange{NodeId: proto.Uint64(raft.None)}
	}
	done := make(chan *pb.ConfState, 1)
	if !r.Do(func(rn *raft.RawNode) { done <- rn.ApplyConfChange(cc) }) {
		return &pb.ConfState{}
	}
	select {
	case cs := <-done:
		return cs
	case <-r.stop:
		return &pb.ConfState{}
	}
}
