package config

// support says how far this version goes with a setting.
type support int

const (
	// works: the setting does what it says.
	works support = iota
	// later: only the default is accepted; anything else is refused at start
	// with one clear line, so that nobody believes to be protected by it.
	later
	// noBackend: accepted and logged as being without effect, because it
	// describes a part of etcd that Keelson does not have.
	noBackend
	// severalMembers: accepted; it matters only between members, and this
	// version runs one.
	severalMembers
)

// setting is one row of the table that parsing, the help text, the list of
// what is refused and docs/configuration.md are all made from.
type setting struct {
	// name is the flag, and with it the variable; "" for a file-only key.
	name string
	// key is the dotted path in the configuration file; "" is the same as
	// name, "-" is none.
	key   string
	group string
	option
	help    string
	support support
	// what names the missing part ("TLS", "discovery") of a later setting.
	what string
	// shown replaces the default in the help text.
	shown string
}

// Groups of the help text, in order.
const (
	groupMember   = "Member"
	groupListen   = "Listeners and clients"
	groupCluster  = "Clustering"
	groupSecurity = "Security"
	groupAuth     = "Auth"
	groupMonitor  = "Profiling and monitoring"
	groupLogging  = "Logging"
	groupTracing  = "Distributed tracing"
	groupChecks   = "Consistency checks"
	groupFeatures = "Features"
	groupUnsafe   = "Unsafe (may break the guarantees of consensus)"
	noConfigKey   = "-"
)

func groups() []string {
	return []string{
		groupMember, groupListen, groupCluster, groupSecurity, groupAuth, groupMonitor,
		groupLogging, groupTracing, groupChecks, groupFeatures, groupUnsafe,
	}
}

// flagKey is the name a setting goes by in messages.
func (s setting) flagKey() string {
	if s.name == "" {
		return s.fileKey()
	}
	return s.name
}

// fileKey is the dotted path in the file, "" when there is none.
func (s setting) fileKey() string {
	switch s.key {
	case noConfigKey:
		return ""
	case "":
		return s.name
	}
	return s.key
}

// settings binds the whole table to c.
func settings(c *Config) []setting {
	var all []setting
	for _, part := range [][]setting{
		memberSettings(c), listenSettings(c), clusterSettings(c), discoverySettings(&c.Discovery),
		clientTLSSettings(&c.ClientTLS), peerTLSSettings(&c.PeerTLS), tlsSettings(c),
		monitorSettings(c), logSettings(&c.Log), tracingSettings(&c.Tracing), otherSettings(c),
	} {
		all = append(all, part...)
	}
	return all
}

func memberSettings(c *Config) []setting {
	g := groupMember
	return []setting{
		{name: "name", group: g, option: text(&c.Name),
			help: "Name of this member; unique in its cluster."},
		{name: "data-dir", group: g, option: text(&c.DataDir), shown: "${name}.etcd",
			help: "Directory for everything the member stores."},
		{name: "wal-dir", group: g, option: text(&c.WALDir),
			help: "Separate directory for the raft log, for example on a faster disk."},
		{name: "snapshot-count", group: g, option: unsigned(&c.Raft.SnapshotCount, 64),
			help: "Applied entries after which a checkpoint is taken."},
		{name: "snapshot-catchup-entries", group: g, option: unsigned(&c.Raft.SnapshotCatchUpEntries, 64),
			help: "Raft entries kept for slow members when the log is compacted."},
		{name: "max-snapshots", group: g, option: unsigned(&c.Storage.MaxSnapshots, 64),
			help: "Snapshot files to keep (0: all). Deprecated."},
		{name: "max-wals", group: g, option: unsigned(&c.Storage.MaxWALs, 64),
			help: "Raft log files to keep (0: all)."},
		{name: "heartbeat-interval", group: g, option: unsigned(&c.Raft.HeartbeatMs, 64),
			help: "Milliseconds between two heartbeats of a leader."},
		{name: "election-timeout", group: g, option: unsigned(&c.Raft.ElectionMs, 64),
			help: "Milliseconds without a leader before an election; at least five heartbeats, at most 50000."},
		{name: "initial-election-tick-advance", group: g, option: boolean(&c.Raft.InitialTickAdvance),
			help: "Shorten the wait for the first election after a start."},
		{name: "quota-backend-bytes", group: g, option: signed(&c.Storage.QuotaBytes),
			help: "Size of the store at which writes are refused (0: 2 GiB; negative: no limit)."},
		{name: "backend-bbolt-freelist-type", group: g, option: text(&c.Storage.BackendFreelist), support: noBackend,
			help: "Free list of etcd's bbolt backend; no effect, there is no such backend."},
		{name: "backend-batch-interval", group: g, option: duration(&c.Storage.BackendBatchInterval), support: noBackend,
			help: "Commit interval of etcd's bbolt backend; no effect."},
		{name: "backend-batch-limit", group: g, option: signed(&c.Storage.BackendBatchLimit), support: noBackend,
			help: "Commit batch size of etcd's bbolt backend; no effect."},
		{name: "memory-mlock", group: g, option: boolean(&c.Storage.MemoryLock), support: later, what: "locking memory",
			help: "Keep the data in RAM, out of the swap space."},
		{name: "bootstrap-defrag-threshold-megabytes", group: g, option: unsigned(&c.Storage.BootstrapDefragMB, 64),
			help: "Reclaim space before serving if at least this many MiB would be freed (0: never)."},
		{name: "max-txn-ops", group: g, option: unsigned(&c.Limits.MaxTxnOps, 64),
			help: "Operations allowed in one transaction."},
		{name: "max-request-bytes", group: g, option: unsigned(&c.Limits.MaxRequestBytes, 64),
			help: "Largest request accepted, in bytes."},
		{name: "compaction-batch-limit", group: g, option: signed(&c.Storage.CompactionBatchLimit), shown: "1000",
			help: "Revisions dropped in one step of a compaction."},
		{name: "compaction-sleep-interval", group: g, option: duration(&c.Storage.CompactionSleep), shown: "10ms",
			help: "Pause between two steps of a compaction."},
		{name: "warning-apply-duration", group: g, option: duration(&c.Warn.Apply),
			help: "Log a request whose application takes longer than this."},
		{name: "warning-unary-request-duration", group: g, option: duration(&c.Warn.UnaryRequest),
			help: "Log a request that takes longer than this from arrival to answer."},
		{name: "v2-deprecation", group: g, option: v2Deprecation(),
			help: "Stage of the removal of the v2 store. Deprecated; the value is ignored."},
	}
}

func listenSettings(c *Config) []setting {
	g := groupListen
	return []setting{
		{name: "listen-peer-urls", group: g, option: urls(&c.Listen.Peer),
			help: "URLs to listen on for other members."},
		{name: "listen-client-urls", group: g, option: urls(&c.Listen.Client),
			help: "URLs to listen on for clients: gRPC, and HTTP unless --listen-client-http-urls is given."},
		{name: "listen-client-http-urls", group: g, option: urls(&c.Listen.ClientHTTP),
			help: "URLs to listen on for clients that speak plain HTTP only; takes HTTP away from --listen-client-urls."},
		{name: "advertise-client-urls", group: g, option: urls(&c.Advertise.Client),
			help: "URLs at which clients reach this member; required with --listen-client-urls."},
		{name: "max-concurrent-streams", group: g, option: unsigned(&c.Limits.MaxConcurrentStreams, 32),
			help: "Streams a client may have open on one connection."},
		{name: "enable-grpc-gateway", group: g, option: boolean(&c.GRPC.Gateway),
			help: "Serve the JSON gateway under /v3/ (which comes with a later version)."},
		{name: "grpc-engine", group: g, option: choice(&c.GRPC.Engine, EngineStandard, EngineFast), support: later, what: "the fast gRPC engine",
			help: "What serves gRPC: 'standard' is grpc-go, 'fast' is Keelson's own engine. Not a flag of etcd."},
		{name: "grpc-keepalive-min-time", group: g, option: duration(&c.GRPC.KeepAliveMinTime),
			help: "Shortest time a client must leave between two pings."},
		{name: "grpc-keepalive-interval", group: g, option: duration(&c.GRPC.KeepAliveInterval),
			help: "Time between pings of the server to an idle client (0: off)."},
		{name: "grpc-keepalive-timeout", group: g, option: duration(&c.GRPC.KeepAliveTimeout),
			help: "Time after an unanswered ping until the connection is closed (0: off)."},
		{name: "socket-reuse-port", key: "socket-options.reuse-port", group: g, option: boolean(&c.Listen.ReusePort),
			help: "Listen with SO_REUSEPORT, so that a port in use can be bound again."},
		{name: "socket-reuse-address", key: "socket-options.reuse-address", group: g, option: boolean(&c.Listen.ReuseAddress),
			help: "Listen with SO_REUSEADDR, so that an address in TIME_WAIT can be bound."},
		{name: "cors", group: g, option: origins(&c.HTTP.CORS),
			help: "Origins allowed to read answers in a browser (empty or '*': all)."},
		{name: "host-whitelist", group: g, option: uniqueWords(&c.HTTP.HostWhitelist),
			help: "Host headers accepted on plain HTTP (empty or '*': all)."},
	}
}

func clusterSettings(c *Config) []setting {
	g := groupCluster
	return []setting{
		{name: "initial-advertise-peer-urls", group: g, option: urls(&c.Advertise.Peer),
			help: "URLs at which other members reach this one."},
		{name: "initial-cluster", group: g, option: text(&c.Cluster.Initial),
			help: "Members of a new cluster: 'name=url,name=url'. Read only without data."},
		{name: "initial-cluster-state", group: g, option: choice(&c.Cluster.State, StateNew, StateExisting),
			help: "'new' to found a cluster, 'existing' to join one. Read only without data."},
		{name: "initial-cluster-token", group: g, option: text(&c.Cluster.Token),
			help: "Word that tells clusters with equal URLs apart; part of every ID."},
		{name: "strict-reconfig-check", group: g, option: boolean(&c.Cluster.StrictReconfig), support: severalMembers,
			help: "Refuse membership changes that would lose the quorum."},
		{name: "pre-vote", group: g, option: boolean(&c.Raft.PreVote),
			help: "Ask whether an election could be won before starting it."},
		{name: "max-learners", group: g, option: signed(&c.Cluster.MaxLearners), support: severalMembers,
			help: "Learners allowed in the cluster."},
		{name: "downgrade-check-time", group: g, option: duration(&c.Cluster.DowngradeCheck), support: severalMembers,
			help: "How often the leader looks whether a downgrade is finished (0: never)."},
		{name: "raft-read-timeout", key: noConfigKey, group: g, option: duration(&c.Cluster.PeerReadTimeout), support: severalMembers,
			help: "Timeout of one read on a connection to a member; at least 5s."},
		{name: "raft-write-timeout", key: noConfigKey, group: g, option: duration(&c.Cluster.PeerWriteTimeout), support: severalMembers,
			help: "Timeout of one write on a connection to a member; at least 5s."},
		{name: "auto-compaction-mode", group: g, option: text(&c.Compaction.Mode),
			help: "How to read --auto-compaction-retention: 'periodic' (time) or 'revision' (count)."},
		{name: "auto-compaction-retention", group: g, option: text(&c.Compaction.Retention), support: later, what: "automatic compaction",
			help: "History to keep: hours or a duration, or revisions (0: do not compact)."},
	}
}

// discoverySettings all belong to a later version.
func discoverySettings(d *Discovery) []setting {
	row := func(name, key string, o option, help string) setting {
		return setting{name: name, key: key, group: groupCluster, option: o, help: help, support: later, what: "discovery"}
	}
	return []setting{
		row("discovery-endpoints", "discovery-config.client.endpoints", uniqueOutputs(&d.Endpoints), "Endpoints of the discovery service."),
		row("discovery-token", "discovery-config.token", text(&d.Token), "Token of the cluster at the discovery service."),
		row("discovery-dial-timeout", "discovery-config.client.dial-timeout", duration(&d.DialTimeout), "Timeout for connecting to the discovery service."),
		row("discovery-request-timeout", "discovery-config.client.request-timeout", duration(&d.RequestTimeout), "Timeout of one discovery request."),
		row("discovery-keepalive-time", "discovery-config.client.keepalive-time", duration(&d.KeepAliveTime), "Time between pings to the discovery service."),
		row("discovery-keepalive-timeout", "discovery-config.client.keepalive-timeout", duration(&d.KeepAliveTimeout), "Time to wait for a ping's answer."),
		row("discovery-insecure-transport", "discovery-config.client.secure.insecure-transport", boolean(&d.InsecureTransport), "Talk to the discovery service without TLS."),
		row("discovery-insecure-skip-tls-verify", "discovery-config.client.secure.insecure-skip-tls-verify", boolean(&d.InsecureSkipVerify), "Do not verify the discovery service's certificate; for tests."),
		row("discovery-cert", "discovery-config.client.secure.cert", text(&d.CertFile), "Client certificate for the discovery service."),
		row("discovery-key", "discovery-config.client.secure.key", text(&d.KeyFile), "Key of that certificate."),
		row("discovery-cacert", "discovery-config.client.secure.cacert", text(&d.CAFile), "CA certificates to verify the discovery service with."),
		row("", "discovery-config.client.secure.server-name", text(&d.ServerName), ""),
		row("discovery-user", "discovery-config.client.auth.username", text(&d.User), "User name for the discovery service."),
		row("discovery-password", "discovery-config.client.auth.password", text(&d.Password), "Password for the discovery service."),
		row("", "discovery-config.client.auth.token", text(&d.AuthToken), ""),
		row("", "discovery-config.client.max-request-bytes", signed(&d.MaxRequestBytes), ""),
		row("", "discovery-config.client.max-recv-bytes", signed(&d.MaxRecvBytes), ""),
		row("discovery-srv", "", text(&d.SRVDomain), "Domain whose DNS SRV records name the initial members."),
		row("discovery-srv-name", "", text(&d.SRVName), "Suffix of the SRV service name."),
		row("discovery-fallback", noConfigKey, choice(&d.Fallback, "exit", "proxy"), "What to do when discovery fails; only 'exit' is left."),
	}
}

func clientTLSSettings(t *TLSFiles) []setting {
	row := func(name, key string, o option, help string) setting {
		if key != noConfigKey {
			key = "client-transport-security." + key
		}
		return setting{name: name, key: key, group: groupSecurity, option: o, help: help, support: later, what: "TLS"}
	}
	return []setting{
		row("cert-file", "cert-file", text(&t.CertFile), "Certificate shown to clients."),
		row("key-file", "key-file", text(&t.KeyFile), "Key of that certificate."),
		row("client-cert-file", "client-cert-file", text(&t.ClientCertFile), "Certificate used when this member is the client."),
		row("client-key-file", "client-key-file", text(&t.ClientKeyFile), "Key of that certificate."),
		row("client-cert-auth", "client-cert-auth", boolean(&t.ClientCertAuth), "Require certificates of clients and take their CN as user name."),
		row("client-crl-file", noConfigKey, text(&t.CRLFile), "List of revoked client certificates."),
		row("client-cert-allowed-hostname", "allowed-hostname", words(&t.AllowedHostnames), "Host names a client's certificate must be valid for."),
		row("trusted-ca-file", "trusted-ca-file", text(&t.TrustedCAFile), "CA certificates for clients; giving them requires client certificates."),
		row("auto-tls", "auto-tls", boolean(&t.Auto), "Serve clients with a self-signed certificate."),
		row("", "allowed-cn", words(&t.AllowedCNs), ""),
		row("", "skip-client-san-verification", boolean(&t.SkipClientSANVerify), ""),
	}
}

func peerTLSSettings(t *TLSFiles) []setting {
	row := func(name, key string, o option, help string) setting {
		if key != noConfigKey {
			key = "peer-transport-security." + key
		}
		return setting{name: name, key: key, group: groupSecurity, option: o, help: help, support: later, what: "TLS"}
	}
	return []setting{
		row("peer-cert-file", "cert-file", text(&t.CertFile), "Certificate shown to other members."),
		row("peer-key-file", "key-file", text(&t.KeyFile), "Key of that certificate."),
		row("peer-client-cert-file", "client-cert-file", text(&t.ClientCertFile), "Certificate used when dialling other members."),
		row("peer-client-key-file", "client-key-file", text(&t.ClientKeyFile), "Key of that certificate."),
		row("peer-client-cert-auth", "client-cert-auth", boolean(&t.ClientCertAuth), "Require certificates of other members."),
		row("peer-trusted-ca-file", "trusted-ca-file", text(&t.TrustedCAFile), "CA certificates for other members."),
		row("peer-cert-allowed-cn", "allowed-cn", words(&t.AllowedCNs), "Common names accepted from other members."),
		row("peer-cert-allowed-hostname", "allowed-hostname", words(&t.AllowedHostnames), "Host names accepted from other members."),
		row("peer-auto-tls", "auto-tls", boolean(&t.Auto), "Use a self-signed certificate between members."),
		row("peer-crl-file", noConfigKey, text(&t.CRLFile), "List of revoked member certificates."),
		row("peer-skip-client-san-verification", "skip-client-san-verification", boolean(&t.SkipClientSANVerify), "Do not compare a member's address with its certificate."),
	}
}

func tlsSettings(c *Config) []setting {
	return []setting{
		{name: "self-signed-cert-validity", group: groupSecurity, option: unsigned(&c.TLS.SelfSignedYears, 64), support: later, what: "TLS",
			help: "Years a self-signed certificate is valid."},
		{name: "cipher-suites", group: groupSecurity, option: words(&c.TLS.CipherSuites), support: later, what: "TLS",
			help: "Cipher suites to use with clients and members (empty: Go's choice)."},
		{name: "tls-min-version", group: groupSecurity, option: text(&c.TLS.MinVersion), support: later, what: "TLS",
			help: "Lowest TLS version: TLS1.2 or TLS1.3."},
		{name: "tls-max-version", group: groupSecurity, option: text(&c.TLS.MaxVersion), support: later, what: "TLS",
			help: "Highest TLS version: TLS1.2 or TLS1.3 (empty: Go's choice)."},
		{name: "auth-token", group: groupAuth, option: text(&c.Auth.Token), support: later, what: "authentication",
			help: "Kind of token and its options: 'simple' or 'jwt,...'."},
		{name: "auth-token-ttl", group: groupAuth, option: unsigned(&c.Auth.TokenTTLSecs, 64), support: later, what: "authentication",
			help: "Seconds a simple token lives."},
		{name: "bcrypt-cost", group: groupAuth, option: unsigned(&c.Auth.BcryptCost, 64), support: later, what: "authentication",
			help: "Cost of hashing a password, 4 to 31."},
	}
}

func monitorSettings(c *Config) []setting {
	return []setting{
		{name: "enable-pprof", group: groupMonitor, option: boolean(&c.HTTP.Pprof),
			help: "Serve profiles under /debug/pprof/ at the client URL; also on with --log-level=debug."},
		{name: "metrics", group: groupMonitor, option: text(&c.HTTP.Metrics),
			help: "'extensive' measures the time of every RPC as well."},
		{name: "listen-metrics-urls", group: groupMonitor, option: urls(&c.Listen.Metrics),
			help: "More URLs to listen on for /metrics and the health paths."},
	}
}

func logSettings(l *Log) []setting {
	g := groupLogging
	return []setting{
		{name: "logger", group: g, option: text(&l.Logger), help: "Kind of logger; only 'zap'."},
		{name: "log-outputs", group: g, option: uniqueOutputs(&l.Outputs),
			help: "Where to log: 'default' (stderr), 'stdout', 'stderr', 'systemd/journal' or file names."},
		{name: "log-level", group: g, option: text(&l.Level),
			help: "debug, info, warn, error, dpanic, panic or fatal."},
		{name: "log-format", group: g, option: text(&l.Format), help: "json or console."},
		{name: "enable-log-rotation", group: g, option: boolean(&l.Rotate), help: "Rotate the one file in --log-outputs."},
		{name: "log-rotation-config-json", group: g, option: text(&l.RotationJSON),
			help: "When to rotate: maxsize in MB, maxage in days, maxbackups (0: no limit), localtime, compress."},
	}
}

func tracingSettings(t *Tracing) []setting {
	row := func(name string, o option, help string) setting {
		return setting{name: name, group: groupTracing, option: o, help: help, support: later, what: "distributed tracing"}
	}
	return []setting{
		row("enable-distributed-tracing", boolean(&t.Enabled), "Send OpenTelemetry spans."),
		row("distributed-tracing-address", text(&t.Address), "Address of the collector."),
		row("distributed-tracing-service-name", text(&t.ServiceName), "Name of the service; the same for all members."),
		row("distributed-tracing-instance-id", text(&t.InstanceID), "ID of this instance; different for all members."),
		row("distributed-tracing-sampling-rate", signed(&t.PerMillion), "Requests sampled out of a million."),
	}
}

func otherSettings(c *Config) []setting {
	rows := []setting{
		{name: "corrupt-check-time", group: groupChecks, option: duration(&c.Checks.Corrupt), support: severalMembers,
			help: "How often the leader compares the members' data (0: never)."},
		{name: "compact-hash-check-time", group: groupChecks, option: duration(&c.Checks.CompactHash), support: severalMembers,
			help: "How often the leader compares hashes of compacted revisions."},
		{name: "watch-progress-notify-interval", group: groupFeatures, option: duration(&c.Watch.ProgressNotifyInterval), shown: "10m",
			help: "How often quiet watchers that asked for it learn the revision."},
		{name: "feature-gates", group: groupFeatures, option: gates(&c.Gates),
			help: "Features to switch on or off, 'Name=true,Name=false':"},
		{name: "force-new-cluster", group: groupUnsafe, option: boolean(&c.ForceNewCluster), support: later, what: "recovering a lost cluster",
			help: "Make a cluster of one out of a member that lost the others."},
		{name: "unsafe-no-fsync", group: groupUnsafe, option: boolean(&c.Storage.UnsafeNoFsync),
			help: "Never wait for the disk. Loses data."},
	}
	for _, name := range []string{
		"cluster-active-size", "cluster-remove-delay", "cluster-sync-interval", "config", "force",
		"max-result-buffer", "max-retry-attempts", "peer-heartbeat-interval", "peer-election-timeout",
		"retry-interval", "snapshot", "v", "vv", "test.coverprofile", "test.outputdir",
	} {
		rows = append(rows, setting{name: name, key: noConfigKey, option: ignored()})
	}
	return rows
}
