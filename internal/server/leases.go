package server

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/lease"
	"keelson/internal/wire"
)

// Pace of expiry, etcd's: every half second at most 500 leases, 16 at a time.
const (
	expiryTick        = 500 * time.Millisecond
	revokesPerTick    = 500
	revokesAtOnce     = 16
	checkpointsAtOnce = 1000
	applyWait         = time.Second
)

// LeaseGrant creates a lease; ID 0 lets the server choose a positive one.
func (s *Server) LeaseGrant(ctx context.Context, r *wire.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	req := &pb.LeaseGrantRequest{TTL: r.TTL, ID: int64(r.ID)}
	for req.ID == 0 {
		req.ID = int64(s.ids.next() & (1<<63 - 1))
	}
	res, err := s.proposeMessage(ctx, wire.KindLeaseGrant, req)
	if err != nil {
		return nil, err
	}
	return &pb.LeaseGrantResponse{Header: s.pbHeader(res.Revision), ID: int64(res.Granted.ID), TTL: res.Granted.TTL}, nil
}

// LeaseRevoke ends a lease and deletes its keys.
func (s *Server) LeaseRevoke(ctx context.Context, r *wire.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	res, err := s.proposeMessage(ctx, wire.KindLeaseRevoke, &pb.LeaseRevokeRequest{ID: int64(r.ID)})
	if err != nil {
		return nil, err
	}
	return &pb.LeaseRevokeResponse{Header: s.pbHeader(res.Revision)}, nil
}

// LeaseRenew gives a lease its full TTL again and returns it in seconds.
// ErrLeaseNotFound when there is none any more; a lease that is over but not
// gone yet is waited for.
func (s *Server) LeaseRenew(ctx context.Context, id base.LeaseID) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.requestTimeout())
	defer cancel()
	for {
		if !s.rep.State().IsLeader {
			if err := s.awaitLead(ctx); err != nil {
				return 0, err
			}
			continue
		}
		ttl, again, err := s.tryRenew(ctx, id)
		if !again {
			return ttl, err
		}
	}
}

func (s *Server) tryRenew(ctx context.Context, id base.LeaseID) (ttl int64, again bool, err error) {
	r, err := s.lessor.Renew(id)
	if errors.Is(err, errs.ErrLeaseNotFound) {
		// A grant that is committed may not be applied yet.
		if err := s.caughtUp(ctx); err != nil {
			return 0, false, err
		}
		r, err = s.lessor.Renew(id)
	}
	switch {
	case errors.Is(err, errs.ErrNotPrimaryLessor) && s.rep.State().IsLeader:
		// Elected, but the term's first entry is not applied yet.
		err := s.awaitPrimary(ctx)
		return 0, err == nil, err
	case err != nil:
		return 0, false, err
	case r.Expired:
		return 0, false, s.awaitGone(ctx, id)
	case r.Clear:
		_, err = s.proposeMessage(ctx, wire.KindLeaseCheckpoint, &pb.LeaseCheckpointRequest{
			Checkpoints: []*pb.LeaseCheckpoint{{ID: int64(id)}}})
	}
	s.cfg.Metrics.LeaseRenewed()
	return r.TTL, false, err
}

// awaitGone waits until a lease that is over is revoked.
func (s *Server) awaitGone(ctx context.Context, id base.LeaseID) error {
	gone, ok := s.cfg.Machine.Leases.Gone(id)
	if !ok {
		return errs.ErrLeaseNotFound
	}
	select {
	case <-gone:
		return errs.ErrLeaseNotFound
	case <-ctx.Done():
		return s.leaseWaitError(ctx)
	case <-s.stopped:
		return errs.ErrStopped
	}
}

func (s *Server) leaseWaitError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errs.ErrCanceled
	}
	return errs.ErrTimeout
}

// awaitLead waits while another member leads or none does. Forwarding to the
// leader needs the peer transport, which is not there yet.
func (s *Server) awaitLead(ctx context.Context) error {
	changed := s.lead.next()
	if s.rep.State().IsLeader {
		return nil
	}
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return errs.ErrCanceled
		}
		return errs.ErrNoLeader
	case <-s.stopped:
		return errs.ErrStopped
	}
}

// awaitPrimary waits until the first entry of this leader's term is applied.
func (s *Server) awaitPrimary(ctx context.Context) error {
	err := s.Linearize(ctx)
	if ctx.Err() != nil {
		return s.leaseWaitError(ctx)
	}
	return err
}

// caughtUp waits until what is committed now is applied, at most applyWait.
func (s *Server) caughtUp(ctx context.Context) error {
	if s.Applied() >= s.rep.Committed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, applyWait)
	defer cancel()
	err := s.Linearize(ctx)
	switch {
	case errors.Is(err, errs.ErrRawDeadline):
		return errs.ErrTimeoutWaitAppliedIndex
	case errors.Is(err, errs.ErrRawCanceled):
		return errs.ErrCanceled
	}
	return err
}

// LeaseTimeToLive tells what is left of a lease; TTL -1 means there is none.
func (s *Server) LeaseTimeToLive(ctx context.Context, r *wire.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.requestTimeout())
	defer cancel()
	for !s.rep.State().IsLeader {
		if err := s.awaitLead(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.caughtUp(ctx); err != nil {
		return nil, err
	}
	left, err := s.lessor.Remaining(r.ID)
	if errors.Is(err, errs.ErrNotPrimaryLessor) {
		if err := s.awaitPrimary(ctx); err != nil {
			return nil, err
		}
		left, err = s.lessor.Remaining(r.ID)
	}
	res := &pb.LeaseTimeToLiveResponse{Header: s.pbHeader(s.revision()), ID: int64(r.ID), TTL: -1}
	switch {
	case errors.Is(err, errs.ErrLeaseNotFound):
		return res, nil
	case err != nil:
		return nil, errs.ErrLeaderChanged
	}
	in, ok := s.cfg.Machine.Leases.Lookup(r.ID)
	if !ok {
		return res, nil
	}
	res.TTL, res.GrantedTTL = int64(left/time.Second), in.TTL
	if r.Keys {
		keys, _ := s.cfg.Machine.Leases.Keys(r.ID)
		for _, k := range keys {
			res.Keys = append(res.Keys, []byte(k))
		}
	}
	return res, nil
}

// LeaseLeases lists the leases this member knows.
func (s *Server) LeaseLeases(context.Context) (*pb.LeaseLeasesResponse, error) {
	res := &pb.LeaseLeasesResponse{Header: s.pbHeader(s.revision())}
	ids := s.lessor.ByRemaining()
	if ids == nil {
		for _, in := range s.cfg.Machine.Leases.All() {
			ids = append(ids, in.ID)
		}
	}
	for _, id := range ids {
		res.Leases = append(res.Leases, &pb.LeaseStatus{ID: int64(id)})
	}
	return res, nil
}

// leaderLoop does what only a leader does. While it does not lead the lessor
// has nothing due and the version is not its business.
func (s *Server) leaderLoop() {
	t := s.cfg.Clock.NewTicker(expiryTick)
	defer t.Stop()
	slots := make(chan struct{}, revokesAtOnce)
	for {
		select {
		case <-s.stopped:
			return
		case <-t.C():
		case <-s.lead.next():
		}
		if !s.rep.State().IsLeader {
			continue
		}
		s.revokeDue(slots)
		s.replicateRemaining(s.lessor.Checkpoints(checkpointsAtOnce))
		s.decideVersion()
	}
}

// revokeDue ends the leases that are over, a few at a time.
func (s *Server) revokeDue(slots chan struct{}) {
	for _, id := range s.lessor.Due(revokesPerTick) {
		select {
		case slots <- struct{}{}:
		case <-s.stopped:
			return
		}
		s.cfg.Metrics.LeaseExpired()
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			defer func() { <-slots }()
			_, err := s.LeaseRevoke(s.ctx, &wire.LeaseRevokeRequest{ID: id})
			if err != nil && !errors.Is(err, errs.ErrLeaseNotFound) && !errors.Is(err, errs.ErrStopped) {
				s.log.Warn("failed to revoke an expired lease; it is tried again", zap.Stringer("lease", id), zap.Error(err))
			}
		}()
	}
}

// replicateRemaining puts what is left of leases into the log, so that it
// survives a restart and a change of leader.
func (s *Server) replicateRemaining(ls []lease.Info) {
	for len(ls) > 0 {
		n := min(len(ls), checkpointsAtOnce)
		req := &pb.LeaseCheckpointRequest{}
		for _, in := range ls[:n] {
			req.Checkpoints = append(req.Checkpoints, &pb.LeaseCheckpoint{ID: int64(in.ID), Remaining_TTL: in.Remaining})
		}
		if _, err := s.proposeMessage(s.ctx, wire.KindLeaseCheckpoint, req); err != nil {
			s.log.Warn("failed to replicate remaining lease TTLs; a restart now would prolong them", zap.Error(err))
			return
		}
		ls = ls[n:]
	}
}

// saveLeases replicates all remaining TTLs before an orderly stop.
func (s *Server) saveLeases() {
	if s.rep.State().IsLeader {
		s.replicateRemaining(s.lessor.CheckpointAll())
	}
}
