package server

import (
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/mvcc"
	"keelson/internal/replica"
	"keelson/internal/state"
	"keelson/internal/watch"
	"keelson/internal/wire"
)

// answer is an outcome ready to go once the batch is published.
type answer struct {
	w   *waiter
	out outcome
}

// Apply applies a batch of committed entries. Answers leave only after the new
// view is published, so that who is answered can read what it wrote.
func (s *Server) Apply(ents []*pb.Entry, conf func(*pb.ConfChange) *pb.ConfState) error {
	start := s.cfg.Clock.Now()
	var ops operations
	compacted := int64(mvcc.NeverCompacted)
	for _, e := range ents {
		res, err := s.cfg.Machine.Apply(e, s.waiters.has)
		if err != nil {
			return err
		}
		if res.IsConf {
			cs := conf(res.Conf)
			s.log.Info("applied a configuration change", zap.Uint64s("voters", cs.Voters), zap.Uint64s("learners", cs.Learners))
		}
		s.appliedTerm = base.Term(e.GetTerm())
		s.since.add(e)
		ops.add(&res)
		if res.Compaction.Accepted {
			compacted = res.Compaction.Revision
			s.compacting()
		}
		s.follow(e, &res)
		s.prepare(&res)
	}
	batch := s.kv.Publish()
	index := ents[len(ents)-1].GetIndex()
	s.applied.Store(index)
	s.logBytes.Store(s.cfg.Log.Stats().Bytes)
	if len(batch.Events) > 0 {
		s.cfg.Hub.Publish(watchBatch(batch))
	}
	if compacted != mvcc.NeverCompacted {
		s.cfg.Hub.Compacted(compacted)
	}
	s.reads.appliedTo(base.Index(index))
	for i := range s.answered {
		s.answered[i].w.done <- s.answered[i].out
		s.answered[i] = answer{}
	}
	s.answered = s.answered[:0]
	s.cfg.Metrics.Operation(ops.puts, ops.deletes, ops.txns, ops.ranges)
	s.watchPace(start, len(ents))
	if s.since.due(&s.cfg) {
		s.requestCheckpoint()
	}
	return nil
}

// operations counts what a batch did.
type operations struct{ puts, deletes, txns, ranges int }

func (o *operations) add(r *state.Result) {
	if r.Err != nil {
		return
	}
	switch r.Kind {
	case wire.KindPut:
		o.puts++
	case wire.KindDeleteRange:
		o.deletes++
	case wire.KindTxn:
		o.txns++
	case wire.KindRange:
		o.ranges++
	}
}

// watchPace logs batches that take too long.
func (s *Server) watchPace(start time.Time, entries int) {
	took := s.cfg.Clock.Now().Sub(start)
	s.cfg.Metrics.Applied("batch", took, true)
	if took > s.cfg.SlowApply {
		s.cfg.Metrics.SlowApply()
		s.log.Warn("apply request took too long", zap.Duration("took", took),
			zap.Duration("expected-duration", s.cfg.SlowApply), zap.String("prefix", ""), zap.Int("entries", entries))
	}
}

// follow carries what an entry changed to those who keep time and to the log.
func (s *Server) follow(e *pb.Entry, res *state.Result) {
	switch {
	case res.Granted.ID != 0:
		s.lessor.Granted(res.Granted)
		s.cfg.Metrics.LeaseGranted(res.Granted.TTL)
	case res.Revoked != 0:
		s.lessor.Revoked(res.Revoked)
		s.cfg.Metrics.LeaseRevoked()
	case res.Checkpoints != nil:
		for _, c := range res.Checkpoints {
			s.lessor.Checkpointed(c.ID, c.Remaining)
		}
	case res.Version != "":
		s.log.Info("updated cluster version", zap.String("to", res.Version))
	case e.GetType() == pb.EntryNormal && len(e.Data) == 0:
		s.firstOfTerm(base.Term(e.GetTerm()))
	}
	if res.Kind == wire.KindAlarm && res.Err == nil {
		for _, a := range res.Alarms {
			s.cfg.Metrics.Alarm(a.Member, a.Kind.String(), s.cfg.Machine.Alarms.Active(a.Kind))
		}
	}
}

// firstOfTerm is the empty entry a new leader commits: everything from before
// its term is applied now, so the lease clocks can start.
func (s *Server) firstOfTerm(term base.Term) {
	if st := s.rep.State(); !st.IsLeader || st.Term != term {
		return
	}
	s.lessor.Promote(s.cfg.Machine.Leases.All(), s.cfg.ElectionTimeout)
	if st := s.rep.State(); !st.IsLeader || st.Term != term {
		s.lessor.Demote() // lost in between
	}
}

// prepare encodes the answer to an entry if somebody here waits for it. It must
// happen before Publish: the result's bytes may not outlive that.
func (s *Server) prepare(res *state.Result) {
	if res.ID == 0 {
		return
	}
	w := s.waiters.take(res.ID)
	if w == nil {
		return
	}
	out := outcome{err: res.Err}
	if out.err == nil {
		out.frame = s.encode(res)
		if out.frame == nil {
			kept := *res
			out.res = &kept
		}
	}
	// etcd's behaviour, kept: a request that was let in just before the quota
	// ran out takes effect and is answered NOSPACE all the same.
	if out.err == nil && res.Cost > 0 && s.overQuota(res.Cost) {
		if out.frame != nil {
			out.frame.Free()
		}
		out = outcome{err: errs.ErrNoSpace}
		signal(s.overfull)
	}
	s.answered = append(s.answered, answer{w, out})
}

// encode makes the response of the hot requests; nil for the others.
func (s *Server) encode(res *state.Result) *wire.Frame {
	h := s.header(res.Revision)
	switch res.Kind {
	case wire.KindPut:
		var prev []byte
		if len(res.PrevKVs) > 0 {
			prev = res.PrevKVs[0]
		}
		return wire.NewPutResponse(h, prev)
	case wire.KindDeleteRange:
		return wire.NewDeleteRangeResponse(h, res.Deleted, res.PrevKVs)
	case wire.KindTxn:
		return wire.NewTxnResponse(h, res.Succeeded, res.Responses)
	case wire.KindCompaction:
		return wire.NewCompactionResponse(h)
	}
	return nil
}

// Background does a slice of what has to happen on the apply goroutine between
// batches: tasks such as capturing a checkpoint, and carrying compactions out.
func (s *Server) Background() (more bool, err error) {
	select {
	case task := <-s.tasks:
		task()
		return true, nil
	default:
	}
	if s.compactFrom.IsZero() || s.cfg.Clock.Now().Before(s.nextSlice) {
		return false, nil
	}
	more, err = s.kv.CompactStep(compactSlice)
	s.nextSlice = s.cfg.Clock.Now().Add(compactPause)
	if err != nil || more {
		return false, err
	}
	took := s.cfg.Clock.Now().Sub(s.compactFrom)
	s.compactFrom = time.Time{}
	s.cfg.Metrics.CompactionDone(0, took)
	s.log.Info("finished scheduled compaction", zap.Int64("compact-revision", s.kv.CompactRevision()), zap.Duration("took", took))
	s.physical.open()
	s.requestReclaim()
	return false, nil
}

// A compaction is carried out in slices of some 0.3 ms, a pause after each: a
// write rarely meets one, and never waits long for it.
const (
	compactSlice = 100 // records
	compactPause = time.Millisecond
)

// compacting notes that there is physical work, on the apply goroutine.
func (s *Server) compacting() {
	if s.compactFrom.IsZero() {
		s.compactFrom = s.cfg.Clock.Now()
	}
	s.physical.shut()
	signal(s.compactions)
}

// compactLoop is the compactor goroutine: while a compaction is under way it
// makes the apply goroutine do a slice after each pause.
func (s *Server) compactLoop() {
	for {
		select {
		case <-s.compactions:
		case <-s.stopped:
			return
		}
		t := s.cfg.Clock.NewTicker(compactPause)
		for s.physical.isShut() {
			s.rep.Nudge()
			select {
			case <-t.C():
			case <-s.stopped:
				t.Stop()
				return
			}
		}
		t.Stop()
	}
}

// ReadIndex is the replica's answer to a read-index question.
func (s *Server) ReadIndex(id uint64, index base.Index) { s.reads.answer(id, index) }

// StateChanged follows elections.
func (s *Server) StateChanged(st replica.State) {
	was := s.leaderSince.Load()
	switch {
	case st.IsLeader && was == nil:
		now := s.cfg.Clock.Now()
		s.leaderSince.Store(&now)
	case !st.IsLeader && was != nil:
		s.leaderSince.Store(nil)
		s.lessor.Demote()
	}
	if st.Leader != 0 && s.lead.led(st.Leader) {
		s.cfg.Metrics.LeaderChanged()
		s.reads.fail(errs.ErrLeaderChanged)
	}
	s.lead.notify()
}

// led records a leader and reports whether it took over from another one.
func (l *leadership) led(by base.MemberID) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed = l.last != 0 && l.last != by
	l.last = by
	return changed
}

// watchBatch hands the key space's events to the hub, which declares its own
// type of the same shape.
func watchBatch(b mvcc.Batch) watch.Batch {
	out := watch.Batch{Revision: b.Revision, Events: make([]watch.Event, len(b.Events))}
	for i, e := range b.Events {
		out.Events[i] = watch.Event(e)
	}
	return out
}

// History lets the watch hub read the past.
type History struct{ KV *mvcc.Store }

// Acquire returns the published view.
func (h History) Acquire() watch.SourceView { return historyView{h.KV.View()} }

type historyView struct{ *mvcc.View }

func (v historyView) Scan(from, to int64, yield func(watch.Event) bool) error {
	return v.View.Scan(from, to, func(e mvcc.Event) bool { return yield(watch.Event(e)) })
}
