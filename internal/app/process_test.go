package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keelson/internal/clock"
	"keelson/internal/config"
	"keelson/internal/vfs"
)

// fakeMember stops or serves as a test wants.
type fakeMember struct {
	ready, done chan struct{}
	err         error
	closed      bool
}

func (m *fakeMember) Ready() <-chan struct{} { return m.ready }
func (m *fakeMember) Done() <-chan struct{}  { return m.done }
func (m *fakeMember) Err() error             { return m.err }
func (m *fakeMember) Close()                 { m.closed = true }

func closedChan() chan struct{} { c := make(chan struct{}); close(c); return c }

// lockedBuffer is a terminal.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// proc is a process under test.
type proc struct {
	sys            System
	stdout, stderr lockedBuffer
	signals        chan syscall.Signal
	notified       []string
	member         *fakeMember
	startErr       error
	started        *config.Config
}

func newProc(args ...string) *proc {
	p := &proc{
		signals: make(chan syscall.Signal, 1),
		member:  &fakeMember{ready: closedChan(), done: make(chan struct{})},
	}
	p.sys = System{
		Args: append([]string{"etcd"}, args...), PID: 4711,
		Stdout: &p.stdout, Stderr: &p.stderr,
		Build:    config.Build{GitSHA: "abc", GoVersion: "go1.26", OS: "linux", Arch: "amd64"},
		ReadFile: func(string) ([]byte, error) { return nil, errors.New("no file") },
		Signals:  func() <-chan syscall.Signal { return p.signals },
		Notify:   func(s string) error { p.notified = append(p.notified, s); return nil },
		FS:       vfs.NewMem(),
		Clock:    clock.NewFake(time.Unix(1700000000, 0)),
	}
	return p
}

func (p *proc) run() Exit {
	return Main(context.Background(), p.sys, func(_ context.Context, cfg *config.Config, out Outside) (Running, error) {
		p.started = cfg
		if out.FS == nil || out.Clock == nil || out.Logger == nil || out.Metrics == nil || out.Rand == nil {
			return nil, errors.New("something of the outside is missing")
		}
		if p.startErr != nil {
			return nil, p.startErr
		}
		return p.member, nil
	})
}

// messages returns "level message" of each line of the log.
func (p *proc) messages(t *testing.T) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(p.stderr.String()) {
		var l struct{ Level, Ts, Caller, Msg string }
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Level == "" || l.Ts == "" || l.Caller == "" || l.Msg == "" {
			t.Fatalf("not a line of the log: %q", line)
		}
		out = append(out, l.Level+" "+l.Msg)
	}
	return out
}

func has(list []string, want string) bool {
	for _, s := range list {
		if s == want {
			return true
		}
	}
	return false
}

func TestExitsBeforeLogging(t *testing.T) {
	for _, row := range []struct {
		args           []string
		arch           string
		code           int
		stdout, stderr string // starts of
	}{
		{args: []string{"--version"}, stdout: "etcd Version: 3.7.1\nGit SHA: abc\nGo Version: go1.26\nGo OS/Arch: linux/amd64\n"},
		{args: []string{"--help"}, stdout: "\nMember:\n  --name 'default'\n", stderr: "\nUsage:\n"},
		{args: []string{"--nope"}, code: 2, stderr: "flag provided but not defined: -nope\n\nUsage:\n"},
		{args: []string{"--log-level=x"}, code: 2, stderr: "panic: unrecognized level: \"x\"\n"},
		{args: []string{"gateway", "start"}, code: 1, stderr: "etcd gateway is not supported yet"},
		{args: []string{"grpc-proxy"}, code: 1, stderr: "etcd grpc-proxy is not supported yet"},
		{arch: "mips", code: 1, stdout: "etcd on unsupported platform without ETCD_UNSUPPORTED_ARCH=mips set\n"},
	} {
		p := newProc(row.args...)
		if row.arch != "" {
			p.sys.Build.Arch = row.arch
		}
		if exit := p.run(); exit != (Exit{Code: row.code}) {
			t.Errorf("%v: %+v", row.args, exit)
		}
		if !strings.HasPrefix(p.stdout.String(), row.stdout) || !strings.HasPrefix(p.stderr.String(), row.stderr) {
			t.Errorf("%v: stdout %q stderr %q", row.args, p.stdout.String(), p.stderr.String())
		}
		if p.started != nil {
			t.Errorf("%v: started", row.args)
		}
	}
}

func TestRefusedConfiguration(t *testing.T) {
	p := newProc("--listen-client-urls=http://127.0.0.1:1")
	if exit := p.run(); exit.Code != 1 {
		t.Errorf("%+v", exit)
	}
	got := p.messages(t)
	if got[0] != "info Running: " || !has(got, "warn failed to verify flags") || !has(got, "warn advertise client URLs are not set") {
		t.Errorf("%q", got)
	}
	if !strings.Contains(p.stderr.String(), `"msg":"Running: ","args":["etcd","--listen-client-urls=http://127.0.0.1:1"]}`) {
		t.Errorf("%s", p.stderr.String())
	}

	p = newProc("--name=x")
	p.sys.Environ = []string{"ETCD_NAME=y"}
	if exit := p.run(); exit.Code != 1 {
		t.Errorf("%+v", exit)
	}
	if got := p.messages(t); !strings.HasPrefix(got[len(got)-1], "fatal conflicting environment variable") {
		t.Errorf("%q", got)
	}

	p = newProc("--log-outputs=/no/such/dir/x.log")
	if exit := p.run(); exit.Code != 1 || !has(p.messages(t), "warn failed to verify flags") {
		t.Errorf("%+v %s", exit, p.stderr.String())
	}
}

func TestSignal(t *testing.T) {
	for _, row := range []struct {
		pid  int
		want Exit
	}{
		{4711, Exit{Signal: syscall.SIGTERM}},
		{1, Exit{}},
	} {
		p := newProc("--name=n")
		p.sys.PID = row.pid
		p.signals <- syscall.SIGTERM
		if exit := p.run(); exit != row.want {
			t.Errorf("pid %d: %+v", row.pid, exit)
		}
		got := p.messages(t)
		if !p.member.closed || !has(got, "info received signal; shutting down") || !has(got, "info successfully notified init daemon") || !has(got, "info Initialize and start etcd server") {
			t.Errorf("%v %q", p.member.closed, got)
		}
		if !strings.Contains(p.stderr.String(), `"signal":"terminated"`) {
			t.Error(p.stderr.String())
		}
		if len(p.notified) != 1 || p.notified[0] != "READY=1" {
			t.Errorf("notified %v", p.notified)
		}
		if p.started.DataDir != "n.etcd" {
			t.Errorf("%q", p.started.DataDir)
		}
	}
}

func TestNoHandlerBeforeReady(t *testing.T) {
	p := newProc()
	p.member.ready = nil
	p.member.done = closedChan()
	p.sys.Signals = func() <-chan syscall.Signal { t.Error("installed"); return nil }
	if exit := p.run(); exit != (Exit{Code: 1}) || len(p.notified) != 0 {
		t.Errorf("%+v %v", exit, p.notified)
	}
}

func TestStoppedItself(t *testing.T) {
	p := newProc()
	p.member.done = make(chan struct{})
	p.sys.Notify = func(string) error { close(p.member.done); return errors.New("no daemon") }
	if exit := p.run(); exit != (Exit{}) {
		t.Errorf("removed: %+v", exit)
	}
	if got := p.messages(t); !has(got, "error failed to notify systemd for readiness") {
		t.Errorf("%q", got)
	}

	p = newProc()
	p.member.err = errors.New("boom")
	p.member.ready, p.member.done = nil, closedChan()
	if exit := p.run(); exit != (Exit{Code: 1}) || !has(p.messages(t), "fatal listener failed") || !p.member.closed {
		t.Errorf("%+v %s", exit, p.stderr.String())
	}

	p = newProc()
	p.startErr = errors.New("bind: address already in use")
	if exit := p.run(); exit != (Exit{Code: 1}) || !has(p.messages(t), "fatal discovery failed") {
		t.Errorf("%+v %s", exit, p.stderr.String())
	}
}

func TestDataDir(t *testing.T) {
	for _, row := range []struct {
		dirs string
		code int
		want string
	}{
		{"member", 0, "info server has already been initialized"},
		{"proxy", 2, "error v2 http proxy has already been deprecated in 3.6"},
		{"member proxy", 1, "fatal invalid datadir; both member and proxy directories exist"},
		{"lost+found", 0, "warn found invalid file under data directory"},
	} {
		p := newProc("--data-dir=d")
		for _, dir := range strings.Fields(row.dirs) {
			if err := p.sys.FS.MkdirAll("d/" + dir); err != nil {
				t.Fatal(err)
			}
		}
		p.member.ready, p.member.done = closedChan(), make(chan struct{})
		p.sys.Notify = func(string) error { close(p.member.done); return nil }
		if exit := p.run(); exit.Code != row.code || !has(p.messages(t), row.want) {
			t.Errorf("%s: %+v %s", row.dirs, exit, p.stderr.String())
		}
	}
}

// TestDefaultHost: whether this machine has a default route is not ours to
// say, but one of the two lines must be there, and the URL must follow.
func TestDefaultHost(t *testing.T) {
	p := newProc("--name=n", "--listen-peer-urls=http://0.0.0.0:2380")
	p.signals <- syscall.SIGINT
	p.run()
	got := p.messages(t)
	followed := !strings.Contains(p.started.Cluster.Initial, "localhost")
	if has(got, "info detected default host for advertise") != followed || has(got, "info failed to detect default host") == followed {
		t.Errorf("%s %q", p.started.Cluster.Initial, got)
	}
}
