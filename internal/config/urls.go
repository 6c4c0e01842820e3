package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// URLs is a list of addresses, sorted and without duplicates. Readers must
// not change it.
type URLs []url.URL

// Strings renders each URL.
func (us URLs) Strings() []string {
	out := make([]string, len(us))
	for i := range us {
		out[i] = us[i].String()
	}
	return out
}

// String joins the URLs with commas, the way a flag takes them.
func (us URLs) String() string { return strings.Join(us.Strings(), ",") }

// ParseURLs applies etcd's rules for addresses: http, https, unix or unixs;
// http(s) need host:port and no path, not even a slash.
func ParseURLs(list []string) (URLs, error) {
	if len(list) == 0 {
		return nil, errors.New("no valid URLs given")
	}
	us := make(URLs, 0, len(list))
	for _, in := range list {
		in = strings.TrimSpace(in)
		u, err := url.Parse(in)
		if err != nil {
			return nil, err
		}
		switch u.Scheme {
		case "http", "https":
			if _, _, err := net.SplitHostPort(u.Host); err != nil {
				return nil, fmt.Errorf(`URL address does not have the form "host:port": %s`, in)
			}
			if u.Path != "" {
				return nil, fmt.Errorf("URL must not contain a path: %s", in)
			}
		case "unix", "unixs":
		default:
			return nil, fmt.Errorf("URL scheme must be http, https, unix, or unixs: %s", in)
		}
		us = append(us, *u)
	}
	slices.SortFunc(us, func(a, b url.URL) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(us, func(a, b url.URL) bool { return a.String() == b.String() }), nil
}

// mustURLs is for the built-in defaults only.
func mustURLs(s string) URLs {
	us, err := ParseURLs(strings.Split(s, ","))
	if err != nil {
		panic(fmt.Sprintf("built-in URL %q: %v", s, err))
	}
	return us
}

// IsUnix reports whether u names a socket file.
func IsUnix(u url.URL) bool { return u.Scheme == "unix" || u.Scheme == "unixs" }

// IsSecure reports whether u asks for TLS.
func IsSecure(u url.URL) bool { return u.Scheme == "https" || u.Scheme == "unixs" }

// Address is what a listener binds for u: the network "tcp" with host:port,
// or "unix" with the socket's path, which etcd writes as host followed by
// path (so unix://name:1 is the relative file name:1).
func Address(u url.URL) (network, address string) {
	if IsUnix(u) {
		return "unix", u.Host + u.Path
	}
	return "tcp", u.Host
}

// checkBind refuses names: what a name resolves to may change, what is bound
// may not.
func checkBind(us URLs) error {
	for _, u := range us {
		if IsUnix(u) {
			continue
		}
		host, _, err := net.SplitHostPort(u.Host)
		if err != nil {
			return err
		}
		if host != "localhost" && net.ParseIP(host) == nil {
			return fmt.Errorf("expected IP in URL for binding (%s)", u.String())
		}
	}
	return nil
}

// checkHost refuses URLs that name no host for others to dial.
func checkHost(us URLs) error {
	for _, u := range us {
		if IsUnix(u) {
			continue
		}
		host, _, err := net.SplitHostPort(u.Host)
		if err != nil {
			return err
		}
		if host == "" {
			return fmt.Errorf("unexpected empty host (%s)", u.String())
		}
	}
	return nil
}
