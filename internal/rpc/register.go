package rpc

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Register puts every service on an engine. hs tells whether the member
// serves; its owner changes what it says.
func Register(r grpc.ServiceRegistrar, d Deps, hs *health.Server) {
	g := &gate{info: d.Info, leader: d.Leader, observer: orDiscard(d.Observer)}

	kv := &kvService{kv: d.KV, quota: d.Quota, maxTxnOps: d.MaxTxnOps}
	s := newService(g, "etcdserverpb.KV")
	unary(s, "Range", kv.rangeKeys)
	serverStream(s, "RangeStream", false, kv.rangeStream)
	unary(s, "Put", kv.put)
	unary(s, "DeleteRange", kv.deleteRange)
	unary(s, "Txn", kv.txn)
	unary(s, "Compact", kv.kv.Compact)
	s.register(r)

	watches := &watchService{watch: d.Watch, info: d.Info}
	s = newService(g, "etcdserverpb.Watch")
	s.stream("Watch", BidiStream, false, watches.watchKeys)
	s.register(r)

	leases := &leaseService{lease: d.Lease, info: d.Info, quota: d.Quota}
	s = newService(g, "etcdserverpb.Lease")
	unary(s, "LeaseGrant", leases.grant)
	unary(s, "LeaseRevoke", d.Lease.LeaseRevoke)
	s.stream("LeaseKeepAlive", BidiStream, false, leases.keepAlive)
	unary(s, "LeaseTimeToLive", d.Lease.LeaseTimeToLive)
	unary(s, "LeaseLeases", leases.list)
	s.register(r)

	s = newService(g, "etcdserverpb.Cluster")
	unary(s, "MemberAdd", d.Cluster.MemberAdd)
	unary(s, "MemberRemove", d.Cluster.MemberRemove)
	unary(s, "MemberUpdate", d.Cluster.MemberUpdate)
	unary(s, "MemberList", d.Cluster.MemberList)
	unary(s, "MemberPromote", d.Cluster.MemberPromote)
	s.register(r)

	maintenance := &maintenanceService{maintenance: d.Maintenance}
	s = newService(g, "etcdserverpb.Maintenance")
	unary(s, "Alarm", d.Maintenance.Alarm)
	unary(s, "Status", d.Maintenance.Status)
	unary(s, "Defragment", d.Maintenance.Defragment)
	unary(s, "Hash", d.Maintenance.Hash)
	unary(s, "HashKV", d.Maintenance.HashKV)
	serverStream(s, "Snapshot", true, maintenance.snapshot)
	unary(s, "MoveLeader", d.Maintenance.MoveLeader)
	unary(s, "Downgrade", d.Maintenance.Downgrade)
	s.register(r)

	s = newService(g, "etcdserverpb.Auth")
	(&authService{d.Info}).register(s)
	s.register(r)

	recipes := &recipe{kv: kv, lease: leases, watch: d.Watch, info: d.Info}
	s = newService(g, "v3lockpb.Lock")
	unary(s, "Lock", recipes.lock)
	unary(s, "Unlock", recipes.unlock)
	s.register(r)

	s = newService(g, "v3electionpb.Election")
	unary(s, "Campaign", recipes.campaign)
	unary(s, "Proclaim", recipes.proclaim)
	unary(s, "Leader", recipes.leader)
	serverStream(s, "Observe", false, recipes.observe)
	unary(s, "Resign", recipes.resign)
	s.register(r)

	s = newService(g, "grpc.health.v1.Health")
	unary(s, "Check", hs.Check)
	unary(s, "List", hs.List)
	serverStream(s, "Watch", false, func(req *healthpb.HealthCheckRequest, ss grpc.ServerStream) error {
		return hs.Watch(req, &grpc.GenericServerStream[healthpb.HealthCheckRequest, healthpb.HealthCheckResponse]{ServerStream: ss})
	})
	s.register(r)
}
