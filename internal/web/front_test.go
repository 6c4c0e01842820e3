package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"keelson/internal/clock"
	"keelson/internal/vfs"
)

// hello answers every path.
func hello() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello %s", r.URL.Path) })
}

func frontConfig(srv *grpc.Server) FrontConfig {
	cfg := FrontConfig{HTTP: hello(), Clock: clock.Real{}, Logger: zap.NewNop()}
	if srv != nil {
		healthpb.RegisterHealthServer(srv, health.NewServer())
		cfg.GRPC = srv.Serve
	}
	return cfg
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := Listen(t.Context(), "tcp", "127.0.0.1:0", ListenOptions{ReusePort: true, ReuseAddress: true})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// within bounds a wait that must end; it is no measurement.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func shutdown(t *testing.T, f *Front) {
	t.Helper()
	if err := f.Shutdown(within(t)); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if f.Err() != nil {
		t.Errorf("after shutdown: %v", f.Err())
	}
}

func dial(t *testing.T, f *Front) net.Conn {
	t.Helper()
	c, err := net.Dial(f.Addr().Network(), f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// fetch sends an HTTP/1.1 request on c and returns the body.
func fetch(t *testing.T, c net.Conn, path string) string {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func checkGRPC(t *testing.T, target string) {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	resp, err := healthpb.NewHealthClient(conn).Check(within(t), &healthpb.HealthCheckRequest{})
	if err != nil || resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("grpc: %v %v", resp, err)
	}
}

func TestBothProtocolsOnOnePort(t *testing.T) {
	srv := grpc.NewServer()
	f := Serve(listen(t), frontConfig(srv))
	checkGRPC(t, f.Addr().String())
	c := dial(t, f)
	for _, path := range []string{"/a", "/b"} { // kept alive
		if got := fetch(t, c, path); got != "hello "+path {
			t.Errorf("%q", got)
		}
	}
	// h2c by upgrade is not offered: the answer is HTTP/1.1.
	up := dial(t, f)
	fmt.Fprint(up, "GET /u HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
	if line, err := bufio.NewReader(up).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Errorf("%q %v", line, err)
	}
	// Nonsense is the HTTP server's business.
	bad := dial(t, f)
	fmt.Fprint(bad, "\x16\x03\x01\x02\x00\r\n\r\n")
	if line, err := bufio.NewReader(bad).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 400 ") {
		t.Errorf("%q %v", line, err)
	}
	srv.GracefulStop()
	shutdown(t, f)
}

// TestPrefaceByteByByte: the decision does not depend on packet borders.
func TestPrefaceByteByByte(t *testing.T) {
	got := make(chan []byte, 1)
	cfg := frontConfig(nil)
	cfg.GRPC = func(l net.Listener) error {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		buf := make([]byte, len(preface)+3)
		_, err = io.ReadFull(c, buf)
		got <- buf
		return err
	}
	f := Serve(listen(t), cfg)
	c := dial(t, f)
	for _, b := range []byte(preface + "xyz") {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if b := <-got; string(b) != preface+"xyz" {
		t.Errorf("%q", b)
	}
	shutdown(t, f)
}

// TestHalfOpen: a connection that does not say what it speaks is dropped, and
// others are served meanwhile.
func TestHalfOpen(t *testing.T) {
	srv := grpc.NewServer()
	cfg := frontConfig(srv)
	cfg.SniffTimeout = 500 * time.Millisecond
	f := Serve(listen(t), cfg)
	silent, stalled := dial(t, f), dial(t, f)
	if _, err := stalled.Write([]byte(preface[:9])); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, dial(t, f), "/x"); got != "hello /x" {
		t.Errorf("%q", got)
	}
	for _, c := range []net.Conn{silent, stalled} {
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("got %d bytes instead of the end", n)
		}
	}
	f.mu.Lock()
	if n := len(f.mu.unknown); n != 0 {
		t.Errorf("%d connections held", n)
	}
	f.mu.Unlock()
	srv.Stop()
	shutdown(t, f)
}

// TestSlowHeaders: having shown its protocol is not enough.
func TestSlowHeaders(t *testing.T) {
	cfg := frontConfig(grpc.NewServer())
	cfg.HeaderTimeout = 100 * time.Millisecond
	f := Serve(listen(t), cfg)
	c := dial(t, f)
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	shutdown(t, f)
}

// TestShutdownEndsHalfOpen: no goroutine is left behind, whatever a client
// waits for.
func TestShutdownEndsHalfOpen(t *testing.T) {
	srv := grpc.NewServer()
	f := Serve(listen(t), frontConfig(srv))
	var conns []net.Conn
	for range 50 {
		conns = append(conns, dial(t, f))
	}
	fetch(t, dial(t, f), "/") // all before it were accepted
	srv.Stop()
	shutdown(t, f)
	select {
	case <-f.Done():
	default:
		t.Error("not done")
	}
	for _, c := range conns {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("still open")
		}
	}
	if _, err := net.Dial("tcp", f.Addr().String()); err == nil {
		t.Error("still listening")
	}
	shutdown(t, f) // twice is once
}

// counted counts what a listener handed out.
type counted struct {
	net.Listener
	mu       sync.Mutex
	accepted int
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		c.accepted++
		c.mu.Unlock()
	}
	return conn, err
}

func (c *counted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted
}

func TestConnectionLimit(t *testing.T) {
	cfg := frontConfig(grpc.NewServer())
	cfg.MaxConns = 1
	l := &counted{Listener: listen(t)}
	f := Serve(l, cfg)
	first, second := dial(t, f), dial(t, f)
	fetch(t, first, "/")
	if n := l.count(); n != 1 {
		t.Errorf("%d accepted", n)
	}
	_ = first.Close()
	if got := fetch(t, second, "/2"); got != "hello /2" {
		t.Errorf("%q", got)
	}
	shutdown(t, f)
}

func TestOneProtocolOnly(t *testing.T) {
	f := Serve(listen(t), frontConfig(nil))
	if got := fetch(t, dial(t, f), "/m"); got != "hello /m" {
		t.Errorf("%q", got)
	}
	shutdown(t, f)

	srv := grpc.NewServer()
	cfg := frontConfig(srv)
	cfg.HTTP = nil
	f = Serve(listen(t), cfg)
	checkGRPC(t, f.Addr().String())
	srv.GracefulStop()
	shutdown(t, f)
}

// failing is a listener that is out of descriptors, then broken.
type failing struct {
	net.Listener
	errs chan error
}

func (f *failing) Accept() (net.Conn, error) { return nil, <-f.errs }

func TestAcceptFails(t *testing.T) {
	broken := errors.New("broken")
	l := &failing{listen(t), make(chan error, 2)}
	clk := clock.NewFake(time.Unix(0, 0))
	cfg := frontConfig(grpc.NewServer())
	cfg.Clock = clk
	l.errs <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
	l.errs <- broken
	f := Serve(l, cfg)
	clk.BlockUntil(1) // it waits before it tries again
	if f.Err() != nil {
		t.Errorf("gave up: %v", f.Err())
	}
	clk.Advance(time.Second)
	select {
	case <-f.Done():
	case <-within(t).Done():
		t.Fatal("serves on")
	}
	if !errors.Is(f.Err(), broken) {
		t.Errorf("%v", f.Err())
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close() // the file stays, as after a crash
	l, err := Listen(t.Context(), "unix", path, ListenOptions{FS: vfs.OS{}})
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	f := Serve(l, frontConfig(srv))
	checkGRPC(t, "unix:"+path)
	if got := fetch(t, dial(t, f), "/s"); got != "hello /s" {
		t.Errorf("%q", got)
	}
	srv.GracefulStop()
	shutdown(t, f)
	if _, err := Listen(t.Context(), "unix", filepath.Join(path, "no", "dir"), ListenOptions{FS: vfs.OS{}}); err == nil {
		t.Error("bound a socket nowhere")
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := Listen(t.Context(), "tcp", "127.0.0.1:0", ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(t.Context(), "tcp", l.Addr().String(), ListenOptions{}); err == nil || !strings.Contains(err.Error(), "bind: address already in use") {
		t.Errorf("%v", err)
	}
}

// FuzzClassify: whatever arrives, in whatever pieces, exactly what begins with
// the preface is HTTP/2.
func FuzzClassify(f *testing.F) {
	for _, s := range []string{"", "P", "PRI", "POST / HTTP/1.1\r\n", preface, preface + "\x00", "PRI * HTTP/2.0\r\n\r\nSN", "\x16\x03\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := protocolUnknown
		for n := 1; n <= len(data) && got == protocolUnknown; n++ {
			got = classify(data[:n])
		}
		want := protocolHTTP1
		switch {
		case strings.HasPrefix(string(data), preface):
			want = protocolHTTP2
		case strings.HasPrefix(preface, string(data)):
			want = protocolUnknown
		}
		if got != want {
			t.Errorf("%q: %v, want %v", data, got, want)
		}
	})
}
