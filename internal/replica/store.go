package replica

import (
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
)

// logLoop writes raft's log. Everything that queued up while the last sync ran
// becomes one write and one sync: that is the group commit.
func (r *Replica) logLoop() {
	w := logWriter{log: r.cfg.Log, storage: r.storage, stored: r.cfg.HardState}
	var msgs []*pb.Message
	for {
		var tasks []func()
		var ok bool
		if msgs, tasks, ok = r.logq.take(msgs, true); !ok {
			return
		}
		if err := w.store(msgs, len(tasks) > 0); err != nil {
			r.fail(err)
			return
		}
		r.acknowledge(msgs)
		for _, task := range tasks {
			task()
		}
	}
}

// OnLog runs f on the log goroutine after everything queued before it, with
// the newest commit index written: nothing else is written meanwhile. It
// returns f's error; an error of f does not stop the replica.
func (r *Replica) OnLog(f func() error) error {
	done := make(chan error, 1)
	if !r.logq.do(func() { done <- f() }) {
		return ErrStopped
	}
	select {
	case err := <-done:
		return err
	case <-r.stop:
		return ErrStopped
	}
}

// logWriter is what the log goroutine owns.
type logWriter struct {
	log     Log
	storage *storage
	stored  *pb.HardState // newest hard state; its commit may not be on disk
	behind  bool          // stored.Commit is not on disk yet
	ents    []*pb.Entry
}

// store makes a batch of MsgStorageAppend durable, then visible to raft. A
// new commit index alone need not be durable, it is found again after a crash:
// it waits for the next write unless flush is set.
func (w *logWriter) store(msgs []*pb.Message, flush bool) error {
	mustSync := false
	w.ents = w.ents[:0]
	for _, m := range msgs {
		if m.GetSnapshot() != nil {
			return errors.New("a leader sent a snapshot: this version cannot install one; " +
				"remove this member, empty its data directory and add it again")
		}
		w.add(m.Entries)
		if m.Term != nil || m.Vote != nil || m.Commit != nil {
			mustSync = mustSync || m.GetTerm() != w.stored.GetTerm() || m.GetVote() != w.stored.GetVote()
			w.stored = &pb.HardState{Term: proto.Uint64(m.GetTerm()), Vote: proto.Uint64(m.GetVote()), Commit: proto.Uint64(m.GetCommit())}
			w.behind = true
		}
	}
	mustSync = mustSync || len(w.ents) > 0
	if !mustSync && !(flush && w.behind) {
		return nil
	}
	var hs *pb.HardState
	if w.behind {
		hs = w.stored
	}
	if err := w.log.Append(hs, w.ents, mustSync); err != nil {
		return fmt.Errorf("write the raft log: %w", err)
	}
	w.behind = false
	w.storage.Append(w.ents)
	clear(w.ents)
	return nil
}

// add adds entries to the batch. A new leader's entries may replace some that
// are still in it: those were never needed on disk.
func (w *logWriter) add(ents []*pb.Entry) {
	if len(ents) > 0 && len(w.ents) > 0 {
		from, at := w.ents[0].GetIndex(), ents[0].GetIndex()
		switch keep := at - from; {
		case at <= from:
			w.ents = w.ents[:0]
		case keep < uint64(len(w.ents)):
			w.ents = w.ents[:keep]
		}
	}
	w.ents = append(w.ents, ents...)
}

// acknowledge returns the responses that waited for the storage work in msgs.
func (r *Replica) acknowledge(msgs []*pb.Message) {
	var own, out []*pb.Message
	for _, m := range msgs {
		for _, resp := range m.Responses {
			if base.MemberID(resp.GetTo()) == r.cfg.ID {
				own = append(own, resp)
			} else {
				out = append(out, resp)
			}
		}
	}
	if len(out) > 0 {
		r.cfg.Transport.Send(out)
	}
	if len(own) > 0 {
		r.mail.put(func(in *mail) { in.acks = append(in.acks, own...) })
	}
}
