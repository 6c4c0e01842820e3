package rpc

import (
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"keelson/internal/errs"
	"keelson/internal/wire"
)

// leaseService is etcdserverpb.Lease.
type leaseService struct {
	lease Lease
	info  Info
	quota Quota
}

func (s *leaseService) grant(ctx context.Context, r *wire.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	if err := s.quota.CheckQuota(ctx, leaseCostBytes); err != nil {
		return nil, err
	}
	return s.lease.LeaseGrant(ctx, r)
}

func (s *leaseService) list(ctx context.Context, _ *wire.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	return s.lease.LeaseLeases(ctx)
}

// keepAlive answers renewals one by one, in order, until the client closes its
// half. A read from the client cannot be interrupted, so the loop runs beside
// the stream's own goroutine and ends soon after it.
func (s *leaseService) keepAlive(ss grpc.ServerStream) error {
	ctx := ss.Context()
	done := make(chan error, 1)
	go func() { done <- s.renewAll(ctx, ss) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *leaseService) renewAll(ctx context.Context, ss grpc.ServerStream) error {
	for {
		var req wire.LeaseKeepAliveRequest
		if err := ss.RecvMsg(&req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		// The header shows the revision before the renewal.
		header := s.info.Header()
		ttl, err := s.lease.LeaseRenew(ctx, req.ID)
		if errors.Is(err, errs.ErrLeaseNotFound) {
			ttl = 0
		} else if err != nil {
			return err
		}
		if err := ss.SendMsg(wire.NewLeaseKeepAliveResponse(header, req.ID, ttl)); err != nil {
			return err
		}
	}
}
