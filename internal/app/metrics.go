package app

import (
	"strings"

	"keelson/internal/obs"
	"keelson/internal/rpc"
)

// grpcObserver makes the metrics what package rpc reports to; they say the
// kind of a method in their own words.
type grpcObserver struct{ *obs.GRPC }

func (o grpcObserver) Method(service, name string, kind rpc.MethodKind) rpc.MethodObserver {
	return o.GRPC.Method(service, name, string(kind))
}

func (o grpcObserver) ClientRequest(kind rpc.MethodKind, version string) {
	o.GRPC.ClientRequest(string(kind), version)
}

// refreshGauges sets the metrics that are cheaper to read than to keep.
func (n *Node) refreshGauges() {
	m, s := n.out.Metrics, n.member.Server
	st, sizes := n.member.replica.State(), n.member.r.log.Stats()
	obs.SetFlag(m.Server.HasLeader, st.Leader != 0)
	obs.SetFlag(m.Server.IsLeader, st.IsLeader)
	obs.SetFlag(m.Server.IsLearner, s.IsLearner())
	m.Server.ProposalsCommitted.Set(float64(n.member.replica.Committed()))
	m.Server.ProposalsApplied.Set(float64(s.Applied()))
	quota, limited := n.cfg.Storage.Quota()
	if !limited {
		quota = n.cfg.Storage.QuotaBytes
	}
	m.Server.QuotaBytes.Set(float64(quota))
	m.MVCC.TotalBytes.Set(float64(sizes.Bytes))
	m.MVCC.InUseBytes.Set(float64(sizes.LiveBytes))
	v := n.member.r.machine.KV.View()
	m.MVCC.Keys.Set(float64(v.Keys()))
	m.MVCC.CurrentRevision.Set(float64(v.Revision()))
	m.MVCC.CompactRevision.Set(float64(v.CompactRevision()))
	v.Release()
	w := n.member.hub.Stats()
	m.Watch.Streams.Set(float64(w.Streams))
	m.Watch.Watchers.Set(float64(w.Watchers))
	m.Watch.SlowWatchers.Set(float64(w.SlowWatchers))
	m.Watch.PendingEvents.Set(float64(w.PendingEvents))
	if v := n.member.r.machine.Members.Version(); v != "" {
		m.SetClusterVersion("", v[:strings.LastIndexByte(v, '.')])
	}
	m.Network.KnownPeers.WithLabelValues(n.member.ID().String(), n.member.ID().String()).Set(1)
}

// vars is what /debug/vars shows of the member.
func (n *Node) vars() map[string]any {
	st := n.member.replica.State()
	vars := map[string]any{
		"cmdline": n.out.Args,
		"raft.status": map[string]any{
			"id": n.member.ID().String(), "term": st.Term, "lead": st.Leader.String(), "isLeader": st.IsLeader,
			"commit": n.member.replica.Committed(), "applied": n.member.Server.Applied(),
		},
	}
	if limit, err := obs.DescriptorLimit(); err == nil {
		vars["file_descriptor_limit"] = limit
	}
	return vars
}
