package server

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/replica"
	"keelson/internal/state"
	"keelson/internal/wire"
)

// Put stores a pair.
func (s *Server) Put(ctx context.Context, r *wire.PutRequest) (*wire.Frame, error) {
	return s.write(ctx, wire.KindPut, r.Raw)
}

// DeleteRange deletes a range.
func (s *Server) DeleteRange(ctx context.Context, r *wire.DeleteRangeRequest) (*wire.Frame, error) {
	return s.write(ctx, wire.KindDeleteRange, r.Raw)
}

// Txn runs a transaction: through the log when it may write, else on a view.
func (s *Server) Txn(ctx context.Context, r *wire.TxnRequest) (*wire.Frame, error) {
	if state.IsReadOnly(r) {
		return s.readTxn(ctx, r)
	}
	return s.write(ctx, wire.KindTxn, r.Raw)
}

// Compact discards history below a revision. With Physical it returns when this
// member has carried it out, however long that takes.
func (s *Server) Compact(ctx context.Context, r *wire.CompactionRequest) (*wire.Frame, error) {
	f, err := s.write(ctx, wire.KindCompaction, r.Raw)
	if r.Physical && (err == nil || errors.Is(err, errs.ErrCompacted)) {
		if werr := s.physical.wait(ctx, s.stopped); werr != nil {
			if f != nil {
				f.Free()
			}
			return nil, werr
		}
	}
	return f, err
}

// write proposes a request whose answer is an encoded frame.
func (s *Server) write(ctx context.Context, kind wire.Kind, body []byte) (*wire.Frame, error) {
	out, err := s.propose(ctx, kind, body)
	return out.frame, err
}

// propose puts a request into the log and waits for what comes of it. body is
// the request as the client sent it; it is copied once, into the entry.
func (s *Server) propose(ctx context.Context, kind wire.Kind, body []byte) (outcome, error) {
	start := s.cfg.Clock.Now()
	out, err := s.tryPropose(ctx, kind, body, start)
	s.cfg.Metrics.Request(kindName(kind), s.cfg.Clock.Now().Sub(start), err == nil)
	return out, err
}

func (s *Server) tryPropose(ctx context.Context, kind wire.Kind, body []byte, start time.Time) (outcome, error) {
	if err := s.admit(); err != nil {
		return outcome{}, err
	}
	h := wire.RequestHeader{ID: s.ids.next()}
	size := wire.SizeRaftRequest(h, kind, len(body))
	if size > s.cfg.MaxRequestBytes {
		return outcome{}, errs.ErrRequestTooLarge
	}
	p := &replica.Proposal{Data: wire.AppendRaftRequest(make([]byte, 0, size), h, kind, body)}
	return s.await(ctx, h.ID, p, start)
}

// admit refuses requests while the machine lags behind the log.
func (s *Server) admit() error {
	if committed, applied := s.rep.Committed(), s.Applied(); committed > applied+maxApplyLag {
		return errs.ErrRequestTooManyRequests
	}
	return nil
}

// await hands a proposal to the replica and waits for its outcome, at most the
// request timeout.
func (s *Server) await(ctx context.Context, id uint64, p *replica.Proposal, start time.Time) (outcome, error) {
	w := s.waiters.add(id)
	p.Refused = func(err error) { s.refused(id, err) }
	s.cfg.Metrics.ProposalPending(1)
	defer s.cfg.Metrics.ProposalPending(-1)
	if err := s.rep.Propose(p); err != nil {
		s.waiters.giveUp(w)
		return outcome{}, proposalError(err)
	}
	timeout := s.timers.get(s.cfg.requestTimeout())
	defer s.timers.put(timeout)
	select {
	case out := <-w.done:
		s.waiters.answered(w)
		return out, out.err
	case <-ctx.Done():
		return outcome{}, s.abandoned(w, p, ctx.Err(), start)
	case <-timeout.C():
		return outcome{}, s.abandoned(w, p, context.DeadlineExceeded, start)
	case <-s.stopped:
		s.waiters.giveUp(w)
		return outcome{}, errs.ErrStopped
	}
}

// abandoned gives up waiting. Raw context errors say that the request was
// certainly not carried out; all others leave that open.
func (s *Server) abandoned(w *waiter, p *replica.Proposal, cause error, start time.Time) error {
	s.waiters.giveUp(w)
	s.cfg.Metrics.ProposalFailed()
	unproposed := p.Withdraw()
	switch {
	case errors.Is(cause, context.Canceled) && unproposed:
		return errs.ErrRawCanceled
	case errors.Is(cause, context.Canceled):
		return errs.ErrCanceled
	case unproposed:
		return errs.ErrRawDeadline
	}
	return s.timeoutError(start)
}

// timeoutError says why a wait may have taken too long: a new leader that
// took over around its start may have lost the proposal.
func (s *Server) timeoutError(start time.Time) error {
	if since := s.leaderSince.Load(); since != nil {
		if start.After(since.Add(-2*s.cfg.ElectionTimeout)) && start.Before(*since) {
			return errs.ErrTimeoutDueToLeaderFail
		}
	}
	return errs.ErrTimeout
}

// refused answers a proposal that will not be in the log.
func (s *Server) refused(id uint64, err error) {
	if w := s.waiters.take(id); w != nil {
		s.cfg.Metrics.ProposalFailed()
		w.done <- outcome{err: proposalError(err)}
	}
}

func proposalError(err error) error {
	switch {
	case errors.Is(err, replica.ErrBusy):
		return errs.ErrRequestTooManyRequests
	case errors.Is(err, replica.ErrDropped):
		return errs.ErrProposalDropped
	case errors.Is(err, replica.ErrStopped):
		return errs.ErrStopped
	}
	return err
}

// proposeMessage proposes a request that exists as a message, not as received
// bytes.
func (s *Server) proposeMessage(ctx context.Context, kind wire.Kind, m proto.Message) (*state.Result, error) {
	body, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	out, err := s.propose(ctx, kind, body)
	return out.res, err
}

// header is the header of an answer at a revision.
func (s *Server) header(revision int64) wire.ResponseHeader {
	return wire.ResponseHeader{
		ClusterID: uint64(s.cfg.ClusterID), MemberID: uint64(s.cfg.MemberID),
		Revision: revision, RaftTerm: uint64(s.rep.State().Term),
	}
}

func (s *Server) pbHeader(revision int64) *pb.ResponseHeader {
	h := s.header(revision)
	return &pb.ResponseHeader{ClusterId: h.ClusterID, MemberId: h.MemberID, Revision: h.Revision, RaftTerm: h.RaftTerm}
}

// Applied is the last applied and published index.
func (s *Server) Applied() base.Index { return base.Index(s.applied.Load()) }

// kindName is the label of a request in metrics.
func kindName(k wire.Kind) string {
	switch k {
	case wire.KindRange:
		return "Range"
	case wire.KindPut:
		return "Put"
	case wire.KindDeleteRange:
		return "DeleteRange"
	case wire.KindTxn:
		return "Txn"
	case wire.KindCompaction:
		return "Compaction"
	case wire.KindLeaseGrant:
		return "LeaseGrant"
	case wire.KindLeaseRevoke:
		return "LeaseRevoke"
	case wire.KindLeaseCheckpoint:
		return "LeaseCheckpoint"
	case wire.KindAlarm:
		return "Alarm"
	case wire.KindClusterVersionSet:
		return "ClusterVersionSet"
	case wire.KindClusterMemberAttrSet:
		return "ClusterMemberAttrSet"
	case wire.KindDowngradeInfoSet:
		return "DowngradeInfoSet"
	case wire.KindDowngradeVersionTest:
		return "DowngradeVersionTest"
	}
	return "Unknown"
}
