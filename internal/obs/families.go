package obs

import "github.com/prometheus/client_golang/prometheus"

// ServerMetrics: etcd_server_* and etcd_cluster_version.
type ServerMetrics struct {
	HasLeader, IsLeader, IsLearner prometheus.Gauge
	LeaderChanges                  prometheus.Counter
	LearnerPromoteFailures         *prometheus.CounterVec // Reason
	LearnerPromoteSuccesses        prometheus.Counter
	HeartbeatSendFailures          prometheus.Counter
	SnapshotApplyInProgress        prometheus.Gauge
	ProposalsCommitted             prometheus.Gauge // the commit index
	ProposalsApplied               prometheus.Gauge // the applied index
	ProposalsPending               prometheus.Gauge
	ProposalsFailed                prometheus.Counter
	SlowApply                      prometheus.Counter
	SlowReadIndexes                prometheus.Counter
	ReadIndexesFailed              prometheus.Counter
	ClientRequests                 *prometheus.CounterVec // type, client_api_version
	QuotaBytes                     prometheus.Gauge
	HealthSuccess, HealthFailures  prometheus.Counter
	Alarms                         *prometheus.GaugeVec // server_id, alarm_type
	AuthRevision                   prometheus.Gauge

	requestDuration, applyDuration, rangeDuration outcomes
	version, goVersion, id, feature               *prometheus.GaugeVec
	clusterVersion                                *prometheus.GaugeVec
	healthcheck                                   *prometheus.GaugeVec
	healthchecks                                  *prometheus.CounterVec
}

func newServerMetrics(f families) ServerMetrics {
	apply := f.histograms("etcd_server_apply_duration_seconds", "Time of applying a request, by kind.", exp(.0001, 2, 20), "version", "op", "success")
	request := f.histograms("etcd_server_request_duration_seconds", "Time of answering a request, by kind.", exp(.001, 2, 14), "type", "success")
	ranges := f.histograms("etcd_server_range_duration_seconds", "Time of reading a range of keys.", exp(.0001, 2, 20), "success")
	return ServerMetrics{
		HasLeader:               f.gauge("etcd_server_has_leader", "1 while a leader is known, else 0."),
		IsLeader:                f.gauge("etcd_server_is_leader", "1 while this member leads, else 0."),
		IsLearner:               f.gauge("etcd_server_is_learner", "1 while this member is a learner, else 0."),
		LeaderChanges:           f.counter("etcd_server_leader_changes_seen_total", "Changes of leader seen."),
		LearnerPromoteFailures:  f.counters("etcd_server_learner_promote_failures", "Refused promotions of learners, on the leader.", "Reason"),
		LearnerPromoteSuccesses: f.counter("etcd_server_learner_promote_successes", "Promotions of learners, on the leader."),
		HeartbeatSendFailures:   f.counter("etcd_server_heartbeat_send_failures_total", "Heartbeats the leader sent late."),
		SnapshotApplyInProgress: f.gauge("etcd_server_snapshot_apply_in_progress_total", "1 while a snapshot of the leader is being applied."),
		ProposalsCommitted:      f.gauge("etcd_server_proposals_committed_total", "Index of the last committed entry."),
		ProposalsApplied:        f.gauge("etcd_server_proposals_applied_total", "Index of the last applied entry."),
		ProposalsPending:        f.gauge("etcd_server_proposals_pending", "Proposals that wait for their result."),
		ProposalsFailed:         f.counter("etcd_server_proposals_failed_total", "Proposals that failed."),
		SlowApply:               f.counter("etcd_server_slow_apply_total", "Requests that took longer to apply than the warning limit."),
		SlowReadIndexes:         f.counter("etcd_server_slow_read_indexes_total", "Read-index rounds that were not answered in time."),
		ReadIndexesFailed:       f.counter("etcd_server_read_indexes_failed_total", "Read-index rounds that failed."),
		ClientRequests:          f.counters("etcd_server_client_requests_total", "Requests by client version.", "type", "client_api_version"),
		QuotaBytes:              f.gauge("etcd_server_quota_backend_bytes", "Space quota in bytes; negative if there is none."),
		HealthSuccess:           f.counter("etcd_server_health_success", "Times /health said true."),
		HealthFailures:          f.counter("etcd_server_health_failures", "Times /health said false."),
		Alarms:                  f.gauges("etcd_debugging_server_alarms", "1 while the alarm is raised, by member.", "server_id", "alarm_type"),
		AuthRevision:            f.gauge("etcd_debugging_auth_revision", "Revision of the auth store."),

		requestDuration: outcomes{child: func(kind, ok string) prometheus.Observer { return request.WithLabelValues(kind, ok) }},
		applyDuration:   outcomes{child: func(kind, ok string) prometheus.Observer { return apply.WithLabelValues("v3", kind, ok) }},
		rangeDuration:   outcomes{child: func(_, ok string) prometheus.Observer { return ranges.WithLabelValues(ok) }},

		version:        f.gauges("etcd_server_version", "1 for the version that runs.", "server_version"),
		goVersion:      f.gauges("etcd_server_go_version", "1 for the Go version it was built with.", "server_go_version"),
		id:             f.gauges("etcd_server_id", "1 for this member's ID, in hex.", "server_id"),
		feature:        f.gauges("etcd_server_feature_enabled", "1 if the feature gate is on, else 0.", "name", "stage"),
		clusterVersion: f.gauges("etcd_cluster_version", "1 for the version the cluster works at, 0 for earlier ones.", "cluster_version"),
		healthcheck:    f.gauges("etcd_server_healthcheck", "1 if the last health check succeeded, else 0.", "type", "name"),
		healthchecks:   f.counters("etcd_server_healthchecks_total", "Health checks by result.", "type", "name", "status"),
	}
}

// MVCCMetrics: etcd_mvcc_* and etcd_debugging_mvcc_* of the store.
type MVCCMetrics struct {
	Ranges, Puts, Deletes, Txns           prometheus.Counter
	TotalBytes, InUseBytes                prometheus.Gauge
	OpenReads                             prometheus.Gauge
	HashDuration, HashRevDuration         prometheus.Histogram // seconds
	Keys, PutBytes                        prometheus.Gauge
	CurrentRevision, CompactRevision      prometheus.Gauge
	CompactedKeys                         prometheus.Counter
	LastCompaction                        prometheus.Gauge     // unix seconds
	IndexCompactionPause, CompactionPause prometheus.Histogram // milliseconds
	CompactionTotal                       prometheus.Histogram // milliseconds
}

func newMVCCMetrics(f families) MVCCMetrics {
	return MVCCMetrics{
		Ranges:               f.counter("etcd_mvcc_range_total", "Ranges read."),
		Puts:                 f.counter("etcd_mvcc_put_total", "Puts applied."),
		Deletes:              f.counter("etcd_mvcc_delete_total", "Deletes applied."),
		Txns:                 f.counter("etcd_mvcc_txn_total", "Transactions applied."),
		TotalBytes:           f.gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes the store takes on disk."),
		InUseBytes:           f.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of the store that are in use."),
		OpenReads:            f.gauge("etcd_mvcc_db_open_read_transactions", "Views held by readers."),
		HashDuration:         f.histogram("etcd_mvcc_hash_duration_seconds", "Time of hashing the whole store.", exp(.01, 2, 15)),
		HashRevDuration:      f.histogram("etcd_mvcc_hash_rev_duration_seconds", "Time of hashing the store at a revision.", exp(.01, 2, 15)),
		Keys:                 f.gauge("etcd_debugging_mvcc_keys_total", "Keys in the store."),
		PutBytes:             f.gauge("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of keys and values put since the start."),
		CurrentRevision:      f.gauge("etcd_debugging_mvcc_current_revision", "Revision of the store."),
		CompactRevision:      f.gauge("etcd_debugging_mvcc_compact_revision", "Revision compacted last."),
		CompactedKeys:        f.counter("etcd_debugging_mvcc_db_compaction_keys_total", "Revisions of keys dropped by compaction."),
		LastCompaction:       f.gauge("etcd_debugging_mvcc_db_compaction_last", "Unix time of the last compaction."),
		IndexCompactionPause: f.histogram("etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds", "Time the index was held up by compaction.", exp(.5, 2, 14)),
		CompactionPause:      f.histogram("etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", "Time the store was held up by compaction.", exp(1, 2, 13)),
		CompactionTotal:      f.histogram("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", "Time from start to end of a compaction.", exp(100, 2, 14)),
	}
}

// DiskMetrics: etcd_disk_* and etcd_debugging_disk_*. Durations in seconds.
type DiskMetrics struct {
	WALFsync, WALWrite                             prometheus.Histogram
	WALWriteBytes                                  prometheus.Gauge
	BackendCommit, BackendDefrag, BackendSnapshot  prometheus.Histogram
	DefragInflight                                 prometheus.Gauge
	CommitRebalance, CommitSpill, CommitWriteDebug prometheus.Histogram
}

func newDiskMetrics(f families) DiskMetrics {
	return DiskMetrics{
		WALFsync:         f.histogram("etcd_disk_wal_fsync_duration_seconds", "Time of syncing the raft log.", exp(.001, 2, 14)),
		WALWrite:         f.histogram("etcd_disk_wal_write_duration_seconds", "Time of writing to the raft log.", exp(.001, 2, 14)),
		WALWriteBytes:    f.gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the raft log."),
		BackendCommit:    f.histogram("etcd_disk_backend_commit_duration_seconds", "Time of making the store durable.", exp(.001, 2, 14)),
		BackendDefrag:    f.histogram("etcd_disk_backend_defrag_duration_seconds", "Time of a defragmentation.", exp(.1, 2, 13)),
		BackendSnapshot:  f.histogram("etcd_disk_backend_snapshot_duration_seconds", "Time of streaming a snapshot.", exp(.01, 2, 17)),
		DefragInflight:   f.gauge("etcd_disk_defrag_inflight", "1 while a defragmentation runs."),
		CommitRebalance:  f.histogram("etcd_debugging_disk_backend_commit_rebalance_duration_seconds", "Part of etcd's bbolt commit; unused.", exp(.001, 2, 14)),
		CommitSpill:      f.histogram("etcd_debugging_disk_backend_commit_spill_duration_seconds", "Part of etcd's bbolt commit; unused.", exp(.001, 2, 14)),
		CommitWriteDebug: f.histogram("etcd_debugging_disk_backend_commit_write_duration_seconds", "Part of etcd's bbolt commit; unused.", exp(.001, 2, 14)),
	}
}

// SnapMetrics: etcd_snap_* and etcd_debugging_snap_*, in seconds.
type SnapMetrics struct {
	Fsync, DBSaveTotal, DBFsync prometheus.Histogram
	Marshalling, SaveTotal      prometheus.Histogram
}

func newSnapMetrics(f families) SnapMetrics {
	return SnapMetrics{
		Fsync:       f.histogram("etcd_snap_fsync_duration_seconds", "Time of syncing a checkpoint.", exp(.001, 2, 14)),
		DBSaveTotal: f.histogram("etcd_snap_db_save_total_duration_seconds", "Time of saving a received snapshot.", exp(.1, 2, 10)),
		DBFsync:     f.histogram("etcd_snap_db_fsync_duration_seconds", "Time of syncing a received snapshot.", exp(.001, 2, 14)),
		Marshalling: f.histogram("etcd_debugging_snap_save_marshalling_duration_seconds", "Time of encoding a checkpoint.", exp(.001, 2, 14)),
		SaveTotal:   f.histogram("etcd_debugging_snap_save_total_duration_seconds", "Time of taking a checkpoint.", exp(.001, 2, 14)),
	}
}

// NetworkMetrics: etcd_network_*. Member IDs in labels are hex.
type NetworkMetrics struct {
	ClientSentBytes, ClientReceivedBytes                                        prometheus.Counter
	StreamFailures                                                              *prometheus.CounterVec // Type, API
	ActivePeers, KnownPeers                                                     *prometheus.GaugeVec   // Local, Remote
	DisconnectedPeers                                                           *prometheus.CounterVec // Local, Remote
	PeerSentBytes, PeerSentFailures                                             *prometheus.CounterVec // To
	PeerReceivedBytes, PeerReceivedFailures                                     *prometheus.CounterVec // From
	PeerRoundTrip                                                               *prometheus.HistogramVec
	SnapshotSent, SnapshotSendFailures, SnapshotReceived, SnapshotReceiveFailed *prometheus.CounterVec
	SnapshotSending, SnapshotReceiving                                          *prometheus.GaugeVec
	SnapshotSendDuration, SnapshotReceiveDuration                               *prometheus.HistogramVec
}

func newNetworkMetrics(f families) NetworkMetrics {
	return NetworkMetrics{
		ClientSentBytes:         f.counter("etcd_network_client_grpc_sent_bytes_total", "Bytes of messages sent to clients."),
		ClientReceivedBytes:     f.counter("etcd_network_client_grpc_received_bytes_total", "Bytes of messages received from clients."),
		StreamFailures:          f.counters("etcd_network_server_stream_failures_total", "Streams that failed.", "Type", "API"),
		ActivePeers:             f.gauges("etcd_network_active_peers", "1 while the member is connected.", "Local", "Remote"),
		KnownPeers:              f.gauges("etcd_network_known_peers", "1 for every member known.", "Local", "Remote"),
		DisconnectedPeers:       f.counters("etcd_network_disconnected_peers_total", "Lost connections to members.", "Local", "Remote"),
		PeerSentBytes:           f.counters("etcd_network_peer_sent_bytes_total", "Bytes sent to members.", "To"),
		PeerSentFailures:        f.counters("etcd_network_peer_sent_failures_total", "Messages that could not be sent to members.", "To"),
		PeerReceivedBytes:       f.counters("etcd_network_peer_received_bytes_total", "Bytes received from members.", "From"),
		PeerReceivedFailures:    f.counters("etcd_network_peer_received_failures_total", "Messages of members that could not be received.", "From"),
		PeerRoundTrip:           f.histograms("etcd_network_peer_round_trip_time_seconds", "Round trips to members.", exp(.0001, 2, 16), "To"),
		SnapshotSent:            f.counters("etcd_network_snapshot_send_success", "Snapshots sent.", "To"),
		SnapshotSendFailures:    f.counters("etcd_network_snapshot_send_failures", "Snapshots that could not be sent.", "To"),
		SnapshotSending:         f.gauges("etcd_network_snapshot_send_inflights_total", "Snapshots being sent.", "To"),
		SnapshotSendDuration:    f.histograms("etcd_network_snapshot_send_total_duration_seconds", "Time of sending a snapshot.", exp(.1, 2, 10), "To"),
		SnapshotReceived:        f.counters("etcd_network_snapshot_receive_success", "Snapshots received.", "From"),
		SnapshotReceiveFailed:   f.counters("etcd_network_snapshot_receive_failures", "Snapshots that could not be received.", "From"),
		SnapshotReceiving:       f.gauges("etcd_network_snapshot_receive_inflights_total", "Snapshots being received.", "From"),
		SnapshotReceiveDuration: f.histograms("etcd_network_snapshot_receive_total_duration_seconds", "Time of receiving a snapshot.", exp(.1, 2, 10), "From"),
	}
}

// LeaseMetrics: etcd_debugging_lease_*.
type LeaseMetrics struct {
	Granted, Revoked, Renewed, Expired prometheus.Counter
	TTL                                prometheus.Histogram // seconds granted
}

func newLeaseMetrics(f families) LeaseMetrics {
	return LeaseMetrics{
		Granted: f.counter("etcd_debugging_lease_granted_total", "Leases granted."),
		Revoked: f.counter("etcd_debugging_lease_revoked_total", "Leases revoked."),
		Renewed: f.counter("etcd_debugging_lease_renewed_total", "Leases renewed, on the leader."),
		Expired: f.counter("etcd_debugging_server_lease_expired_total", "Leases that ran out."),
		TTL:     f.histogram("etcd_debugging_lease_ttl_total", "Seconds leases were granted for.", exp(1, 2, 24)),
	}
}

// WatchMetrics: the watchers' part of etcd_debugging_*. Durations in seconds.
type WatchMetrics struct {
	Streams, Watchers, SlowWatchers, PendingEvents            prometheus.Gauge
	Events                                                    prometheus.Counter
	SendStream, SendStreamPerEvent, SendControl, SendProgress prometheus.Histogram
}

func newWatchMetrics(f families) WatchMetrics {
	const send = "etcd_debugging_server_watch_send_loop_"
	return WatchMetrics{
		Streams:            f.gauge("etcd_debugging_mvcc_watch_stream_total", "Open watch streams."),
		Watchers:           f.gauge("etcd_debugging_mvcc_watcher_total", "Watchers."),
		SlowWatchers:       f.gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are catching up."),
		PendingEvents:      f.gauge("etcd_debugging_mvcc_pending_events_total", "Events waiting to be sent."),
		Events:             f.counter("etcd_debugging_mvcc_events_total", "Events sent."),
		SendStream:         f.histogram(send+"watch_stream_duration_seconds", "Time of sending an answer with events.", exp(.001, 2, 14)),
		SendStreamPerEvent: f.histogram(send+"watch_stream_duration_per_event_seconds", "The same, by event.", exp(.001, 2, 14)),
		SendControl:        f.histogram(send+"control_stream_duration_seconds", "Time of sending an answer without events.", exp(.001, 2, 14)),
		SendProgress:       f.histogram(send+"progress_duration_seconds", "Time of sending progress.", exp(.001, 2, 14)),
	}
}

// ProcessMetrics: os_*.
type ProcessMetrics struct {
	DescriptorsUsed, DescriptorsLimit prometheus.Gauge
}

func newProcessMetrics(f families) ProcessMetrics {
	return ProcessMetrics{
		DescriptorsUsed:  f.gauge("os_fd_used", "File descriptors in use."),
		DescriptorsLimit: f.gauge("os_fd_limit", "File descriptors allowed."),
	}
}

// registerUnused registers families that etcd exports from parts Keelson does
// not have (the v2 store) or runs elsewhere (the gRPC proxy). Tests of other
// projects ask for their names.
func registerUnused(f families) {
	f.gauge("etcd_grpc_proxy_watchers_coalescing_total", "Watchers coalesced by a proxy.")
	f.counter("etcd_grpc_proxy_events_coalescing_total", "Events coalesced by a proxy.")
	f.gauge("etcd_grpc_proxy_cache_keys_total", "Keys cached by a proxy.")
	f.gauge("etcd_grpc_proxy_cache_hits_total", "Cache hits of a proxy.")
	f.gauge("etcd_grpc_proxy_cache_misses_total", "Cache misses of a proxy.")
	f.counters("etcd_debugging_store_reads_total", "Reads of the v2 store; unused.", "action")
	f.counters("etcd_debugging_store_writes_total", "Writes of the v2 store; unused.", "action")
	f.counter("etcd_debugging_store_expires_total", "Expired keys of the v2 store; unused.")
	f.counter("etcd_debugging_store_watch_requests_total", "Watches of the v2 store; unused.")
	f.gauge("etcd_debugging_store_watchers", "Watchers of the v2 store; unused.")
}
