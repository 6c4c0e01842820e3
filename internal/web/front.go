package web

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"

	"keelson/internal/clock"
)

// Limits of a Front that have defaults.
const (
	// DefaultSniffTimeout is how long a new connection may take to say which
	// protocol it speaks: as long as a TLS handshake may take.
	DefaultSniffTimeout = 10 * time.Second
	// DefaultHeaderTimeout is how long the headers of an HTTP request may take.
	DefaultHeaderTimeout = 5 * time.Minute
)

// FrontConfig is what one listener serves. With both HTTP and GRPC set the
// first bytes of a connection decide; with one of them everything goes there.
type FrontConfig struct {
	HTTP http.Handler
	// GRPC serves gRPC connections until the listener is closed; it is a
	// *grpc.Server's Serve. Stopping that server is its owner's business, and
	// to be done before Shutdown.
	GRPC func(net.Listener) error
	// MaxConns bounds the open connections; more wait in the kernel's queue.
	// 0 is no bound.
	MaxConns      int
	SniffTimeout  time.Duration // 0 is DefaultSniffTimeout
	HeaderTimeout time.Duration // 0 is DefaultHeaderTimeout
	Clock         clock.Clock
	Logger        *zap.Logger
}

// Front serves one listener:
//
//	             +-- sniff --+-- queue "http" --> http.Server
//	listener --> |  one per  |
//	  accept     | new conn  +-- queue "grpc" --> grpc.Server
//
// A connection that stalls before its protocol is known holds one goroutine
// and 24 bytes until SniffTimeout.
type Front struct {
	cfg      FrontConfig
	listener net.Listener
	http     *http.Server // nil without HTTP
	httpConn *queue
	grpcConn *queue
	routines sync.WaitGroup
	stop     chan struct{} // closed by Shutdown
	done     chan struct{} // closed when nothing serves any more

	mu struct {
		sync.Mutex
		err     error                 // why serving ended by itself
		closing bool                  // Shutdown began
		unknown map[net.Conn]struct{} // connections whose protocol is not known
	}
}

// Serve starts serving l, which the Front closes.
func Serve(l net.Listener, cfg FrontConfig) *Front {
	if cfg.SniffTimeout == 0 {
		cfg.SniffTimeout = DefaultSniffTimeout
	}
	if cfg.HeaderTimeout == 0 {
		cfg.HeaderTimeout = DefaultHeaderTimeout
	}
	if cfg.MaxConns > 0 {
		l = netutil.LimitListener(l, cfg.MaxConns)
	}
	f := &Front{
		cfg:      cfg,
		listener: l,
		httpConn: newQueue(l.Addr()),
		grpcConn: newQueue(l.Addr()),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
	}
	f.mu.unknown = map[net.Conn]struct{}{}
	f.start()
	go func() {
		f.routines.Wait()
		close(f.done)
	}()
	return f
}

func (f *Front) start() {
	httpFrom, grpcFrom := net.Listener(f.httpConn), net.Listener(f.grpcConn)
	switch {
	case f.cfg.GRPC == nil:
		httpFrom = f.listener
	case f.cfg.HTTP == nil:
		grpcFrom = f.listener
	default:
		f.run(f.acceptLoop)
	}
	if f.cfg.HTTP != nil {
		f.http = &http.Server{
			Handler:           f.cfg.HTTP,
			ReadHeaderTimeout: f.cfg.HeaderTimeout,
			ErrorLog:          log.New(io.Discard, "", 0), // mistakes of clients fill no log
		}
		f.run(func() error { return f.http.Serve(httpFrom) })
	}
	if f.cfg.GRPC != nil {
		f.run(func() error { return f.cfg.GRPC(grpcFrom) })
	}
}

// run starts a goroutine of the Front; its error ends the Front.
func (f *Front) run(serve func() error) {
	f.routines.Go(func() {
		err := serve()
		if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.mu.err == nil && !f.mu.closing {
			f.mu.err = err
			_ = f.listener.Close() // the error that ended it is the one to report
		}
	})
}

// Addr is the address that was bound.
func (f *Front) Addr() net.Addr { return f.listener.Addr() }

// Done is closed when nothing is served any more, after Shutdown or a failure.
func (f *Front) Done() <-chan struct{} { return f.done }

// Err tells why serving ended by itself; nil before that and after Shutdown.
func (f *Front) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.err
}

// Shutdown closes the listener and every connection whose protocol is not
// known yet, lets HTTP requests end until ctx does, and waits for all
// goroutines of the Front.
func (f *Front) Shutdown(ctx context.Context) error {
	f.mu.Lock()
	first := !f.mu.closing
	f.mu.closing = true
	for c := range f.mu.unknown {
		_ = c.Close() // its goroutine sees the error
	}
	f.mu.Unlock()
	if first {
		close(f.stop)
	}
	err := f.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	if f.http != nil {
		if herr := f.http.Shutdown(ctx); herr != nil {
			err = errors.Join(herr, f.http.Close())
		}
	}
	_ = f.httpConn.Close()
	_ = f.grpcConn.Close()
	<-f.done
	return err
}

// acceptLoop takes connections until the listener is closed. When the process
// is out of descriptors it waits a little, as net/http does.
func (f *Front) acceptLoop() error {
	const firstPause, longestPause = 5 * time.Millisecond, time.Second
	pause := firstPause
	for {
		c, err := f.listener.Accept()
		switch {
		case err == nil:
			pause = firstPause
			f.routines.Go(func() { f.route(c) })
		case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED):
			f.cfg.Logger.Warn("cannot accept a connection, trying again", zap.Error(err), zap.Duration("retry-in", pause))
			timer := f.cfg.Clock.NewTimer(pause)
			select {
			case <-timer.C():
			case <-f.stop:
			}
			timer.Stop()
			pause = min(2*pause, longestPause)
		default:
			_ = f.httpConn.Close()
			_ = f.grpcConn.Close()
			return err
		}
	}
}

// route finds out what a connection speaks and hands it over.
func (f *Front) route(c net.Conn) {
	if !f.hold(c) {
		_ = c.Close()
		return
	}
	var head [len(preface)]byte
	n, kind, err := f.sniff(c, head[:])
	f.letGo(c)
	if err != nil {
		_ = c.Close()
		return
	}
	to := f.httpConn
	if kind == protocolHTTP2 {
		to = f.grpcConn
	}
	to.put(&sniffed{Conn: c, head: append([]byte(nil), head[:n]...)})
}

// hold notes a connection for Shutdown; false means Shutdown was first.
func (f *Front) hold(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.closing {
		return false
	}
	f.mu.unknown[c] = struct{}{}
	return true
}

func (f *Front) letGo(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.mu.unknown, c)
}

// sniff reads until the protocol is clear and returns how much of head it
// filled.
func (f *Front) sniff(c net.Conn, head []byte) (n int, p protocol, err error) {
	if err := c.SetReadDeadline(f.cfg.Clock.Now().Add(f.cfg.SniffTimeout)); err != nil {
		return 0, protocolUnknown, err
	}
	for p = protocolUnknown; p == protocolUnknown; p = classify(head[:n]) {
		k, err := c.Read(head[n:])
		n += k
		if err != nil && classify(head[:n]) == protocolUnknown {
			return n, protocolUnknown, err
		}
	}
	return n, p, c.SetReadDeadline(time.Time{})
}
