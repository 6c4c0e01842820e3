package state

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/lease"
	"keelson/internal/wire"
)

func (a *apply) leaseGrant() error {
	var r wire.LeaseGrantRequest
	if err := r.UnmarshalWire(a.body); err != nil {
		return err
	}
	in, err := a.Leases.Grant(r.ID, r.TTL)
	if err != nil {
		return err
	}
	a.res.Granted = in
	return nil
}

// leaseRevoke deletes the lease's keys in byte order, in one revision, and the
// lease with them.
func (a *apply) leaseRevoke() error {
	var r wire.LeaseRevokeRequest
	if err := r.UnmarshalWire(a.body); err != nil {
		return err
	}
	keys, ok := a.Leases.Keys(r.ID)
	if !ok {
		return errs.ErrLeaseNotFound
	}
	tx := a.KV.Begin()
	defer tx.End()
	for _, k := range keys {
		if _, err := tx.Delete([]byte(k)); err != nil {
			return err
		}
	}
	a.res.Revoked = r.ID
	return a.Leases.Revoke(r.ID)
}

func (a *apply) leaseCheckpoint() error {
	var r pb.LeaseCheckpointRequest
	if err := proto.Unmarshal(a.body, &r); err != nil {
		return err
	}
	for _, c := range r.Checkpoints {
		in := lease.Info{ID: base.LeaseID(c.ID), Remaining: c.Remaining_TTL}
		a.Leases.Checkpoint(in.ID, in.Remaining)
		a.res.Checkpoints = append(a.res.Checkpoints, in)
	}
	return nil
}
