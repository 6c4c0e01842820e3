package rpc

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// maintenanceService is the streaming part of etcdserverpb.Maintenance; the
// rest of it goes to the server as it comes.
type maintenanceService struct {
	maintenance Maintenance
}

func (s *maintenanceService) snapshot(r *pb.SnapshotRequest, ss grpc.ServerStream) error {
	return s.maintenance.Snapshot(ss.Context(), r, func(m *pb.SnapshotResponse) error { return ss.SendMsg(m) })
}
