package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.uber.org/zap"
)

// finish derives what follows from the given values, checks everything and
// refuses what this version does not have yet.
func (p *parser) finish() Outcome {
	c := &p.c
	p.deprecations()
	p.raisePeerTimeouts()
	p.derive()

	if err := checkLog(&c.Log); err != nil {
		return p.refuse(err)
	}
	if !knownLevel(c.Log.Level) {
		// etcd panics here, and scripts see its exit code.
		return Outcome{Done: true, Code: 2, Stderr: fmt.Sprintf("panic: unrecognized level: %q\n", c.Log.Level)}
	}
	if err := p.validate(); err != nil {
		return p.refuse(err)
	}
	if err := p.unsupported(); err != nil {
		return p.refuse(err)
	}
	p.fillDefaults()
	return Outcome{}
}

// refuse reports err through a logger that surely can be built when the
// logging options are what is wrong.
func (p *parser) refuse(err error) Outcome {
	if checkLog(&p.c.Log) != nil {
		p.c.Log = Default().Log
	}
	return Outcome{Err: err}
}

func (p *parser) deprecations() {
	if p.given["max-snapshots"] {
		p.note(zap.WarnLevel, "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.")
	}
	if p.given["v2-deprecation"] {
		p.note(zap.WarnLevel, "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, ignoring user input.")
	}
}

func (p *parser) raisePeerTimeouts() {
	for _, t := range []struct {
		name string
		d    *time.Duration
	}{
		{"raft-read-timeout", &p.c.Cluster.PeerReadTimeout},
		{"raft-write-timeout", &p.c.Cluster.PeerWriteTimeout},
	} {
		if *t.d < minPeerTimeout {
			*t.d = minPeerTimeout
			p.note(zap.InfoLevel, fmt.Sprintf("%s increased to minimum value: %v", t.name, minPeerTimeout))
		}
	}
}

// derive works out the values that depend on other settings.
func (p *parser) derive() {
	c := &p.c
	if !p.fromFile && p.given["listen-client-urls"] && !p.given["advertise-client-urls"] {
		c.Advertise.Client = nil
	}
	initialDefault := Default().Cluster.Initial
	switch {
	case c.Discovery.set() && (!p.given["initial-cluster"] || p.fromFile && c.Cluster.Initial == initialDefault):
		c.Cluster.Initial = ""
	case c.Cluster.Initial == initialDefault && c.Name != DefaultName:
		c.derivedInitial = true
		c.Cluster.Initial = c.initialFromName()
	}
}

// unsupported refuses, in one line, every setting of a later version that was
// moved from its default: a member must not seem to be protected by TLS, or
// to compact by itself, when it does not.
func (p *parser) unsupported() error {
	def := Default()
	defaults := settings(&def)
	var names, kinds []string
	seen := map[string]bool{}
	for i, s := range p.table {
		same := s.String() == defaults[i].String() ||
			s.name == "auto-compaction-retention" && p.c.Compaction.off()
		if s.support == noBackend && !same {
			p.note(zap.WarnLevel, p.spell(s)+" has no effect: there is no bbolt backend")
		}
		if s.support != later || same {
			continue
		}
		names = append(names, p.spell(s)+"="+shortValue(s))
		if !seen[s.what] {
			seen[s.what] = true
			kinds = append(kinds, s.what)
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("not supported yet: %s (%s comes with a later version)",
			strings.Join(names, ", "), strings.Join(kinds, ", "))
	}
	for _, us := range []URLs{p.c.Listen.Client, p.c.Listen.Peer, p.c.Listen.ClientHTTP, p.c.Listen.Metrics} {
		for _, u := range us {
			if IsSecure(u) {
				return fmt.Errorf("not supported yet: listening on %s (TLS comes with a later version)", u.String())
			}
		}
	}
	return nil
}

// shortValue hides what should not be in a log.
func shortValue(s setting) string {
	switch s.flagKey() {
	case "discovery-password", "discovery-config.client.auth.token":
		return "***"
	}
	return s.String()
}

// spell names a setting as the operator wrote it.
func (p *parser) spell(s setting) string {
	if p.fromFile && s.fileKey() != "" {
		return s.fileKey()
	}
	return "--" + s.flagKey()
}

// fillDefaults replaces the numbers that mean "the default".
func (p *parser) fillDefaults() {
	c := &p.c
	if c.DataDir == "" {
		c.DataDir = c.Name + ".etcd"
		p.note(zap.WarnLevel, "'data-dir' was empty; using default", zap.String("data-dir", c.DataDir))
	}
	if c.Raft.SnapshotCount == 0 {
		c.Raft.SnapshotCount = defaultSnapshotCount
		p.note(zap.InfoLevel, "updating snapshot-count to default",
			zap.Uint64("given-snapshot-count", 0), zap.Uint64("updated-snapshot-count", defaultSnapshotCount))
	}
	if c.Raft.SnapshotCatchUpEntries == 0 {
		c.Raft.SnapshotCatchUpEntries = defaultCatchUpEntries
		p.note(zap.InfoLevel, "updating snapshot catch-up entries to default",
			zap.Uint64("given-snapshot-catchup-entries", 0), zap.Uint64("updated-snapshot-catchup-entries", defaultCatchUpEntries))
	}
	setIfZero(&c.Storage.CompactionBatchLimit, 1000)
	setIfZero(&c.Storage.CompactionSleep, 10*time.Millisecond)
	setIfZero(&c.Warn.UnaryRequest, 300*time.Millisecond)
	setIfZero(&c.Watch.ProgressNotifyInterval, defaultProgressNotify)
	if c.Watch.ProgressNotifyInterval < minProgressNotify {
		p.note(zap.WarnLevel, "set watch progress notify interval to minimum interval",
			zap.Duration("given", c.Watch.ProgressNotifyInterval), zap.Duration("minimum", minProgressNotify))
		c.Watch.ProgressNotifyInterval = minProgressNotify
	}
	p.noteLimits()
}

// noteLimits says aloud what a quota or request limit out of the ordinary
// means.
func (p *parser) noteLimits() {
	c := &p.c
	if c.Limits.MaxRequestBytes > recommendedRequestBytes {
		p.note(zap.WarnLevel, "exceeded recommended request limit",
			zap.Uint("max-request-bytes", c.Limits.MaxRequestBytes),
			zap.Int("recommended-request-bytes", recommendedRequestBytes))
	}
	limit, ok := c.Storage.Quota()
	switch {
	case !ok:
		p.note(zap.InfoLevel, "disabled backend quota", zap.Int64("quota-size-bytes", c.Storage.QuotaBytes))
	case limit > SuggestedMaxQuotaBytes:
		p.note(zap.WarnLevel, "quota exceeds the maximum value",
			zap.Int64("quota-size-bytes", limit), zap.Int64("quota-maximum-size-bytes", SuggestedMaxQuotaBytes))
	}
}

func setIfZero[T comparable](p *T, v T) {
	if reflect.ValueOf(*p).IsZero() {
		*p = v
	}
}
