package compat

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// roleVariable tells a second instance of the test binary what it is.
const roleVariable = "KEELSON_COMPAT_ROLE"

// startLimit is how long a server may take until it serves. Two busy cores
// were seen to need three seconds.
const startLimit = 60 * time.Second

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "etcd":
		runEtcd()
	case "keeper":
		runKeeper()
	default:
		code := m.Run()
		if built.dir != "" {
			os.RemoveAll(built.dir)
		}
		os.Exit(code)
	}
}

// serverOptions are the settings that both kinds of server understand.
type serverOptions struct {
	dir           string
	name          string // default "m"
	clientURL     string
	peerURL       string
	noSync        bool
	snapshotCount int
}

// server is one running member.
type server struct {
	kind      string // "etcd" or "keelson"
	clientURL string
	peerURL   string
	dir       string
	log       string // file with what the server said

	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}
}

// runEtcd is the life of the child process that contains etcd.
func runEtcd() {
	cfg := embed.NewConfig()
	cfg.Name = os.Getenv("COMPAT_NAME")
	cfg.Dir = os.Getenv("COMPAT_DIR")
	client := mustURL(os.Getenv("COMPAT_CLIENT_URL"))
	peer := mustURL(os.Getenv("COMPAT_PEER_URL"))
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.LogLevel = "error"
	cfg.LogOutputs = []string{"stderr"}
	cfg.UnsafeNoFsync = os.Getenv("COMPAT_NO_SYNC") == "true"
	if count := os.Getenv("COMPAT_SNAPSHOT_COUNT"); count != "0" {
		fmt.Sscan(count, &cfg.SnapshotCount)
	}
	member, err := embed.StartEtcd(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start etcd:", err)
		os.Exit(1)
	}
	select {
	case <-member.Server.ReadyNotify():
		fmt.Println("ready")
	case err := <-member.Err():
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if line == "stop\n" {
		member.Close()
	}
	os.Exit(0)
}

// runKeeper starts the command given after the role and ends it when told to,
// at the latest when the test is gone.
func runKeeper() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
		os.Exit(1)
	}
	go func() {
		in := bufio.NewReader(os.Stdin)
		if line, _ := in.ReadString('\n'); line == "stop\n" {
			cmd.Process.Signal(syscall.SIGTERM)
			in.ReadString('\n') // until the test has lost its patience, or is gone
		}
		cmd.Process.Kill()
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(max(exit.ExitCode(), 1))
	}
	os.Exit(0)
}

// startEtcd starts an etcd 3.7 member and waits until it serves.
func startEtcd(t testing.TB, opts serverOptions) *server {
	t.Helper()
	s, err := launch(t, "etcd", opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startKeelson starts the real binary and waits until it serves.
func startKeelson(t testing.TB, opts serverOptions) *server {
	t.Helper()
	s, err := launch(t, keelsonKind(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// launch starts a member of either kind. A port that was free a moment ago may
// be taken by someone else; the start is then tried again with others.
func launch(t testing.TB, kind string, opts serverOptions) (s *server, err error) {
	if opts.name == "" {
		opts.name = "m"
	}
	chosen := opts
	for try := 0; try < 3; try++ {
		chosen = opts
		if chosen.clientURL == "" {
			chosen.clientURL = freeURL(t)
		}
		if chosen.peerURL == "" {
			chosen.peerURL = freeURL(t)
		}
		if s, err = launchOnce(t, kind, chosen); err == nil {
			t.Cleanup(s.kill)
			return s, nil
		}
		if !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return nil, err
}

func launchOnce(t testing.TB, kind string, opts serverOptions) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{kind: kind, clientURL: opts.clientURL, peerURL: opts.peerURL, dir: opts.dir, done: make(chan struct{})}
	ready := "ready\n"
	if kind == "etcd" {
		s.cmd = exec.Command(self)
		s.cmd.Env = append(cleanEnvironment(), roleVariable+"=etcd",
			"COMPAT_NAME="+opts.name, "COMPAT_DIR="+opts.dir,
			"COMPAT_CLIENT_URL="+opts.clientURL, "COMPAT_PEER_URL="+opts.peerURL,
			fmt.Sprintf("COMPAT_NO_SYNC=%t", opts.noSync), fmt.Sprintf("COMPAT_SNAPSHOT_COUNT=%d", opts.snapshotCount))
	} else {
		args := []string{keelsonBinary(t), "--name=" + opts.name, "--data-dir=" + opts.dir,
			"--listen-client-urls=" + opts.clientURL, "--advertise-client-urls=" + opts.clientURL,
			"--listen-peer-urls=" + opts.peerURL, "--initial-advertise-peer-urls=" + opts.peerURL,
			"--initial-cluster=" + opts.name + "=" + opts.peerURL,
			"--log-outputs=stderr", fmt.Sprintf("--unsafe-no-fsync=%t", opts.noSync)}
		if opts.snapshotCount > 0 {
			args = append(args, fmt.Sprintf("--snapshot-count=%d", opts.snapshotCount))
		}
		s.cmd = exec.Command(self, args...)
		s.cmd.Env = append(cleanEnvironment(), roleVariable+"=keeper")
		ready = "ready to serve client requests"
	}
	return s, s.start(ready)
}

// start runs the child, keeps what it says in a file and returns when a line
// with the word for readiness has been seen.
func (s *server) start(ready string) error {
	if s.stdin, _ = s.cmd.StdinPipe(); s.stdin == nil {
		return errors.New("no pipe to the child")
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	s.log = filepath.Join(filepath.Dir(s.dir), filepath.Base(s.dir)+".log")
	file, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	watcher := &lineWatcher{file: file, want: ready, seen: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = watcher, watcher
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		s.cmd.Wait()
		file.Close()
		close(s.done)
	}()
	select {
	case <-watcher.seen:
		return nil
	case <-s.done:
		return fmt.Errorf("%s ended during its start:\n%s", s.kind, s.said())
	case <-time.After(startLimit):
		s.kill()
		return fmt.Errorf("%s did not start within %v:\n%s", s.kind, startLimit, s.said())
	}
}

// stop ends the server in order.
func (s *server) stop() error {
	io.WriteString(s.stdin, "stop\n")
	select {
	case <-s.done:
		return nil
	case <-time.After(startLimit):
		s.kill()
		return fmt.Errorf("%s did not stop within %v:\n%s", s.kind, startLimit, s.said())
	}
}

// kill ends the server as a power cut would, as far as the process goes: the
// keeper kills Keelson when its input closes, etcd's process exits at once.
func (s *server) kill() {
	s.stdin.Close()
	<-s.done
}

// said returns the end of what the server wrote.
func (s *server) said() string {
	const most = 20_000
	text, _ := os.ReadFile(s.log)
	return string(text[max(0, len(text)-most):])
}

// lastWords is how a server that ended by itself ended; empty while it runs.
func (s *server) lastWords() string {
	select {
	case <-s.done:
	case <-time.After(500 * time.Millisecond):
		return ""
	}
	said := s.said()
	if at := strings.Index(said, "panic: "); at >= 0 {
		said, _, _ = strings.Cut(said[at:], "\n")
	}
	return s.cmd.ProcessState.String() + ": " + said
}

// lineWatcher copies what a child says into a file and closes seen when want
// appears in it.
type lineWatcher struct {
	mu   sync.Mutex
	file *os.File
	want string
	seen chan struct{}
	text strings.Builder
	hit  bool
}

func (w *lineWatcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.hit {
		w.text.Write(p)
		if strings.Contains(w.text.String(), w.want) {
			w.hit = true
			close(w.seen)
		}
	}
	w.file.Write(p)
	return len(p), nil
}

// built is the Keelson binary, made once for all tests of this run.
var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// keelsonBinary returns the path of the Keelson server.
func keelsonBinary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("KEELSON_COMPAT_BIN"); path != "" {
		return path
	}
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "keelson-compat"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "etcd")
		if runtime.GOOS == "windows" {
			built.path += ".exe"
		}
		build := exec.Command("go", "build", "-o", built.path, "./cmd/etcd")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build ./cmd/etcd: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// keelsonKind is what runs on Keelson's side of a comparison. Comparing etcd
// with itself shows that the comparison itself finds nothing.
func keelsonKind() string {
	if os.Getenv("KEELSON_COMPAT_BIN") == "etcd" {
		return "etcd"
	}
	return "keelson"
}

// cleanEnvironment is ours without variables that would configure a server.
func cleanEnvironment() []string {
	var out []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "ETCD_") {
			out = append(out, entry)
		}
	}
	return out
}

func freeURL(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "http://" + listener.Addr().String()
}

func mustURL(text string) url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return *u
}
