package config

import "time"

// Config is everything an operator can decide about one member. Values are
// effective ones: where a flag says "0 means the default", the default is
// already filled in. It is handed down in parts and never changed after Parse
// (UseDefaultHost returns a changed copy).
type Config struct {
	Name    string
	DataDir string // never empty
	WALDir  string // "" is the usual place inside DataDir
	// ForceNewCluster turns the member of a lost cluster into a cluster of one.
	ForceNewCluster bool

	Listen     Listen
	Advertise  Advertise
	Cluster    Cluster
	Raft       Raft
	Storage    Storage
	Limits     Limits
	GRPC       GRPC
	HTTP       HTTP
	Compaction AutoCompaction
	Watch      Watch
	Warn       Warn
	Checks     Checks
	Log        Log
	ClientTLS  TLSFiles
	PeerTLS    TLSFiles
	TLS        TLSPolicy
	Auth       Auth
	Discovery  Discovery
	Tracing    Tracing
	Gates      Gates

	// derivedInitial: Cluster.Initial was made from the name, and follows
	// the advertised peer URLs.
	derivedInitial bool
}

// Listen is where the member accepts connections.
type Listen struct {
	Peer URLs
	// Client serves gRPC, and HTTP as well while ClientHTTP is empty.
	Client     URLs
	ClientHTTP URLs
	// Metrics serves /metrics and the health paths only.
	Metrics      URLs
	ReusePort    bool
	ReuseAddress bool
}

// Advertise is what the member tells others about where it can be reached.
type Advertise struct {
	Peer   URLs
	Client URLs
}

// States of the cluster a member without data starts into.
const (
	StateNew      = "new"
	StateExisting = "existing"
)

// Cluster says which cluster a member without data becomes part of, and how
// membership may change later.
type Cluster struct {
	// Initial is "name=url,name=url"; Members parses it.
	Initial        string
	State          string
	Token          string
	StrictReconfig bool
	MaxLearners    int
	// DowngradeCheck is how often the leader looks whether a downgrade has
	// finished; 0 is never.
	DowngradeCheck time.Duration
	// PeerReadTimeout and PeerWriteTimeout bound one read or write on a peer
	// connection; at least 5s.
	PeerReadTimeout  time.Duration
	PeerWriteTimeout time.Duration
}

// Raft is the pace of consensus and how much of its log is kept.
type Raft struct {
	HeartbeatMs uint
	ElectionMs  uint
	// InitialTickAdvance fast-forwards the first election at boot.
	InitialTickAdvance bool
	PreVote            bool
	// SnapshotCount is how many applied entries make a checkpoint due.
	SnapshotCount uint64
	// SnapshotCatchUpEntries is how many entries stay readable for slow
	// members after the log was compacted.
	SnapshotCatchUpEntries uint64
}

// ElectionTicks is the election timeout in heartbeat ticks, rounded down as
// etcd does.
func (r Raft) ElectionTicks() int { return int(r.ElectionMs / r.HeartbeatMs) }

// Heartbeat is the length of one tick.
func (r Raft) Heartbeat() time.Duration { return time.Duration(r.HeartbeatMs) * time.Millisecond }

// ElectionTimeout is the configured election timeout.
func (r Raft) ElectionTimeout() time.Duration {
	return time.Duration(r.ElectionMs) * time.Millisecond
}

// RequestTimeout bounds a proposal or a linearizable read: 5 s for queues and
// disks, and two elections for a leader that is lost on the way.
func (r Raft) RequestTimeout() time.Duration { return 5*time.Second + 2*r.ElectionTimeout() }

// Storage is what the member keeps on disk and how hard it tries.
type Storage struct {
	// QuotaBytes as given: 0 is the default, negative is none. Use Quota.
	QuotaBytes int64
	// UnsafeNoFsync skips every sync: tests only.
	UnsafeNoFsync bool
	MaxSnapshots  uint // 0 is no limit
	MaxWALs       uint // 0 is no limit
	MemoryLock    bool
	// CompactionBatchLimit and CompactionSleep pace the physical compaction.
	CompactionBatchLimit int
	CompactionSleep      time.Duration
	// BootstrapDefragMB is how many MiB must be reclaimable for the member to
	// defragment before it serves; 0 is never.
	BootstrapDefragMB uint
	// The three below describe etcd's bbolt backend. Keelson has none.
	BackendFreelist      string
	BackendBatchInterval time.Duration
	BackendBatchLimit    int
}

// Quota returns the space quota in bytes; ok is false when there is none.
func (s Storage) Quota() (limitBytes int64, ok bool) {
	switch {
	case s.QuotaBytes < 0:
		return 0, false
	case s.QuotaBytes == 0:
		return DefaultQuotaBytes, true
	}
	return s.QuotaBytes, true
}

// Limits bounds what one request or one connection may ask for.
type Limits struct {
	// MaxRequestBytes bounds an encoded raft request.
	MaxRequestBytes uint
	MaxTxnOps       uint
	// MaxConcurrentStreams bounds the HTTP/2 streams of one connection.
	MaxConcurrentStreams uint32
}

// Engines that can serve gRPC.
const (
	EngineStandard = "standard"
	EngineFast     = "fast"
)

// GRPC is how the client port speaks gRPC.
type GRPC struct {
	Engine string
	// KeepAliveMinTime is the shortest interval between a client's pings; <= 0
	// leaves gRPC's own five minutes.
	KeepAliveMinTime  time.Duration
	KeepAliveInterval time.Duration
	KeepAliveTimeout  time.Duration
	// Gateway is the JSON gateway under /v3/.
	Gateway bool
}

// HTTP is how the client port answers plain HTTP.
type HTTP struct {
	// CORS holds the allowed origins, HostWhitelist the allowed Host headers;
	// empty or "*" is all.
	CORS          []string
	HostWhitelist []string
	Pprof         bool
	// Metrics is "basic" or "extensive"; anything else counts as basic.
	Metrics string
}

// ExtensiveMetrics reports whether RPC latencies are measured.
func (h HTTP) ExtensiveMetrics() bool { return h.Metrics == "extensive" }

// Modes of automatic compaction.
const (
	CompactPeriodic = "periodic"
	CompactRevision = "revision"
)

// AutoCompaction says how much history is kept.
type AutoCompaction struct {
	Mode      string
	Retention string
	// Period (periodic) or Revisions (revision) is what Retention comes to; 0
	// is off.
	Period    time.Duration
	Revisions int64
}

// off: nothing is compacted without a request.
func (a AutoCompaction) off() bool { return a.Period == 0 && a.Revisions == 0 }

// Watch holds what concerns watchers.
type Watch struct {
	ProgressNotifyInterval time.Duration
}

// Warn holds the durations above which a request is logged as slow.
type Warn struct {
	Apply        time.Duration
	UnaryRequest time.Duration
}

// Checks holds how often members compare their data.
type Checks struct {
	Corrupt     time.Duration // 0 is never
	CompactHash time.Duration
}

// Log says what is logged where. Rotation is meaningful with Rotate.
type Log struct {
	Logger       string
	Level        string
	Format       string
	Outputs      []string
	Rotate       bool
	RotationJSON string
	Rotation     LogRotation
}

// LogRotation is the parsed --log-rotation-config-json.
type LogRotation struct {
	MaxSizeMB  int  `json:"maxsize"`
	MaxAgeDays int  `json:"maxage"`
	MaxBackups int  `json:"maxbackups"`
	LocalTime  bool `json:"localtime"`
	Compress   bool `json:"compress"`
}

// Debug reports whether debug lines are logged, which also opens pprof.
func (l Log) Debug() bool { return l.Level == "debug" }

// TLSFiles is the TLS material of one side (client or peer).
type TLSFiles struct {
	CertFile, KeyFile             string
	ClientCertFile, ClientKeyFile string
	ClientCertAuth                bool
	TrustedCAFile                 string
	CRLFile                       string
	AllowedCNs                    []string
	AllowedHostnames              []string
	Auto                          bool
	SkipClientSANVerify           bool
}

// TLSPolicy is what both sides share.
type TLSPolicy struct {
	CipherSuites    []string
	MinVersion      string
	MaxVersion      string
	SelfSignedYears uint
}

// Auth is how users prove who they are.
type Auth struct {
	Token        string
	TokenTTLSecs uint
	BcryptCost   uint
}

// Discovery is how a new cluster finds its members.
type Discovery struct {
	Endpoints          []string
	Token              string
	DialTimeout        time.Duration
	RequestTimeout     time.Duration
	KeepAliveTime      time.Duration
	KeepAliveTimeout   time.Duration
	InsecureTransport  bool
	InsecureSkipVerify bool
	CertFile           string
	KeyFile            string
	CAFile             string
	ServerName         string
	User               string
	Password           string
	AuthToken          string
	MaxRequestBytes    int
	MaxRecvBytes       int
	SRVDomain          string
	SRVName            string
	Fallback           string
}

// set reports whether any way of discovery was asked for.
func (d Discovery) set() bool {
	return d.SRVDomain != "" || d.SRVName != "" || len(d.Endpoints) > 0
}

// Tracing is where OpenTelemetry spans go.
type Tracing struct {
	Enabled     bool
	Address     string
	ServiceName string
	InstanceID  string
	// PerMillion is how many of a million requests are sampled.
	PerMillion int
}

// Defaults that other packages name too.
const (
	DefaultName             = "default"
	DefaultPeerURL          = "http://localhost:2380"
	DefaultClientURL        = "http://localhost:2379"
	DefaultQuotaBytes       = 2 << 30
	SuggestedMaxQuotaBytes  = 8 << 30
	defaultSnapshotCount    = 10000
	defaultCatchUpEntries   = 5000
	defaultProgressNotify   = 10 * time.Minute
	minProgressNotify       = 100 * time.Millisecond
	minPeerTimeout          = 5 * time.Second
	maxElectionMs           = 50000
	recommendedRequestBytes = 10 << 20
	defaultRotationJSON     = `{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}`
)

// Default is a member started without any flag. DataDir is still empty, and
// numbers that mean "the default" are still 0.
func Default() Config {
	peer, client := mustURLs(DefaultPeerURL), mustURLs(DefaultClientURL)
	return Config{
		Name:      DefaultName,
		Listen:    Listen{Peer: peer, Client: client},
		Advertise: Advertise{Peer: peer, Client: client},
		Cluster: Cluster{
			Initial:          DefaultName + "=" + DefaultPeerURL,
			State:            StateNew,
			Token:            "etcd-cluster",
			StrictReconfig:   true,
			MaxLearners:      1,
			DowngradeCheck:   5 * time.Second,
			PeerReadTimeout:  minPeerTimeout,
			PeerWriteTimeout: minPeerTimeout,
		},
		Raft: Raft{
			HeartbeatMs:            100,
			ElectionMs:             1000,
			InitialTickAdvance:     true,
			PreVote:                true,
			SnapshotCount:          defaultSnapshotCount,
			SnapshotCatchUpEntries: defaultCatchUpEntries,
		},
		Storage: Storage{MaxSnapshots: 5, MaxWALs: 5},
		Limits: Limits{
			MaxRequestBytes:      1536 << 10,
			MaxTxnOps:            128,
			MaxConcurrentStreams: 1<<32 - 1,
		},
		GRPC: GRPC{
			Engine:            EngineStandard,
			KeepAliveMinTime:  5 * time.Second,
			KeepAliveInterval: 2 * time.Hour,
			KeepAliveTimeout:  20 * time.Second,
			Gateway:           true,
		},
		HTTP:       HTTP{CORS: []string{"*"}, HostWhitelist: []string{"*"}, Metrics: "basic"},
		Compaction: AutoCompaction{Mode: CompactPeriodic, Retention: "0"},
		Warn:       Warn{Apply: 100 * time.Millisecond, UnaryRequest: 300 * time.Millisecond},
		Checks:     Checks{CompactHash: time.Minute},
		Log: Log{
			Logger:       "zap",
			Level:        "info",
			Format:       "json",
			Outputs:      []string{"default"},
			RotationJSON: defaultRotationJSON,
		},
		TLS:  TLSPolicy{MinVersion: "TLS1.2", SelfSignedYears: 1},
		Auth: Auth{Token: "simple", TokenTTLSecs: 300, BcryptCost: 10},
		Discovery: Discovery{
			DialTimeout:       2 * time.Second,
			RequestTimeout:    5 * time.Second,
			KeepAliveTime:     2 * time.Second,
			KeepAliveTimeout:  6 * time.Second,
			InsecureTransport: true,
			Fallback:          "exit",
		},
		Tracing: Tracing{Address: "localhost:4317", ServiceName: "etcd"},
		Gates:   newGates(),
	}
}
