package config

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
)

// parse runs Parse on a command line given as one string, variables, and a
// file called "f" (absent if empty).
func parse(args string, env []string, file string) (Config, Outcome) {
	return Parse(Input{
		Args:    strings.Fields(args),
		Environ: env,
		ReadFile: func(name string) ([]byte, error) {
			if name != "f" || file == "" {
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
			}
			return []byte(file), nil
		},
		Build: Build{GitSHA: "abc1234", GoVersion: "go1.26", OS: "linux", Arch: "amd64"},
	})
}

// ok parses what must be accepted.
func ok(t *testing.T, args string, env []string, file string) Config {
	t.Helper()
	c, out := parse(args, env, file)
	if out.Done || out.Err != nil || out.Fatal != nil {
		t.Fatalf("%q %q %q: %+v", args, env, file, out)
	}
	return c
}

// notes renders the log lines, one a row.
func notes(out Outcome) string {
	var b strings.Builder
	for _, n := range out.Notes {
		enc := zapcore.NewMapObjectEncoder()
		for _, f := range n.Fields {
			f.AddTo(enc)
		}
		fmt.Fprintf(&b, "%s %s %v\n", n.Level, n.Msg, enc.Fields)
	}
	return b.String()
}

func TestDefaults(t *testing.T) {
	c := ok(t, "", nil, "")
	for _, row := range []struct{ name, got, want string }{
		{"name", c.Name, "default"},
		{"data-dir", c.DataDir, "default.etcd"},
		{"initial-cluster", c.Cluster.Initial, "default=http://localhost:2380"},
		{"listen peer", c.Listen.Peer.String(), "http://localhost:2380"},
		{"listen client", c.Listen.Client.String(), "http://localhost:2379"},
		{"advertise client", c.Advertise.Client.String(), "http://localhost:2379"},
		{"request timeout", c.Raft.RequestTimeout().String(), "7s"},
		{"progress", c.Watch.ProgressNotifyInterval.String(), "10m0s"},
		{"compaction sleep", c.Storage.CompactionSleep.String(), "10ms"},
		{"ticks", fmt.Sprint(c.Raft.ElectionTicks()), "10"},
		{"request bytes", fmt.Sprint(c.Limits.MaxRequestBytes), "1572864"},
		{"streams", fmt.Sprint(c.Limits.MaxConcurrentStreams), "4294967295"},
	} {
		if row.got != row.want {
			t.Errorf("%s: %s, want %s", row.name, row.got, row.want)
		}
	}
	if q, ok := c.Storage.Quota(); !ok || q != 2147483648 {
		t.Errorf("quota %d %v", q, ok)
	}
	if err := c.CheckBootstrap(t.Context(), nil); err != nil {
		t.Errorf("bootstrap: %v", err)
	}
}

// TestRefusals has one row for each mistake of the reference: what it ends
// with (2 at once, 1 through "failed to verify flags") and its text.
func TestRefusals(t *testing.T) {
	for _, row := range []struct {
		args, file string
		env        []string
		code       int
		want       string // start of stderr for 2, whole error for 1
	}{
		{args: "--nope", code: 2, want: "flag provided but not defined: -nope\n\nUsage:\n"},
		{args: "--experimental-initial-corrupt-check=true", code: 2, want: "flag provided but not defined: -experimental-initial-corrupt-check\n"},
		{args: "--enable-v2", code: 2, want: "flag provided but not defined: -enable-v2\n"},
		{args: "--quota-backend-bytes=8GB", code: 2, want: `invalid value "8GB" for flag -quota-backend-bytes: parse error` + "\n\nUsage"},
		{args: "--heartbeat-interval=-1", code: 2, want: `invalid value "-1" for flag -heartbeat-interval: parse error`},
		{args: "--max-concurrent-streams=4294967296", code: 2, want: `invalid value "4294967296" for flag -max-concurrent-streams: value out of range`},
		{args: "--warning-apply-duration=10", code: 2, want: `invalid value "10" for flag -warning-apply-duration: parse error`},
		{args: "--pre-vote=maybe", code: 2, want: `invalid boolean value "maybe" for -pre-vote: parse error`},
		{args: "--name", code: 2, want: "flag needs an argument: -name"},
		{args: "--initial-cluster-state=old", code: 2, want: `invalid value "old" for flag -initial-cluster-state: invalid value`},
		{args: "--grpc-engine=warp", code: 2, want: `invalid value "warp" for flag -grpc-engine: invalid value`},
		{args: "--v2-deprecation=not-yet", code: 2, want: `invalid value "not-yet" for flag -v2-deprecation: invalid value "not-yet"`},
		{args: "--feature-gates=Nope=true", code: 2, want: `invalid value "Nope=true" for flag -feature-gates: unrecognized feature gate: Nope`},
		{args: "--feature-gates=LeaseCheckpoint", code: 2, want: `invalid value "LeaseCheckpoint" for flag -feature-gates: missing bool value for LeaseCheckpoint`},
		{args: "--listen-client-urls=ftp://127.0.0.1:1", code: 2, want: `invalid value "ftp://127.0.0.1:1" for flag -listen-client-urls: URL scheme must be http, https, unix, or unixs: ftp://127.0.0.1:1`},
		{args: "--listen-client-urls=http://127.0.0.1", code: 2, want: `invalid value "http://127.0.0.1" for flag -listen-client-urls: URL address does not have the form "host:port": http://127.0.0.1`},
		{args: "--listen-client-urls=http://127.0.0.1:1/", code: 2, want: `invalid value "http://127.0.0.1:1/" for flag -listen-client-urls: URL must not contain a path: http://127.0.0.1:1/`},
		{args: "--cors=http://a", code: 2, want: `invalid value "http://a" for flag -cors: URL address does not have the form "host:port": http://a`},
		{args: "--log-level=loud", code: 2, want: `panic: unrecognized level: "loud"`},

		{args: "--pre-vote true", code: 1, want: `"true" is not a valid flag`},
		{args: "serve", code: 1, want: `"serve" is not a valid flag`},
		{env: []string{"ETCD_HEARTBEAT_INTERVAL=x"}, code: 1, want: `invalid value "x" for ETCD_HEARTBEAT_INTERVAL: parse error`},
		{args: "--heartbeat-interval=0", code: 1, want: "--heartbeat-interval must be >0 (set to 0ms)"},
		{args: "--election-timeout=0", code: 1, want: "--election-timeout must be >0 (set to 0ms)"},
		{args: "--election-timeout=499", code: 1, want: "--election-timeout[499ms] should be at least as 5 times as --heartbeat-interval[100ms]"},
		{args: "--election-timeout=50001", code: 1, want: "--election-timeout[50001ms] is too long, and should be set less than 50000ms"},
		{args: "--heartbeat-interval=3689348814741910324", code: 1, want: "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[3689348814741910324ms]"},
		{args: "--listen-client-urls=http://127.0.0.1:1", code: 1, want: "--advertise-client-urls is required when --listen-client-urls is set explicitly"},
		{env: []string{"ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:1"}, code: 1, want: "--advertise-client-urls is required when --listen-client-urls is set explicitly"},
		{args: "--listen-peer-urls=http://example.com:1", code: 1, want: "expected IP in URL for binding (http://example.com:1)"},
		{args: "--listen-peer-urls=http://:1", code: 1, want: "expected IP in URL for binding (http://:1)"},
		{args: "--listen-metrics-urls=http://example.com:1", code: 1, want: "expected IP in URL for binding (http://example.com:1)"},
		{args: "--listen-client-http-urls=http://localhost:2379", code: 1, want: "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url http://localhost:2379"},
		{args: "--initial-advertise-peer-urls=http://:1", code: 1, want: `--initial-advertise-peer-urls "http://:1" must be "host:port" (unexpected empty host (http://:1))`},
		{args: "--advertise-client-urls=http://:1", code: 1, want: `--advertise-client-urls "http://:1" must be in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket" (unexpected empty host (http://:1))`},
		{args: "--initial-cluster=a=http://h:1 --discovery-srv=x", code: 1, want: `multiple discovery or bootstrap flags are set. Choose one of "initial-cluster", "discovery-endpoints" or "discovery-srv"`},
		{args: "--discovery-token=x", code: 1, want: "both --discovery-token and --discovery-endpoints must be set"},
		{args: "--discovery-token=x --discovery-endpoints=a,,b", code: 1, want: "--discovery-endpoints must not contain empty endpoints"},
		{args: "--discovery-fallback=proxy", code: 1, want: `v2 proxy is deprecated, and --discovery-fallback can't be configured as "proxy"`},
		{args: "--auto-compaction-mode=x", code: 1, want: `unknown auto-compaction-mode "x"`},
		{args: "--auto-compaction-mode=", code: 1, want: "undefined auto-compaction-mode"},
		{args: "--auto-compaction-retention=x", code: 1, want: `error parsing CompactionRetention: time: invalid duration "x"`},
		{args: "--enable-distributed-tracing --distributed-tracing-sampling-rate=-1", code: 1, want: "distributed tracing configurition is not valid: (tracing sampling rate must be positive)"},
		{args: "--enable-distributed-tracing --distributed-tracing-sampling-rate=1000001", code: 1, want: "distributed tracing configurition is not valid: (tracing sampling rate must be less than 1000000)"},
		{args: "--feature-gates=LeaseCheckpointPersist=true", code: 1, want: "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"},
		{args: "--compact-hash-check-time=0s", code: 1, want: "--compact-hash-check-time must be >0 (set to 0s)"},
		{args: "--logger=capnslog", code: 1, want: "--logger=capnslog is removed in v3.5"},
		{args: "--logger=x", code: 1, want: `unknown logger option "x"`},
		{args: "--log-format=x", code: 1, want: "unknown log format: x, supported values json, console"},
		{args: "--log-outputs=default,stdout", code: 1, want: `multi logoutput for "default" is not supported yet`},
		{args: "--enable-log-rotation", code: 1, want: "--log-outputs requires a single file path when --log-rotate-config-json is defined"},
		{args: "--enable-log-rotation --log-outputs=a.log --log-rotation-config-json={", code: 1, want: "improperly formatted log rotation config: unexpected end of JSON input"},
		{args: `--enable-log-rotation --log-outputs=a.log --log-rotation-config-json={"maxsize":"x"}`, code: 1, want: "invalid log rotation config: json: cannot unmarshal string into Go struct field LogRotation.maxsize of type int"},
		{args: "--tls-min-version=TLS1.1", code: 1, want: `unexpected TLS version "TLS1.1" (must be one of: TLS1.2, TLS1.3)`},
		{args: "--tls-min-version=TLS1.3 --tls-max-version=TLS1.2", code: 1, want: "min version (TLS1.3) is greater than max version (TLS1.2)"},
		{args: "--tls-min-version=TLS1.3 --cipher-suites=TLS_AES_128_GCM_SHA256", code: 1, want: "cipher suites cannot be configured when only TLS1.3 is enabled"},
		{args: "--cipher-suites=x", code: 1, want: `unexpected TLS cipher suite "x"`},
		{args: "--peer-cert-allowed-cn=a --peer-cert-allowed-hostname=b", code: 1, want: "AllowedCNs and AllowedHostnames are mutually exclusive (cns=[a], hostnames=[b])"},
		{args: "--listen-client-urls=https://127.0.0.1:1 --advertise-client-urls=https://h:1", code: 1, want: "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme"},
		{args: "--listen-peer-urls=https://127.0.0.1:1", code: 1, want: "cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented"},
		{args: "--listen-metrics-urls=https://127.0.0.1:1", code: 1, want: "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url"},
		{args: "--config-file=missing", code: 1, want: "open missing: file does not exist"},

		{args: "--config-file=f", file: "quota-backend-bytes: lots", code: 1, want: "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go struct field configYAML.quota-backend-bytes of type int64"},
		{args: "--config-file=f", file: "watch-progress-notify-interval: 10m", code: 1, want: "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go struct field configYAML.watch-progress-notify-interval of type time.Duration"},
		{args: "--config-file=f", file: "log-outputs: stdout", code: 1, want: "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go struct field configYAML.log-outputs of type []string"},
		{args: "--config-file=f", file: "initial-cluster-state: odd", code: 1, want: `unexpected clusterState "odd"`},
		{args: "--config-file=f", file: "feature-gates: Nope=true", code: 1, want: "unrecognized feature gate: Nope"},
		{args: "--config-file=f", file: "peer-transport-security: {cert-file: p.crt}", code: 1, want: "not supported yet: peer-transport-security.cert-file=p.crt (TLS comes with a later version)"},
		{args: "--config-file=f", file: "a: [", code: 1, want: "error converting YAML to JSON: yaml: line 1: did not find expected node content"},
		{args: "--config-file=f", file: "just words", code: 1, want: "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go value of type config.object"},
		{args: "--config-file=f", file: "listen-peer-urls: nope://x", code: -1, want: "unexpected error setting up listen-peer-urls: URL scheme must be http, https, unix, or unixs: nope://x\n"},
		{args: "--config-file=f", file: "cors: nope", code: 2, want: "panic: new UniqueURLs should never fail: URL scheme must be http, https, unix, or unixs: nope\n"},

		{args: "--cert-file=a --key-file=b --client-cert-auth", code: 1, want: "not supported yet: --cert-file=a, --key-file=b, --client-cert-auth=true (TLS comes with a later version)"},
		{args: "--auth-token=jwt,sign-method=RS256 --auto-tls", code: 1, want: "not supported yet: --auto-tls=true, --auth-token=jwt,sign-method=RS256 (TLS, authentication comes with a later version)"},
		{args: "--discovery-srv=example.com", code: 1, want: "not supported yet: --discovery-srv=example.com (discovery comes with a later version)"},
		{args: "--grpc-engine=fast", code: 1, want: "not supported yet: --grpc-engine=fast (the fast gRPC engine comes with a later version)"},
		{args: "--auto-compaction-retention=1", code: 1, want: "not supported yet: --auto-compaction-retention=1 (automatic compaction comes with a later version)"},
		{args: "--force-new-cluster", code: 1, want: "not supported yet: --force-new-cluster=true (recovering a lost cluster comes with a later version)"},
		{args: "--enable-distributed-tracing", code: 1, want: "not supported yet: --enable-distributed-tracing=true (distributed tracing comes with a later version)"},
		{args: "--advertise-client-urls=unixs://x --listen-client-urls=unixs://x --cert-file=", code: 1, want: "TLS key/cert (--cert-file, --key-file) must be provided for client url unixs://x with HTTPS scheme"},
	} {
		_, out := parse(row.args, row.env, row.file)
		got, code := "", 0
		switch {
		case out.Done && out.Code == 1:
			got, code = out.Stderr, -1 // printed, not logged
		case out.Done:
			got, code = out.Stderr, out.Code
		case out.Err != nil:
			got, code = out.Err.Error(), 1
		}
		fits := got == row.want || code == 2 && strings.HasPrefix(got, row.want)
		if code != row.code || !fits {
			t.Errorf("%s %s %s\n got  %d %q\n want %d %q", row.args, row.env, row.file, code, got, row.code, row.want)
		}
	}
}

func TestAccepted(t *testing.T) {
	for _, row := range []struct {
		args, file string
		env        []string
		got        func(Config) any
		want       any
	}{
		{args: "-name n1 --name=n2", got: func(c Config) any { return c.Name }, want: "n2"},
		{args: "--name=n", got: func(c Config) any { return c.DataDir }, want: "n.etcd"},
		{args: "--name=n", got: func(c Config) any { return c.Cluster.Initial }, want: "n=http://localhost:2380"},
		{args: "--name=n --initial-advertise-peer-urls=http://h:2,http://g:1", got: func(c Config) any { return c.Cluster.Initial }, want: "n=http://g:1,n=http://h:2"},
		{args: "--snapshot-count=0x10", got: func(c Config) any { return c.Raft.SnapshotCount }, want: uint64(16)},
		{args: "--snapshot-count=0", got: func(c Config) any { return c.Raft.SnapshotCount }, want: uint64(10000)},
		{args: "--snapshot-catchup-entries=0", got: func(c Config) any { return c.Raft.SnapshotCatchUpEntries }, want: uint64(5000)},
		{args: "--election-timeout=1050", got: func(c Config) any { return c.Raft.ElectionTicks() }, want: 10},
		{args: "--quota-backend-bytes=-1", got: func(c Config) any { _, ok := c.Storage.Quota(); return ok }, want: false},
		{args: "--watch-progress-notify-interval=1ms", got: func(c Config) any { return c.Watch.ProgressNotifyInterval.String() }, want: "100ms"},
		{args: "--warning-unary-request-duration=0", got: func(c Config) any { return c.Warn.UnaryRequest.String() }, want: "300ms"},
		{args: "--raft-read-timeout=1s", got: func(c Config) any { return c.Cluster.PeerReadTimeout.String() }, want: "5s"},
		{args: "--listen-peer-urls=", got: func(c Config) any { return c.Listen.Peer.String() }, want: DefaultPeerURL},
		{args: "--listen-metrics-urls=http://127.0.0.1:2,http://127.0.0.1:1,http://127.0.0.1:2", got: func(c Config) any { return c.Listen.Metrics.String() }, want: "http://127.0.0.1:1,http://127.0.0.1:2"},
		{args: "--listen-peer-urls=unix:///run/x.sock", got: func(c Config) any { n, a := Address(c.Listen.Peer[0]); return n + a }, want: "unix/run/x.sock"},
		{args: "--listen-peer-urls=unix://name:1", got: func(c Config) any { n, a := Address(c.Listen.Peer[0]); return n + a }, want: "unixname:1"},
		{args: "--v --config=x --force", got: func(c Config) any { return c.Name }, want: "default"},
		{args: "--v2-deprecation=write-only,gone", got: func(c Config) any { return c.Name }, want: "default"},
		{args: "--host-whitelist=b,a", got: func(c Config) any { return strings.Join(c.HTTP.HostWhitelist, " ") }, want: "a b"},
		{args: "--feature-gates=InitialCorruptCheck=true", got: func(c Config) any { return c.Gates.Enabled(GateInitialCorruptCheck) }, want: true},
		{args: "--feature-gates=AllAlpha=true,PriorityRequest=false", got: func(c Config) any {
			return c.Gates.Enabled(GatePriorityRequest) || !c.Gates.Enabled(GateCompactHashCheck)
		}, want: false},
		{args: "--feature-gates=AllBeta=false", got: func(c Config) any { return c.Gates.Enabled(GateFastLeaseKeepAlive) }, want: false},
		{args: "--auto-compaction-retention=0s", got: func(c Config) any { return c.Compaction.Period.String() }, want: "0s"},
		{args: "--auto-compaction-mode=revision", got: func(c Config) any { return c.Compaction.Revisions }, want: int64(0)},
		{args: "--enable-log-rotation --log-outputs=a.log", got: func(c Config) any { return c.Log.Rotation.MaxSizeMB }, want: 100},
		{args: "--metrics=odd", got: func(c Config) any { return c.HTTP.ExtensiveMetrics() }, want: false},
		{args: "--discovery-insecure-transport=true --tls-min-version=TLS1.2", got: func(c Config) any { return c.Name }, want: "default"},

		{env: []string{"ETCD_NAME=e", "ETCD_NAME=later", "ETCD_DATA_DIR="}, got: func(c Config) any { return c.DataDir }, want: "e.etcd"},
		{env: []string{"ETCD_ON_K8S=yes", "ETCD_PROXY=off", "nonsense", "PATH=/bin"}, got: func(c Config) any { return c.Name }, want: "default"},
		{env: []string{"ETCD_SNAPSHOT=1", "ETCD_VERSION=3"}, got: func(c Config) any { return c.Name }, want: "default"},
		{env: []string{"ETCD_GRPC_ENGINE=standard"}, got: func(c Config) any { return c.GRPC.Engine }, want: "standard"},

		{args: "--config-file=f --name=x", env: []string{"ETCD_NAME=y"}, file: "name: z", got: func(c Config) any { return c.Name }, want: "z"},
		{env: []string{"ETCD_CONFIG_FILE=f"}, file: `{"Name": "z"}`, got: func(c Config) any { return c.Name }, want: "z"},
		{args: "--config-file=f", file: "#", got: func(c Config) any { return c.Name }, want: "default"},
		{args: "--config-file=f", file: "name: null\nsnapshot-count: ~", got: func(c Config) any { return c.Name }, want: "default"},
		{args: "--config-file=f", file: "auto-compaction-retention: 0\ninitial-cluster-token: 17\nname: true", got: func(c Config) any { return c.Cluster.Token + c.Name }, want: "17true"},
		{args: "--config-file=f", file: "watch-progress-notify-interval: 5000000000", got: func(c Config) any { return c.Watch.ProgressNotifyInterval.String() }, want: "5s"},
		{args: "--config-file=f", file: "listen-client-urls: http://127.0.0.1:1", got: func(c Config) any { return c.Advertise.Client.String() }, want: DefaultClientURL},
		{args: "--config-file=f", file: "log-outputs: [stdout, 5]", got: func(c Config) any { return strings.Join(c.Log.Outputs, " ") }, want: "stdout 5"},
		{args: "--config-file=f", file: "socket-options: {reuse-port: true}", got: func(c Config) any { return c.Listen.ReusePort }, want: true},
		{args: "--config-file=f", file: "initial-cluster-state: ''\nself-signed-cert-validity: 0", got: func(c Config) any { return c.Cluster.State }, want: "new"},
		{args: "--config-file=f", file: "experimental-initial-corrupt-check: true\nproxy: off", got: func(c Config) any { return c.Name }, want: "default"},
		{args: "--config-file=f", file: "client-transport-security:\n  cert-file: ''\n", got: func(c Config) any { return c.Name }, want: "default"},
		{args: "--config-file=f --raft-write-timeout=9s", file: "name: a", got: func(c Config) any { return c.Cluster.PeerWriteTimeout.String() }, want: "9s"},
		{args: "--config-file=f", file: "log-format: console\ncors: ''", got: func(c Config) any { return strings.Join(c.HTTP.CORS, "") + c.Log.Format }, want: "*console"},
		{args: "--config-file=f", file: "name: m2", got: func(c Config) any { return c.Cluster.Initial }, want: "m2=http://localhost:2380"},
	} {
		c := ok(t, row.args, row.env, row.file)
		if got := row.got(c); got != row.want {
			t.Errorf("%s %s %s\n got  %v\n want %v", row.args, row.env, row.file, got, row.want)
		}
	}
}

func TestConflictIsFatal(t *testing.T) {
	for _, env := range []string{"ETCD_NAME=x", "ETCD_NAME="} {
		_, out := parse("--name=y", []string{env}, "")
		if out.Fatal == nil || !strings.HasPrefix(out.Fatal.Msg, "conflicting environment variable is shadowed by corresponding command-line flag (either unset") {
			t.Errorf("%s: %+v", env, out)
		}
	}
	// With a file neither counts, and there is no conflict.
	ok(t, "--name=y --config-file=f", []string{"ETCD_NAME=x"}, "name: z")
}

func TestNotes(t *testing.T) {
	_, out := parse("--max-snapshots=1 --v2-deprecation=gone --max-request-bytes=10485761 --quota-backend-bytes=8589934593 --backend-batch-limit=5",
		[]string{"ETCD_DATA_DIR=d", "ETCD_VERSION=3", "ETCD_ON_K8S=yes", "ETCD_SNAPSHOT_COUNT=0"}, "")
	got := notes(out)
	for _, want := range []string{
		"warn cannot set special environment variable map[key:ETCD_VERSION value:3]\n",
		"info recognized and used environment variable map[variable-name:ETCD_DATA_DIR variable-value:d]\n",
		"warn unrecognized environment variable map[environment-variable:ETCD_ON_K8S=yes]\n",
		"warn --max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8. map[]\n",
		"warn --v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, ignoring user input. map[]\n",
		"warn Running http and grpc server on single port. This is not recommended for production. map[]\n",
		"warn it isn't recommended to use default name",
		"warn exceeded recommended request limit ",
		"warn quota exceeds the maximum value ",
		"info updating snapshot-count to default ",
		"warn --backend-batch-limit has no effect: there is no bbolt backend map[]\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
	_, out = parse("", []string{"ETCD_DISCOVERY_PASSWORD=s3cret", "ETCD_DISCOVERY_USER=u"}, "")
	if strings.Contains(notes(out)+out.Err.Error(), "s3cret") {
		t.Errorf("a password in the log: %s %v", notes(out), out.Err)
	}
	_, out = parse("--config-file=f", nil, "name: x")
	if !strings.HasPrefix(notes(out), "info loaded server configuration, other configuration command line flags and environment variables will be ignored if provided map[path:f]\n") {
		t.Errorf("file: %s", notes(out))
	}
}

// TestBrokenLogOptions: the refusal must still find a logger that works.
func TestBrokenLogOptions(t *testing.T) {
	c, out := parse("--log-format=x --log-outputs=a.log", nil, "")
	if out.Err == nil || c.Log.Format != "json" || c.Log.Outputs[0] != "default" {
		t.Errorf("%+v %v", c.Log, out.Err)
	}
}
