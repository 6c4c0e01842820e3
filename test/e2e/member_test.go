package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// patience is how long anything may take before a test gives up. Nothing
	// takes as long unless it hangs.
	patience = 60 * time.Second
	// readyLine is logged when a member serves and has its signal handlers.
	readyLine = `"successfully notified init daemon"`
)

// member is a data directory and the process that serves it.
type member struct {
	t          testing.TB
	dir        string
	clientAddr string // host:port
	peerAddr   string
	args       []string // on top of the addresses and the data directory
	env        []string
	wrap       []string // a command that execs the server given behind it

	*process
}

// process is one life of a member.
type process struct {
	cmd    *exec.Cmd
	log    *logTail
	exited chan struct{} // closed when cmd.ProcessState is set
}

// startMember starts a member on new data with extra arguments and waits until
// it serves. It is killed at the end of the test.
func startMember(t testing.TB, args ...string) *member {
	t.Helper()
	return startMemberIn(t, filepath.Join(t.TempDir(), "data"), args...)
}

func startMemberIn(t testing.TB, dir string, args ...string) *member {
	t.Helper()
	m := newMember(t, dir, args...)
	m.start()
	return m
}

// newMember does not start it.
func newMember(t testing.TB, dir string, args ...string) *member {
	t.Helper()
	m := &member{t: t, dir: dir, clientAddr: freeAddr(t), peerAddr: freeAddr(t), args: args}
	t.Cleanup(func() {
		if m.process == nil {
			return
		}
		m.kill()
		if t.Failed() {
			t.Logf("last lines of the member's log:\n%s", m.log.tail(40))
		}
	})
	return m
}

func (m *member) clientURL() string { return "http://" + m.clientAddr }

// start launches the process and waits until it serves.
func (m *member) start() {
	m.t.Helper()
	m.launch()
	if !m.awaitReady() {
		m.t.Fatalf("the member did not start: %v\n%s", m.cmd.ProcessState, m.log.tail(20))
	}
}

// launch starts the process and returns at once.
func (m *member) launch() {
	m.t.Helper()
	args := append([]string{
		"--data-dir=" + m.dir,
		"--listen-client-urls=" + m.clientURL(), "--advertise-client-urls=" + m.clientURL(),
		"--listen-peer-urls=http://" + m.peerAddr, "--initial-advertise-peer-urls=http://" + m.peerAddr,
		"--initial-cluster=default=http://" + m.peerAddr,
	}, m.args...)
	argv := append(append(m.wrap, etcdBinary()), args...)
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), log: newLogTail(), exited: make(chan struct{})}
	p.cmd.Env = append(cleanEnviron(), m.env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState tells how it ended
		p.log.end()
		close(p.exited)
	}()
	m.process = p
}

// cleanEnviron is the environment without the server's and the clients' own
// variables.
func cleanEnviron() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ETCD") {
			env = append(env, v)
		}
	}
	return env
}

// awaitReady reports whether the member serves; false means that it ended.
func (m *member) awaitReady() bool {
	m.t.Helper()
	_, ok := m.log.await(m.t, readyLine)
	return ok
}

// kill ends the process without warning; it does nothing when it has ended.
func (m *member) kill() {
	_ = m.cmd.Process.Kill()
	<-m.exited
}

// terminate sends SIGTERM, waits for the end and checks that it looks like one
// by that signal.
func (m *member) terminate() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	m.awaitExit()
	status, ok := m.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		m.t.Errorf("after SIGTERM the process ended with %v, want killed by that signal", m.cmd.ProcessState)
	}
}

func (m *member) awaitExit() {
	m.t.Helper()
	select {
	case <-m.exited:
	case <-time.After(patience):
		m.t.Fatalf("the process does not end:\n%s", m.log.tail(20))
	}
}

// restart ends the process in order and starts it again.
func (m *member) restart() {
	m.t.Helper()
	m.terminate()
	m.start()
}

// client is a new clientv3 client, closed at the end of the test.
func (m *member) client() *clientv3.Client {
	m.t.Helper()
	c := m.dial()
	m.t.Cleanup(func() { c.Close() })
	return c
}

// dial is a client that the caller closes.
func (m *member) dial() *clientv3.Client {
	m.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{m.clientURL()}, Logger: zap.NewNop(), DialTimeout: patience})
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// conn is a plain gRPC connection, closed at the end of the test.
func (m *member) conn() *grpc.ClientConn {
	m.t.Helper()
	c, err := grpc.NewClient(m.clientAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	return c
}

// get fetches a page of the client URL.
func (m *member) get(path string) (code int, body string) {
	m.t.Helper()
	r, err := http.Get(m.clientURL() + path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// testContext ends when the test has lost its patience.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually looks again and again until ok; it is for what no event tells.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("it never happened: %s", what)
		}
	}
}

// takenPorts are those already given out in this run.
var takenPorts sync.Map

// freeAddr is an address nobody listens on. The port is below those the kernel
// gives to outgoing connections, so that a restarted member finds it free.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := 15000 + rand.IntN(17000)
		if _, taken := takenPorts.LoadOrStore(port, true); taken {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		return l.Addr().String()
	}
	t.Fatal(errors.New("no free port found"))
	return ""
}

// seeded is a random source that can be repeated with KEELSON_SEED.
func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("KEELSON_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatalf("KEELSON_SEED: %v", err)
		}
	}
	t.Logf("KEELSON_SEED=%d go test -run '^%s$' ./test/e2e", seed, t.Name())
	return rand.New(rand.NewPCG(seed, 0))
}
