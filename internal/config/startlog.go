package config

import (
	"time"

	"go.uber.org/zap"
)

// StartFields is the part of the line "starting an etcd server" that the
// configuration knows, in etcd's order and under etcd's names: tests and
// support scripts match pieces of its JSON.
func (c Config) StartFields() []zap.Field {
	quota, ok := c.Storage.Quota()
	if !ok {
		quota = c.Storage.QuotaBytes
	}
	return []zap.Field{
		zap.String("name", c.Name),
		zap.String("data-dir", c.DataDir),
		zap.String("wal-dir", c.WALDir),
		zap.String("wal-dir-dedicated", c.WALDir),
		zap.Bool("force-new-cluster", c.ForceNewCluster),
		zap.String("heartbeat-interval", c.Raft.Heartbeat().String()),
		zap.String("election-timeout", c.Raft.ElectionTimeout().String()),
		zap.Bool("initial-election-tick-advance", c.Raft.InitialTickAdvance),
		zap.Uint64("snapshot-count", c.Raft.SnapshotCount),
		zap.Uint("max-wals", c.Storage.MaxWALs),
		zap.Uint("max-snapshots", c.Storage.MaxSnapshots),
		zap.Uint64("snapshot-catchup-entries", c.Raft.SnapshotCatchUpEntries),
		zap.Strings("initial-advertise-peer-urls", c.Advertise.Peer.Strings()),
		zap.Strings("listen-peer-urls", c.Listen.Peer.Strings()),
		zap.Strings("advertise-client-urls", c.Advertise.Client.Strings()),
		zap.Strings("listen-client-urls", c.Listen.Client.Strings()),
		zap.Strings("listen-metrics-urls", c.Listen.Metrics.Strings()),
		zap.Strings("cors", c.HTTP.CORS),
		zap.Strings("host-whitelist", c.HTTP.HostWhitelist),
		zap.String("initial-cluster", c.Cluster.Initial),
		zap.String("initial-cluster-state", c.Cluster.State),
		zap.String("initial-cluster-token", c.Cluster.Token),
		zap.Int64("quota-backend-bytes", quota),
		zap.Uint("max-request-bytes", c.Limits.MaxRequestBytes),
		zap.Uint32("max-concurrent-streams", c.Limits.MaxConcurrentStreams),
		zap.Bool("pre-vote", c.Raft.PreVote),
		zap.String("feature-gates", c.Gates.String()),
		zap.Bool("initial-corrupt-check", c.Gates.Enabled(GateInitialCorruptCheck)),
		zap.String("corrupt-check-time-interval", c.Checks.Corrupt.String()),
		zap.Duration("compact-check-time-interval", c.Checks.CompactHash),
		zap.String("auto-compaction-mode", c.Compaction.Mode),
		zap.Duration("auto-compaction-retention", c.Compaction.retention()),
		zap.String("auto-compaction-interval", c.Compaction.retention().String()),
		zap.String("downgrade-check-interval", c.Cluster.DowngradeCheck.String()),
		zap.Int("max-learners", c.Cluster.MaxLearners),
		zap.String("v2-deprecation", "write-only"),
	}
}

func (a AutoCompaction) retention() time.Duration {
	if a.Mode == CompactRevision {
		return time.Duration(a.Revisions)
	}
	return a.Period
}
