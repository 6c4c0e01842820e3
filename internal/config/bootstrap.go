package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
)

// initialFromName is the initial cluster of a member that knows only itself.
func (c *Config) initialFromName() string {
	parts := make([]string, len(c.Advertise.Peer))
	for i, u := range c.Advertise.Peer {
		parts[i] = c.Name + "=" + u.String()
	}
	return strings.Join(parts, ",")
}

// WantsDefaultHost reports whether an advertised address is to be replaced by
// the host's own: it was left at its default while the member listens on all
// addresses.
func (c Config) WantsDefaultHost() bool {
	return onAllAddresses(c.Listen.Peer) && c.Advertise.Peer.String() == DefaultPeerURL ||
		onAllAddresses(c.Listen.Client) && c.Advertise.Client.String() == DefaultClientURL
}

func onAllAddresses(us URLs) bool { return len(us) > 0 && us[0].Hostname() == "0.0.0.0" }

// UseDefaultHost returns c with host in the advertised URLs that
// WantsDefaultHost speaks of. The initial cluster follows only when it was
// made from the name; with the name "default" it does not, as in etcd.
func (c Config) UseDefaultHost(host string) Config {
	if onAllAddresses(c.Listen.Peer) && c.Advertise.Peer.String() == DefaultPeerURL {
		c.Advertise.Peer = withHost(c.Advertise.Peer[0], host, c.Listen.Peer[0].Port())
	}
	if onAllAddresses(c.Listen.Client) && c.Advertise.Client.String() == DefaultClientURL {
		c.Advertise.Client = withHost(c.Advertise.Client[0], host, c.Listen.Client[0].Port())
	}
	if c.derivedInitial {
		c.Cluster.Initial = c.initialFromName()
	}
	return c
}

func withHost(u url.URL, host, port string) URLs {
	return URLs{{Scheme: u.Scheme, Host: net.JoinHostPort(host, port)}}
}

// InitialMembers parses the initial cluster: the peer URLs of each name.
func (c Config) InitialMembers() (map[string]URLs, error) {
	texts := map[string][]string{}
	for part := range strings.SplitSeq(c.Cluster.Initial, ",") {
		if part == "" {
			continue
		}
		name, u, _ := strings.Cut(part, "=")
		texts[name] = append(texts[name], u)
	}
	members := map[string]URLs{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		us, err := ParseURLs(texts[name])
		if err != nil {
			return nil, fmt.Errorf("error setting up initial cluster: %w", err)
		}
		members[name] = us
	}
	return members, nil
}

// Lookup resolves a host name to IP addresses.
type Lookup func(ctx context.Context, host string) ([]string, error)

// CheckBootstrap is for a member without data: the initial cluster must name
// it, with the URLs it advertises (names resolved if they are not equal as
// texts), no URL may occur twice, and this version founds clusters of one.
// With data none of this is looked at.
func (c Config) CheckBootstrap(ctx context.Context, lookup Lookup) error {
	members, err := c.InitialMembers()
	if err != nil {
		return err
	}
	own, ok := members[c.Name]
	if !ok {
		return fmt.Errorf("couldn't find local name %q in the initial cluster configuration", c.Name)
	}
	seen := map[string]bool{}
	for _, us := range members {
		for _, u := range us {
			if seen[u.String()] {
				return fmt.Errorf("initial cluster %s has duplicate url", c.Cluster.Initial)
			}
			seen[u.String()] = true
		}
	}
	if err := c.matchAdvertised(ctx, own, lookup); err != nil {
		return err
	}
	switch {
	case c.Cluster.State == StateExisting:
		return errors.New("not supported yet: --initial-cluster-state=existing (joining a cluster comes with a later version)")
	case len(members) > 1:
		return fmt.Errorf("not supported yet: --initial-cluster with %d members (clusters of more than one member come with a later version)", len(members))
	}
	return nil
}

// matchAdvertised compares the URLs of the own name with the advertised ones.
func (c Config) matchAdvertised(ctx context.Context, own URLs, lookup Lookup) error {
	advertised := c.Advertise.Peer
	if slices.Equal(own.Strings(), advertised.Strings()) {
		return nil
	}
	ownIPs, err1 := resolve(ctx, own, lookup)
	advertisedIPs, err2 := resolve(ctx, advertised, lookup)
	err := errors.Join(err1, err2)
	if err == nil && slices.Equal(ownIPs, advertisedIPs) {
		return nil
	}
	if missing := except(own.Strings(), advertised.Strings()); len(missing) > 0 {
		for i := range missing {
			missing[i] = c.Name + "=" + missing[i]
		}
		return fmt.Errorf("--initial-cluster has %s but missing from --initial-advertise-peer-urls=%s",
			strings.Join(missing, ","), advertised)
	}
	if missing := except(advertised.Strings(), own.Strings()); len(missing) > 0 {
		return fmt.Errorf("--initial-advertise-peer-urls has %s but missing from --initial-cluster=%s",
			strings.Join(missing, ","), c.Cluster.Initial)
	}
	return fmt.Errorf("failed to resolve %s to match --initial-cluster=%s (%w)", advertised, c.Cluster.Initial, err)
}

func except(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// resolve replaces host names by their first address. localhost stays: it is
// a different machine for everyone who reads it.
func resolve(ctx context.Context, us URLs, lookup Lookup) ([]string, error) {
	out := make([]string, 0, len(us))
	for _, u := range us {
		host := u.Hostname()
		if !IsUnix(u) && host != "localhost" && net.ParseIP(host) == nil {
			ips, err := lookup(ctx, host)
			if err != nil {
				return nil, err
			}
			if len(ips) == 0 {
				return nil, fmt.Errorf("no address for %s", host)
			}
			u.Host = net.JoinHostPort(slices.Min(ips), u.Port())
		}
		out = append(out, u.String())
	}
	slices.Sort(out)
	return out, nil
}
