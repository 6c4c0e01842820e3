package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Stages of a feature gate.
const (
	Alpha = "ALPHA"
	Beta  = "BETA"
)

// Gate is one row of the feature gate table.
type Gate struct {
	Name    string
	Stage   string
	Default bool
}

// Names of the gates this version knows.
const (
	GateAllAlpha                     = "AllAlpha"
	GateAllBeta                      = "AllBeta"
	GateCompactHashCheck             = "CompactHashCheck"
	GateFastLeaseKeepAlive           = "FastLeaseKeepAlive"
	GateInitialCorruptCheck          = "InitialCorruptCheck"
	GateLeaseCheckpoint              = "LeaseCheckpoint"
	GateLeaseCheckpointPersist       = "LeaseCheckpointPersist"
	GatePriorityRequest              = "PriorityRequest"
	GateSetMemberLocalAddr           = "SetMemberLocalAddr"
	GateStopGRPCServiceOnDefrag      = "StopGRPCServiceOnDefrag"
	GateTxnModeWriteWithSharedBuffer = "TxnModeWriteWithSharedBuffer"
)

// KnownGates returns the table, in name order. Keelson always persists the
// remaining TTL of leases; LeaseCheckpoint keeps etcd's default here because
// operators and metrics read it.
func KnownGates() []Gate {
	return []Gate{
		{GateAllAlpha, Alpha, false},
		{GateAllBeta, Beta, false},
		{GateCompactHashCheck, Alpha, false},
		{GateFastLeaseKeepAlive, Beta, true},
		{GateInitialCorruptCheck, Alpha, false},
		{GateLeaseCheckpoint, Alpha, false},
		{GateLeaseCheckpointPersist, Alpha, false},
		{GatePriorityRequest, Alpha, false},
		{GateSetMemberLocalAddr, Alpha, false},
		{GateStopGRPCServiceOnDefrag, Alpha, false},
		{GateTxnModeWriteWithSharedBuffer, Beta, true},
	}
}

// Gates says which features are on. The zero value has everything off; use
// the one in Config.
type Gates struct {
	given map[string]bool // what the operator wrote
}

func newGates() Gates { return Gates{given: map[string]bool{}} }

// Enabled reports whether the named gate is on: what the operator wrote, else
// what AllAlpha or AllBeta says for its stage, else its default.
func (g Gates) Enabled(name string) bool {
	if on, ok := g.given[name]; ok {
		return on
	}
	for _, k := range KnownGates() {
		if k.Name != name {
			continue
		}
		group := GateAllAlpha
		if k.Stage == Beta {
			group = GateAllBeta
		}
		if on, ok := g.given[group]; ok {
			return on
		}
		return k.Default
	}
	return false
}

// String renders what was given as a flag would take it, in name order.
func (g Gates) String() string {
	parts := make([]string, 0, len(g.given))
	for _, name := range slices.Sorted(maps.Keys(g.given)) {
		parts = append(parts, name+"="+strconv.FormatBool(g.given[name]))
	}
	return strings.Join(parts, ",")
}

// with returns g with the settings of s ("A=true,B=false") on top.
func (g Gates) with(s string) (Gates, error) {
	next := Gates{given: maps.Clone(g.given)}
	if next.given == nil {
		next.given = map[string]bool{}
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, text, ok := strings.Cut(part, "=")
		name, text = strings.TrimSpace(name), strings.TrimSpace(text)
		if !ok {
			return g, fmt.Errorf("missing bool value for %s", name)
		}
		on, err := strconv.ParseBool(text)
		if err != nil {
			return g, fmt.Errorf("invalid value of %s=%s, err: %v", name, text, err)
		}
		if !slices.ContainsFunc(KnownGates(), func(k Gate) bool { return k.Name == name }) {
			return g, fmt.Errorf("unrecognized feature gate: %s", name)
		}
		next.given[name] = on
	}
	return next, nil
}

// gateHelp is one line per gate, for --help and the documentation.
func gateHelp() []string {
	lines := make([]string, 0, len(KnownGates()))
	for _, k := range KnownGates() {
		lines = append(lines, fmt.Sprintf("%s=true|false (%s - default=%t)", k.Name, k.Stage, k.Default))
	}
	return lines
}
