package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"sync"
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

	ready, done, closing chan struct{}
	err                  error          // why it stopped by itself; read after done
	running              sync.WaitGroup // run, which alone adds to fronts
	ended                sync.WaitGroup // the other goroutines
	closeOnce            sync.Once
}

// Start is the StartFunc of the command.
func Start(ctx context.Context, cfg *config.Config, out Outside) (Running, error) {
	out.Logger.Info("starting an etcd server", append([]zap.Field{
		zap.String("etcd-version", config.Version), zap.String("go-version", runtime.Version()),
		zap.String("go-os", runtime.GOOS), zap.String("go-arch", runtime.GOARCH),
		zap.Int("max-cpu-set", runtime.GOMAXPROCS(0)), zap.Int("max-cpu-available", runtime.NumCPU()),
	}, cfg.StartFields()...)...)
	n, err := StartNode(ctx, cfg, out)
	if err != nil {
		out.Logger.Error("bootstrap failed", zap.Error(err))
		return nil, err
	}
	// Rebuilding the index needs about twice the memory that it takes in the
	// end; what is left over goes back to the system, beside the election.
	n.ended.Go(debug.FreeOSMemory)
	return n, nil
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
func StartNode(ctx context.Context, cfg *config.Config, out Outside) (_ *Node, err error) {
	n := &Node{cfg: cfg, out: out, ready: make(chan struct{}), done: make(chan struct{}), closing: make(chan struct{})}
	defer func() {
		if err != nil {
			n.closeListeners()
		}
	}()
	if err := n.bind(ctx); err != nil {
		return nil, err
	}
	if n.member, err = StartMember(ctx, cfg, out); err != nil {
		return nil, err
	}
	n.buildGRPC()
	n.serveEarly()
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.ended.Go(func() { obs.WatchDescriptors(watch, out.FS, out.Clock, out.Metrics, out.Logger) })
	n.running.Go(func() {
		defer cancel()
		n.run()
	})
	return n, nil
}

// run is the node's goroutine: it begins to serve clients when the member is
// ready and waits for the end.
func (n *Node) run() {
	failed := n.member.Server.Failure()
	select {
	case <-n.member.Server.Ready():
	case err := <-failed:
		n.fail(err)
		return
	case <-n.closing:
		return
	}
	if err := n.serveClients(); err != nil {
		n.fail(err)
		return
	}
	n.out.Logger.Info("now serving peer/client/metrics", zap.Stringer("local-member-id", n.member.ID()))
	close(n.ready)
	select {
	case err := <-failed:
		n.fail(err)
	case err := <-n.listenerFailed():
		n.fail(err)
	case <-n.closing:
	}
}

func (n *Node) fail(err error) {
	n.err = err
	close(n.done)
}

// Ready is closed when clients are served.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Done is closed when the node cannot go on: broken storage or a listener that
// ended by itself. It is still to be closed then.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err tells why, after Done.
func (n *Node) Err() error { return n.err }

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
func (n *Node) serveEarly() {
	pages := n.pages()
	for _, b := range n.peers {
		n.front(b, web.NewPeerHandler(n.member.Server), nil, 0)
	}
	for _, b := range n.metrics {
		n.front(b, web.NewMetricsHandler(pages), nil, 0)
	}
}

// serveClients serves clients; the member is ready.
func (n *Node) serveClients() error {
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

// listenerFailed delivers the error of a listener that ended by itself.
func (n *Node) listenerFailed() <-chan error {
	failed := make(chan error, len(n.fronts))
	for _, f := range n.fronts {
		n.ended.Go(func() {
			<-f.Done()
			if err := f.Err(); err != nil {
				failed <- err
			}
		})
	}
	return failed
}

// Close stops serving, in order: new requests are refused, running ones get
// gracePeriod, then the member stops and closes its files. It may be called more
// than once.
func (n *Node) Close() { n.closeOnce.Do(n.close) }

func (n *Node) close() {
	lg := n.out.Logger.With(zap.String("name", n.cfg.Name), zap.String("data-dir", n.cfg.DataDir))
	lg.Info("closing etcd server")
	close(n.closing)
	n.running.Wait()
	n.member.hub.Close() // ends watch streams, which never end by themselves
	n.stopGRPC()
	ctx, cancel := context.WithTimeout(context.Background(), gracePeriod)
	defer cancel()
	for _, f := range n.fronts {
		if err := f.Shutdown(ctx); err != nil {
			lg.Debug("closing a listener", zap.Error(err))
		}
	}
	n.closeListeners()
	if err := n.member.Stop(); err != nil {
		lg.Error("failed to close files", zap.Error(err))
	}
	n.ended.Wait()
	lg.Info("closed etcd server")
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
