package config

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// validate checks in etcd's order, so that of two mistakes the same one is
// reported. The texts are etcd's.
func (p *parser) validate() error {
	c := &p.c
	if c.Discovery.Fallback == "proxy" {
		return fmt.Errorf("v2 proxy is deprecated, and --discovery-fallback can't be configured as %q", "proxy")
	}
	checks := []func() error{
		p.checkURLs, c.checkBootstrapFlags, c.checkDiscovery, c.Raft.check,
		p.checkAdvertise, c.checkCompaction, c.checkTracing, p.checkGates,
		c.checkHashTime, p.checkName, c.checkTLSPolicy, c.checkTLSFiles,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) checkURLs() error {
	c := &p.c
	if err := checkBind(c.Listen.Peer); err != nil {
		return err
	}
	if err := checkBind(c.Listen.Client); err != nil {
		return err
	}
	if len(c.Listen.ClientHTTP) == 0 {
		p.note(zap.WarnLevel, "Running http and grpc server on single port. This is not recommended for production.")
	}
	if err := checkBind(c.Listen.ClientHTTP); err != nil {
		return err
	}
	if err := checkBind(c.Listen.Metrics); err != nil {
		return err
	}
	if err := checkHost(c.Advertise.Peer); err != nil {
		return fmt.Errorf(`--initial-advertise-peer-urls %q must be "host:port" (%w)`, c.Advertise.Peer.String(), err)
	}
	if err := checkHost(c.Advertise.Client); err != nil {
		return fmt.Errorf(`--advertise-client-urls %q must be in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket" (%w)`,
			c.Advertise.Client.String(), err)
	}
	for _, u := range c.Listen.ClientHTTP {
		if slices.Contains(c.Listen.Client.Strings(), u.String()) {
			return fmt.Errorf("cannot bind both --listen-client-urls and --listen-client-http-urls on the same url %s", u.String())
		}
	}
	return nil
}

func (c *Config) checkBootstrapFlags() error {
	if c.Cluster.State != StateNew && c.Cluster.State != StateExisting {
		return fmt.Errorf("unexpected clusterState %q", c.Cluster.State)
	}
	ways := 0
	for _, set := range []bool{c.Cluster.Initial != "", c.Discovery.SRVDomain != "", len(c.Discovery.Endpoints) > 0} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		return errors.New(`multiple discovery or bootstrap flags are set. Choose one of "initial-cluster", "discovery-endpoints" or "discovery-srv"`)
	}
	return nil
}

func (c *Config) checkDiscovery() error {
	d := c.Discovery
	if (d.Token != "") != (len(d.Endpoints) > 0) {
		return errors.New("both --discovery-token and --discovery-endpoints must be set")
	}
	if slices.ContainsFunc(d.Endpoints, func(e string) bool { return strings.TrimSpace(e) == "" }) {
		return errors.New("--discovery-endpoints must not contain empty endpoints")
	}
	return nil
}

func (r Raft) check() error {
	switch {
	case r.HeartbeatMs == 0:
		return fmt.Errorf("--heartbeat-interval must be >0 (set to %dms)", r.HeartbeatMs)
	case r.ElectionMs == 0:
		return fmt.Errorf("--election-timeout must be >0 (set to %dms)", r.ElectionMs)
	case 5*r.HeartbeatMs > r.ElectionMs || r.HeartbeatMs > maxElectionMs: // the second: 5*x must not wrap
		return fmt.Errorf("--election-timeout[%dms] should be at least as 5 times as --heartbeat-interval[%dms]", r.ElectionMs, r.HeartbeatMs)
	case r.ElectionMs > maxElectionMs:
		return fmt.Errorf("--election-timeout[%dms] is too long, and should be set less than %dms", r.ElectionMs, maxElectionMs)
	}
	return nil
}

func (p *parser) checkAdvertise() error {
	if p.c.Listen.Client != nil && p.c.Advertise.Client == nil {
		return ErrAdvertiseRequired
	}
	return nil
}

func (c *Config) checkCompaction() error {
	switch c.Compaction.Mode {
	case CompactPeriodic, CompactRevision:
	case "":
		return errors.New("undefined auto-compaction-mode")
	default:
		return fmt.Errorf("unknown auto-compaction-mode %q", c.Compaction.Mode)
	}
	return c.Compaction.parse()
}

// parse reads Retention: a plain number counts hours or revisions, anything
// else is a duration, which revision mode takes as its nanosecond count.
func (a *AutoCompaction) parse() error {
	var d time.Duration
	n, err := strconv.Atoi(a.Retention)
	switch {
	case err == nil && n >= 0 && a.Mode == CompactPeriodic:
		d = time.Duration(n) * time.Hour
	case err == nil && n >= 0:
		d = time.Duration(n)
	default:
		if d, err = time.ParseDuration(a.Retention); err != nil {
			return fmt.Errorf("error parsing CompactionRetention: %w", err)
		}
	}
	if a.Mode == CompactPeriodic {
		a.Period = d
	} else {
		a.Revisions = int64(d)
	}
	return nil
}

func (c *Config) checkTracing() error {
	if !c.Tracing.Enabled {
		return nil
	}
	reason := ""
	switch {
	case c.Tracing.PerMillion < 0:
		reason = "tracing sampling rate must be positive"
	case c.Tracing.PerMillion > 1000000:
		reason = "tracing sampling rate must be less than 1000000"
	default:
		return nil
	}
	return fmt.Errorf("distributed tracing configurition is not valid: (%s)", reason)
}

func (p *parser) checkGates() error {
	checkpoint := p.c.Gates.Enabled(GateLeaseCheckpoint)
	persist := p.c.Gates.Enabled(GateLeaseCheckpointPersist)
	if persist && !checkpoint {
		return errors.New("enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint")
	}
	if checkpoint && !persist {
		p.note(zap.WarnLevel, "Detected that checkpointing is enabled without persistence. Consider enabling feature gate LeaseCheckpointPersist")
	}
	return nil
}

func (c *Config) checkHashTime() error {
	if c.Checks.CompactHash <= 0 {
		return fmt.Errorf("--compact-hash-check-time must be >0 (set to %v)", c.Checks.CompactHash)
	}
	return nil
}

func (p *parser) checkName() error {
	if p.c.Name == DefaultName {
		p.note(zap.WarnLevel,
			"it isn't recommended to use default name, please set a value for --name. Note that etcd might run into issue when multiple members have the same default name",
			zap.String("name", p.c.Name))
	}
	return nil
}

// tlsVersion maps a flag's word; "" is 0, Go's choice.
func tlsVersion(word string) (uint16, error) {
	switch word {
	case "":
		return 0, nil
	case "TLS1.2":
		return tls.VersionTLS12, nil
	case "TLS1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("unexpected TLS version %q (must be one of: TLS1.2, TLS1.3)", word)
}

func knownCipher(name string) bool {
	same := func(s *tls.CipherSuite) bool { return s.Name == name }
	switch name {
	case "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": // names from before the RFC
		return true
	}
	return slices.ContainsFunc(tls.CipherSuites(), same) || slices.ContainsFunc(tls.InsecureCipherSuites(), same)
}

func (c *Config) checkTLSPolicy() error {
	low, err := tlsVersion(c.TLS.MinVersion)
	if err != nil {
		return err
	}
	high, err := tlsVersion(c.TLS.MaxVersion)
	if err != nil {
		return err
	}
	if high != 0 && low > high {
		return fmt.Errorf("min version (%s) is greater than max version (%s)", c.TLS.MinVersion, c.TLS.MaxVersion)
	}
	if low == tls.VersionTLS13 && len(c.TLS.CipherSuites) > 0 {
		return errors.New("cipher suites cannot be configured when only TLS1.3 is enabled")
	}
	for _, name := range c.TLS.CipherSuites {
		if !knownCipher(name) {
			return fmt.Errorf("unexpected TLS cipher suite %q", name)
		}
	}
	return nil
}

func (c *Config) checkTLSFiles() error {
	for _, t := range []TLSFiles{c.ClientTLS, c.PeerTLS} {
		if len(t.AllowedCNs) > 0 && len(t.AllowedHostnames) > 0 {
			return fmt.Errorf("AllowedCNs and AllowedHostnames are mutually exclusive (cns=%v, hostnames=%v)", t.AllowedCNs, t.AllowedHostnames)
		}
		if (t.ClientCertFile == "") != (t.ClientKeyFile == "") {
			return fmt.Errorf("ClientKeyFile and ClientCertFile must both be present or both absent: key: %v, cert: %v",
				t.ClientKeyFile, t.ClientCertFile)
		}
	}
	noPeer := c.PeerTLS.CertFile == "" && c.PeerTLS.KeyFile == "" && !c.PeerTLS.Auto
	for _, u := range c.Listen.Peer {
		if IsSecure(u) && noPeer {
			_, addr := Address(u)
			return fmt.Errorf("cannot listen on TLS for %s: KeyFile and CertFile are not presented", addr)
		}
	}
	noClient := c.ClientTLS.CertFile == "" && c.ClientTLS.KeyFile == "" && !c.ClientTLS.Auto
	for _, u := range slices.Concat(c.Listen.Client, c.Listen.ClientHTTP) {
		if IsSecure(u) && noClient {
			return fmt.Errorf("TLS key/cert (--cert-file, --key-file) must be provided for client url %s with HTTPS scheme", u.String())
		}
	}
	for _, u := range c.Listen.Metrics {
		if IsSecure(u) && noClient {
			return errors.New("client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url")
		}
	}
	return nil
}

// checkLog checks the logging options and fills in Rotation.
func checkLog(l *Log) error {
	switch l.Logger {
	case "zap":
	case "capnslog":
		return errors.New("--logger=capnslog is removed in v3.5")
	default:
		return fmt.Errorf("unknown logger option %q", l.Logger)
	}
	if len(l.Outputs) > 1 && slices.Contains(l.Outputs, "default") {
		return fmt.Errorf("multi logoutput for %q is not supported yet", "default")
	}
	if l.Rotate {
		if err := checkRotation(l); err != nil {
			return err
		}
	}
	if l.Format != "json" && l.Format != "console" {
		return fmt.Errorf("unknown log format: %s, supported values json, console", l.Format)
	}
	return nil
}

func checkRotation(l *Log) error {
	files := 0
	for _, o := range l.Outputs {
		switch o {
		case "default", "stderr", "stdout", "systemd/journal":
		default:
			files++
		}
	}
	if files != 1 {
		return errors.New("--log-outputs requires a single file path when --log-rotate-config-json is defined")
	}
	var wrong *json.UnmarshalTypeError
	err := json.Unmarshal([]byte(l.RotationJSON), &l.Rotation)
	switch {
	case errors.As(err, &wrong):
		return fmt.Errorf("invalid log rotation config: %w", err)
	case err != nil:
		return fmt.Errorf("improperly formatted log rotation config: %w", err)
	}
	return nil
}

func knownLevel(level string) bool {
	return slices.Contains([]string{"debug", "info", "warn", "error", "dpanic", "panic", "fatal"}, level)
}
