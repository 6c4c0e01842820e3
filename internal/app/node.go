package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"keelson/internal/config"
	"keelson/internal/obs"
	"keelson/internal/rpc"
	"keelson/internal/watch"
	"keelson/internal/web"
)

// Node is a member with its listeners: what the process runs.
type Node struct {
	cfg    *config.Config
	out    Outside
	member *Member
	grpc   *grpc.Server
	health *health.Server

	peers, clients, metrics []bound
	fronts                  []*web.Front
}

// bound is a listener and the URL it was made from.
type bound struct {
	url url.URL
	net.Listener
}

// reservedDescriptors are kept for files and peers; the rest of the limit is
// for clients.
const reservedDescriptors = 150

// StartNode binds the listeners, recovers the member and serves. Clients are
// accepted by the kernel at once and answered when the member is ready; peer and
// metrics listeners answer from the start.
func StartNode(ctx context.Context, cfg *config.Config, out Outside) (n *Node, err error) {
	n = &Node{cfg: cfg, out: out}
	defer func() {
		if err != nil {
			n.closeListeners()
		}
	}()
	if err := n.bind(ctx); err != nil {
		return nil, err
	}
	if n.member, err = StartMember(cfg, out); err != nil {
		return nil, err
	}
	n.buildGRPC()
	if err := n.serveEarly(); err != nil {
		return nil, errors.Join(err, n.member.Stop())
	}
	return n, nil
}

// bind opens every listener, peers first.
func (n *Node) bind(ctx context.Context) error {
	o := web.ListenOptions{ReusePort: n.cfg.Listen.ReusePort, ReuseAddress: n.cfg.Listen.ReuseAddress, FS: n.out.FS}
	for _, group := range []struct {
		urls config.URLs
		to   *[]bound
	}{
		{n.cfg.Listen.Peer, &n.peers},
		{append(n.cfg.Listen.Client[:len(n.cfg.Listen.Client):len(n.cfg.Listen.Client)], n.cfg.Listen.ClientHTTP...), &n.clients},
		{n.cfg.Listen.Metrics, &n.metrics},
	} {
		for _, u := range group.urls {
			network, address := config.Address(u)
			l, err := web.Listen(ctx, network, address, o)
			if err != nil {
				return fmt.Errorf("%s: %w", u.String(), err)
			}
			*group.to = append(*group.to, bound{u, l})
		}
	}
	return nil
}

func (n *Node) buildGRPC() {
	limits := rpc.Limits{
		MaxRequestBytes:      int(n.cfg.Limits.MaxRequestBytes),
		MaxConcurrentStreams: n.cfg.Limits.MaxConcurrentStreams,
		KeepAliveMinTime:     n.cfg.GRPC.KeepAliveMinTime,
		KeepAliveInterval:    n.cfg.GRPC.KeepAliveInterval,
		KeepAliveTimeout:     n.cfg.GRPC.KeepAliveTimeout,
	}
	observer := grpcObserver{n.out.Metrics.GRPC}
	n.grpc = grpc.NewServer(rpc.ServerOptions(limits, observer)...)
	n.health = health.NewServer()
	s := n.member.Server
	rpc.Register(n.grpc, rpc.Deps{
		KV: s, Lease: s, Watch: watches{n.member.hub}, Cluster: s, Maintenance: s,
		Info: s, Quota: s, Leader: s, Observer: observer, MaxTxnOps: int(n.cfg.Limits.MaxTxnOps),
	}, n.health)
}

// watches opens watch streams on the hub.
type watches struct{ hub *watch.Hub }

func (w watches) NewStream(context.Context) rpc.WatchStream { return w.hub.NewStream() }

// serveEarly serves what does not need a ready member: peers, metrics.
func (n *Node) serveEarly() error {
	pages := n.pages()
	for _, b := range n.peers {
		n.front(b, web.NewPeerHandler(n.member.Server), nil, 0)
	}
	for _, b := range n.metrics {
		n.front(b, web.NewMetricsHandler(pages), nil, 0)
	}
	return nil
}

// ServeClients serves clients; the member is ready.
func (n *Node) ServeClients() error {
	limit, err := obs.DescriptorLimit()
	if err != nil {
		return err
	}
	if limit <= reservedDescriptors {
		return fmt.Errorf("file descriptor limit of etcd process is too low; please set higher than %d, it is %d", reservedDescriptors, limit)
	}
	maxConns := int(min(limit-reservedDescriptors, 1<<30))
	handler := web.NewClientHandler(n.pages())
	split := len(n.cfg.Listen.ClientHTTP) > 0
	for i, b := range n.clients {
		isHTTP := i >= len(n.cfg.Listen.Client)
		var pages http.Handler
		var serve func(net.Listener) error
		traffic := "grpc+http"
		switch {
		case isHTTP:
			pages, traffic = handler, "http"
		case split:
			serve, traffic = n.grpc.Serve, "grpc"
		default:
			pages, serve = handler, n.grpc.Serve
		}
		n.out.Logger.Info("ready to serve client requests")
		n.front(b, pages, serve, maxConns)
		n.out.Logger.Info("serving client traffic insecurely; this is strongly discouraged!",
			zap.String("traffic", traffic), zap.String("address", b.Addr().String()))
	}
	return nil
}

func (n *Node) front(b bound, pages http.Handler, serve func(net.Listener) error, maxConns int) {
	n.fronts = append(n.fronts, web.Serve(b.Listener, web.FrontConfig{
		HTTP: pages, GRPC: serve, MaxConns: maxConns, Clock: n.out.Clock, Logger: n.out.Logger,
	}))
}

func (n *Node) pages() web.Config {
	s := n.member.Server
	return web.Config{
		Health: s, Observe: n.out.Metrics, Metrics: n.out.Metrics.Handler(n.refreshGauges), Vars: n.vars,
		Pprof:         n.cfg.HTTP.Pprof || n.cfg.Log.Debug(),
		HostWhitelist: n.cfg.HTTP.HostWhitelist, CORS: n.cfg.HTTP.CORS, Logger: n.out.Logger,
	}
}

// Ready is closed when the member can serve clients.
func (n *Node) Ready() <-chan struct{} { return n.member.Server.Ready() }

// Failure delivers why the member had to stop by itself: broken storage.
func (n *Node) Failure() <-chan error { return n.member.Server.Failure() }

// ListenerFailed delivers when a listener ended by itself.
func (n *Node) ListenerFailed() <-chan struct{} {
	failed := make(chan struct{}, len(n.fronts)+1)
	for _, f := range n.fronts {
		go func() {
			<-f.Done()
			failed <- struct{}{}
		}()
	}
	return failed
}

// Stop stops serving, in order: new requests are refused, running ones get
// gracePeriod, then the member stops and closes its files.
func (n *Node) Stop() error {
	n.out.Logger.Info("closing etcd server", zap.String("name", n.cfg.Name), zap.String("data-dir", n.cfg.DataDir))
	n.member.hub.Close() // ends watch streams, which never end by themselves
	n.stopGRPC()
	ctx, cancel := context.WithTimeout(context.Background(), gracePeriod)
	defer cancel()
	for _, f := range n.fronts {
		if err := f.Shutdown(ctx); err != nil {
			n.out.Logger.Debug("closing a listener", zap.Error(err))
		}
	}
	n.closeListeners()
	err := n.member.Stop()
	n.out.Logger.Info("closed etcd server", zap.String("name", n.cfg.Name), zap.String("data-dir", n.cfg.DataDir))
	return err
}

// gracePeriod is how long requests that run may go on during a stop.
const gracePeriod = time.Second

func (n *Node) stopGRPC() {
	done := make(chan struct{})
	go func() {
		n.grpc.GracefulStop()
		close(done)
	}()
	t := n.out.Clock.NewTimer(gracePeriod)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C():
		n.grpc.Stop()
		<-done
	}
}

func (n *Node) closeListeners() {
	for _, group := range [][]bound{n.peers, n.clients, n.metrics} {
		for _, b := range group {
			if err := b.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				n.out.Logger.Debug("closing a listener", zap.Error(err))
			}
		}
	}
}
