package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// configure turns flags, environment, discovery and prompts into the
// configuration of a client, and chooses the printer. The order of its checks
// decides which of several mistakes is reported.
func (c *ctl) configure(cmd *cobra.Command) (clientv3.Config, error) {
	if err := c.applyEnviron(cmd); err != nil {
		return clientv3.Config{}, err
	}
	debug := c.globals.debug
	if debug {
		c.dumpSettings(cmd)
	}
	discovered, err := c.discover()
	if err != nil {
		return clientv3.Config{}, err
	}
	if err := c.refuseEmptyTLSFlags(cmd); err != nil {
		return clientv3.Config{}, err
	}
	user, password, err := c.credentials()
	if err != nil {
		return clientv3.Config{}, err
	}
	if c.out, err = c.choosePrinter(); err != nil {
		return clientv3.Config{}, err
	}
	tlsConfig, err := c.globals.tlsConfig()
	if err != nil {
		return clientv3.Config{}, fail(exitArguments, err)
	}

	g := &c.globals
	cfg := clientv3.Config{
		Endpoints:            discovered,
		DialTimeout:          g.dialTimeout,
		DialKeepAliveTime:    g.keepAliveTime,
		DialKeepAliveTimeout: g.keepAliveTimeout,
		MaxCallSendMsgSize:   g.maxRequestBytes,
		MaxCallRecvMsgSize:   g.maxRecvBytes,
		TLS:                  tlsConfig,
		Username:             user,
		Password:             password,
		Token:                g.token,
		DialOptions:          c.DialOptions,
		Logger:               zap.NewNop(),
	}
	if debug || c.getenv("ETCD_CLIENT_DEBUG") != "" {
		cfg.Logger = c.logger(zapcore.InfoLevel).Named("etcd-client")
	}
	if len(cfg.Endpoints) == 0 {
		cfg.Endpoints = trimmed(g.endpoints)
	}
	c.logGRPC(debug)
	return cfg, nil
}

// logGRPC keeps the RPC library quiet unless somebody asked. With
// ETCD_CLIENT_DEBUG clientv3 has already installed a logger of its own.
func (c *ctl) logGRPC(debug bool) {
	switch {
	case c.LogGRPC == nil || c.getenv("ETCD_CLIENT_DEBUG") != "":
	case debug:
		c.LogGRPC(c.Stderr)
	default:
		c.LogGRPC(io.Discard)
	}
	c.LogGRPC = nil
}

// connect makes the client of an ordinary command; it is closed when the program ends.
func (c *ctl) connect(cmd *cobra.Command) (*clientv3.Client, error) {
	cfg, err := c.configure(cmd)
	if err != nil {
		return nil, err
	}
	return c.open(cfg)
}

func (c *ctl) open(cfg clientv3.Config) (*clientv3.Client, error) {
	client, err := clientv3.New(cfg)
	if err != nil {
		return nil, fail(exitConnection, err)
	}
	c.closers = append(c.closers, func() { client.Close() })
	return client, nil
}

// limited is the context of one short call.
func (c *ctl) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), c.globals.commandTimeout)
}

// sleep waits; an interrupt kills the process meanwhile.
func (c *ctl) sleep(d time.Duration) {
	timer := c.Clock.NewTimer(d)
	defer timer.Stop()
	<-timer.C()
}

func trimmed(list []string) []string {
	out := make([]string, 0, len(list))
	for _, item := range list {
		out = append(out, strings.TrimSpace(item))
	}
	return out
}

// credentials are empty when a token is given.
func (c *ctl) credentials() (user, password string, err error) {
	g := &c.globals
	if g.token != "" || g.user == "" {
		return "", "", nil
	}
	if g.password != "" {
		return g.user, g.password, nil
	}
	if name, secret, found := strings.Cut(g.user, ":"); found {
		return name, secret, nil
	}
	password, err = c.askPassword("Password: ")
	if err != nil {
		return "", "", failf(exitArguments, "failed to ask password: %w", err)
	}
	return g.user, password, nil
}

// askPassword reads one line, unseen when stdin is a terminal.
func (c *ctl) askPassword(prompt string) (string, error) {
	fmt.Fprint(c.Stdout, prompt)
	defer fmt.Fprintln(c.Stdout)
	if c.ReadPassword != nil {
		return c.ReadPassword()
	}
	line, err := c.stdin.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) { // no line at all is an empty password
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// discover asks the DNS for endpoints. It returns none when --discovery-srv is
// not used or has no records.
func (c *ctl) discover() ([]string, error) {
	g := &c.globals
	if g.discoverySRV == "" {
		return nil, nil
	}
	var endpoints []string
	var failures []error
	for _, kind := range []struct{ service, scheme string }{{"etcd-client-ssl", "https"}, {"etcd-client", "http"}} {
		service := kind.service
		if g.discoverySRVName != "" {
			service += "-" + g.discoverySRVName
		}
		records, err := c.LookupSRV(context.Background(), service, g.discoverySRV)
		if err != nil {
			failures = append(failures, err)
		}
		for _, r := range records {
			host := strings.TrimSuffix(r.Target, ".")
			endpoint := kind.scheme + "://" + net.JoinHostPort(host, fmt.Sprint(r.Port))
			if kind.scheme == "http" && !g.insecureDiscovery {
				fmt.Fprintf(c.Stderr, "ignoring discovered insecure endpoint %q\n", endpoint)
				continue
			}
			endpoints = append(endpoints, endpoint)
		}
	}
	if len(failures) == 2 {
		return nil, fmt.Errorf("dns lookup errors: %w and %w", failures[0], failures[1])
	}
	return endpoints, nil
}
