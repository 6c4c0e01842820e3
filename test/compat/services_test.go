package compat

import (
	"fmt"
	"path/filepath"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

var (
	rpcLock       = rpc[v3lockpb.LockRequest, v3lockpb.LockResponse]("/v3lockpb.Lock/Lock")
	rpcUnlock     = rpc[v3lockpb.UnlockRequest, v3lockpb.UnlockResponse]("/v3lockpb.Lock/Unlock")
	rpcCampaign   = rpc[v3electionpb.CampaignRequest, v3electionpb.CampaignResponse]("/v3electionpb.Election/Campaign")
	rpcProclaim   = rpc[v3electionpb.ProclaimRequest, v3electionpb.ProclaimResponse]("/v3electionpb.Election/Proclaim")
	rpcLeader     = rpc[v3electionpb.LeaderRequest, v3electionpb.LeaderResponse]("/v3electionpb.Election/Leader")
	rpcResign     = rpc[v3electionpb.ResignRequest, v3electionpb.ResignResponse]("/v3electionpb.Election/Resign")
	rpcMemberAdd  = rpc[pb.MemberAddRequest, pb.MemberAddResponse]("/etcdserverpb.Cluster/MemberAdd")
	rpcMoveLeader = rpc[pb.MoveLeaderRequest, pb.MoveLeaderResponse]("/etcdserverpb.Maintenance/MoveLeader")
	rpcDowngrade  = rpc[pb.DowngradeRequest, pb.DowngradeResponse]("/etcdserverpb.Maintenance/Downgrade")
	rpcDefragment = rpc[pb.DefragmentRequest, pb.DefragmentResponse]("/etcdserverpb.Maintenance/Defragment")
	rpcHealth     = rpc[grpc_health_v1.HealthCheckRequest, grpc_health_v1.HealthCheckResponse]("/grpc.health.v1.Health/Check")
)

// one is a request and where it goes.
type one struct {
	m       method
	request proto.Message
}

// opLock takes a lock nobody holds and gives it back twice.
func opLock(r *run, g *gen) error {
	taken, err := r.must(rpcLock, &v3lockpb.LockRequest{Name: pick(g, nil, []byte("lock"), []byte("a")), Lease: g.lease()})
	if err != nil || taken.err != nil {
		return err
	}
	key := taken.message.(*v3lockpb.LockResponse).Key
	for range 2 {
		if _, err := r.must(rpcUnlock, &v3lockpb.UnlockRequest{Key: key}); err != nil {
			return err
		}
	}
	_, err = r.must(rpcUnlock, &v3lockpb.UnlockRequest{})
	return err
}

// opElection runs unopposed through a whole term of office.
func opElection(r *run, g *gen) error {
	name := pick(g, []byte("office"), []byte("b"))
	for _, q := range []one{
		{rpcLeader, &v3electionpb.LeaderRequest{Name: name}},
		{rpcProclaim, &v3electionpb.ProclaimRequest{}},
		{rpcResign, &v3electionpb.ResignRequest{}},
	} {
		if _, err := r.must(q.m, q.request); err != nil {
			return err
		}
	}
	won, err := r.must(rpcCampaign, &v3electionpb.CampaignRequest{Name: name, Lease: g.lease(), Value: g.value()})
	if err != nil || won.err != nil {
		return err
	}
	leader := won.message.(*v3electionpb.CampaignResponse).Leader
	stale := proto.CloneOf(leader)
	stale.Rev--
	for _, q := range []one{
		{rpcProclaim, &v3electionpb.ProclaimRequest{Leader: leader, Value: g.value()}},
		{rpcLeader, &v3electionpb.LeaderRequest{Name: name}},
		{rpcProclaim, &v3electionpb.ProclaimRequest{Leader: stale, Value: []byte("x")}},
		{rpcResign, &v3electionpb.ResignRequest{Leader: stale}},
		{rpcResign, &v3electionpb.ResignRequest{Leader: leader}},
		{rpcLeader, &v3electionpb.LeaderRequest{Name: name}},
	} {
		if _, err := r.must(q.m, q.request); err != nil {
			return err
		}
	}
	return nil
}

// opCluster asks what concerns the member and not its keys. Changes of the
// membership and downgrades are rows M1 and M2 of docs/compat.md.
func opCluster(r *run, g *gen) error {
	q := pick(g,
		one{rpcMoveLeader, &pb.MoveLeaderRequest{TargetID: pick[uint64](g, 0, 12345)}},
		one{rpcDefragment, &pb.DefragmentRequest{}},
		one{rpcHealth, &grpc_health_v1.HealthCheckRequest{Service: pick(g, "", "", "etcd")}},
	)
	_, err := r.must(q.m, q.request)
	return err
}

// opBadText sends a text field that is not UTF-8.
func opBadText(r *run, g *gen) error {
	q := pick(g, rpcMemberAdd, rpcHealth, rpcDowngrade)
	field := map[string]byte{rpcMemberAdd.path: 0x0a, rpcHealth.path: 0x0a, rpcDowngrade.path: 0x12}[q.path]
	return r.bytes(q, []byte{field, 2, 0xff, 'x'})
}

// opRestart ends both members, in order or not, and starts them again. What
// was acknowledged must be there; what is remembered in memory only may be gone.
func opRestart(r *run, g *gen) error {
	if err := r.endSequence(); err != nil {
		return err
	}
	orderly := g.chance(2)
	r.notef("restart, orderly: %t", orderly)
	var errs [2]error
	r.each(func(i int, s *side) {
		s.conn.Close()
		if orderly {
			errs[i] = s.server.stop()
		} else {
			s.server.kill()
		}
		if errs[i] != nil {
			return
		}
		opts := r.options(i)
		opts.clientURL, opts.peerURL = s.server.clientURL, s.server.peerURL
		again, err := launch(r.t, s.server.kind, opts)
		if err != nil {
			errs[i] = err
			return
		}
		s.server = again
		s.conn, errs[i] = dial(again.clientURL)
	})
	for i, err := range errs {
		if err != nil && i == 1 {
			return &difference{"restart", "starts", err.Error()}
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	r.forgotten = r.compacted
	return r.compareState()
}

// options are the settings of one of the two.
func (r *run) options(i int) serverOptions {
	kind := [2]string{"etcd", keelsonKind()}[i]
	return serverOptions{dir: filepath.Join(r.dir, fmt.Sprintf("%d-%s", i, kind)), noSync: true}
}
