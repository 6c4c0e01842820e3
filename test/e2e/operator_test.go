package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ended is a process that ran to its end.
type ended struct {
	code           int
	stdout, stderr string
}

// runEtcd runs the server with arguments with which it does not stay.
func runEtcd(t *testing.T, env []string, args ...string) ended {
	t.Helper()
	ctx := testContext(t)
	cmd := exec.CommandContext(ctx, etcdBinary(), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(cleanEnviron(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ended{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// TestExitCodes: what scripts and supervisors see of a bad start.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		env  []string
		args []string
		code int
		says string // on either stream
	}{
		{"help", nil, []string{"--help"}, 0, "--listen-client-urls"},
		{"unknown flag", nil, []string{"--no-such-flag"}, 2, "flag provided but not defined: -no-such-flag\n"},
		{"bad value", nil, []string{"--snapshot-count=many"}, 2, `invalid value "many" for flag -snapshot-count: `},
		{"size with a suffix", nil, []string{"--quota-backend-bytes=8GB"}, 2, `invalid value "8GB" for flag -quota-backend-bytes: `},
		{"bad state", nil, []string{"--initial-cluster-state=old"}, 2, `invalid value "old" for flag -initial-cluster-state: `},
		{"stray word", nil, []string{"start"}, 1, `start\\" is not a valid flag`},
		{"flag and variable", []string{"ETCD_NAME=a"}, []string{"--name=b"}, 1,
			`conflicting environment variable is shadowed by corresponding command-line flag`},
		{"bad variable", []string{"ETCD_SNAPSHOT_COUNT=many"}, nil, 1, `invalid value .*many.* for ETCD_SNAPSHOT_COUNT: `},
		{"no advertised URL", nil, []string{"--listen-client-urls=http://127.0.0.1:1"}, 1,
			"--advertise-client-urls is required when --listen-client-urls is set explicitly"},
		{"slow heartbeat", nil, []string{"--heartbeat-interval=500"}, 1,
			`--election-timeout\[1000ms\] should be at least as 5 times as --heartbeat-interval\[500ms\]`},
		{"missing file", nil, []string{"--config-file=nothing.yaml"}, 1, "nothing.yaml"},
		{"not supported yet", nil, []string{"--auto-compaction-retention=1"}, 1, "auto-compaction-retention"},
		{"proxy", nil, []string{"grpc-proxy", "start"}, 1, "not supported yet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := runEtcd(t, c.env, c.args...)
			said := got.stdout + got.stderr
			if got.code != c.code || !(strings.Contains(said, c.says) || regexp.MustCompile(c.says).MatchString(said)) {
				t.Errorf("exit code %d, want %d, with %q:\n%.2000s", got.code, c.code, c.says, said)
			}
			if strings.Contains(said, "goroutine ") {
				t.Errorf("a stack is not an explanation:\n%.2000s", said)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	got := runEtcd(t, nil, "--version")
	want := regexp.MustCompile(`^etcd Version: 3\.7\.1\nGit SHA: .+\nGo Version: go1\.\S+\nGo OS/Arch: ` + runtime.GOOS + "/" + runtime.GOARCH + `\n$`)
	if got.code != 0 || !want.MatchString(got.stdout) || got.stderr != "" {
		t.Errorf("--version: %+v", got)
	}
}

// TestPages fetches what probes and dashboards fetch.
func TestPages(t *testing.T) {
	t.Parallel()
	m := startMember(t)
	m.log.await(t, "updated cluster version")
	for _, c := range []struct {
		path string
		code int
		body string
	}{
		{"/health", 200, `{"health":"true","reason":""}`},
		{"/health?serializable=true", 200, `{"health":"true","reason":""}`},
		{"/livez", 200, "ok\n"},
		{"/readyz", 200, "ok\n"},
		{"/livez?verbose", 200, "[+]serializable_read ok\nok\n"},
		{"/readyz/linearizable_read", 200, "ok\n"},
		{"/readyz/nothing", 404, "404 page not found\n"},
		{"/version", 200, `{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}`},
		{"/v2/keys", 404, "404 page not found\n"},
		{"/debug/pprof/", 404, "404 page not found\n"},
	} {
		if code, body := m.get(c.path); code != c.code || body != c.body {
			t.Errorf("GET %s: %d %q, want %d %q", c.path, code, body, c.code, c.body)
		}
	}
	r := must(http.Post(m.clientURL()+"/health", "text/plain", nil))(t)
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /health: %d", r.StatusCode)
	}
	must(m.client().Put(testContext(t), "counted", "1"))(t)
	_, metrics := m.get("/metrics")
	for _, line := range []string{
		`etcd_server_has_leader 1`, `etcd_server_is_leader 1`, `etcd_mvcc_put_total 1`, `etcd_server_quota_backend_bytes 2.147483648e+09`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`,
		`etcd_server_version{server_version="3.7.1"} 1`,
	} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	for _, name := range []string{"etcd_disk_wal_fsync_duration_seconds_count", "process_resident_memory_bytes", "etcd_mvcc_db_total_size_in_bytes", "go_goroutines"} {
		if !strings.Contains(metrics, "\n"+name+" ") {
			t.Errorf("/metrics lacks %s", name)
		}
	}
	var vars map[string]json.RawMessage
	if _, body := m.get("/debug/vars"); json.Unmarshal([]byte(body), &vars) != nil || vars["memstats"] == nil || vars["cmdline"] == nil {
		t.Errorf("/debug/vars: %.300s", body)
	}
}

// TestSecondProcess: two processes never share a data directory.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	m := startMember(t)
	second := newMember(t, m.dir)
	second.launch()
	second.awaitExit()
	if code := second.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(second.log.all(), "in use by another process") {
		t.Errorf("a second process on the same data ended with %v:\n%s", second.cmd.ProcessState, second.log.tail(10))
	}
	must(m.client().Put(testContext(t), "first", "lives"))(t)
	// Killed is not stopped in order, but its lock is gone all the same.
	m.kill()
	m.start()
}

// TestTakenPort: the process ends with an error that names the address.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	m := startMember(t)
	second := newMember(t, filepath.Join(t.TempDir(), "other"))
	second.clientAddr = m.clientAddr
	second.launch()
	second.awaitExit()
	if code := second.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(second.log.all(), m.clientAddr+": bind: address already in use") {
		t.Errorf("a second process on the same port ended with %v:\n%s", second.cmd.ProcessState, second.log.tail(10))
	}
}

// TestUnusableDataDir: the error names the directory and the reason.
func TestUnusableDataDir(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	etcds := filepath.Join(t.TempDir(), "etcds")
	if err := os.MkdirAll(filepath.Join(etcds, "member", "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(etcds, "member", "snap", "db"), []byte("bbolt"), 0o600); err != nil {
		t.Fatal(err)
	}
	dirs := map[string]string{file: "not a directory", etcds: "was written by etcd"}
	if os.Geteuid() != 0 { // root may write anywhere
		sealed := t.TempDir()
		if err := os.Chmod(sealed, 0o500); err != nil {
			t.Fatal(err)
		}
		dirs[filepath.Join(sealed, "data")] = "permission denied"
	}
	for dir, reason := range dirs {
		m := newMember(t, dir)
		m.launch()
		m.awaitExit()
		said := m.log.all()
		if code := m.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(said, reason) || !strings.Contains(said, dir) {
			t.Errorf("data directory %s: %v, want exit code 1 and %q:\n%s", dir, m.cmd.ProcessState, reason, m.log.tail(10))
		}
	}
}

// TestSignals: both end the process in order, and its status says by what.
func TestSignals(t *testing.T) {
	t.Parallel()
	m := startMember(t)
	must(m.client().Put(testContext(t), "k", "v"))(t)
	m.terminate()
	if !strings.Contains(m.log.all(), `"received signal; shutting down","signal":"terminated"`) ||
		!strings.Contains(m.log.all(), `"closed etcd server"`) {
		t.Errorf("the log of an orderly stop:\n%s", m.log.tail(10))
	}
	m.start()
	if !strings.Contains(m.log.all(), `"entries-to-apply":0`) {
		t.Error("an orderly stop leaves entries to apply again")
	}
	if err := m.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	m.awaitExit()
	if status, ok := m.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("after SIGINT the process ended with %v", m.cmd.ProcessState)
	}
}

// TestIgnoredInterrupt: a script's background job has SIGINT ignored, so it
// cannot die by it; it ends all the same and says so by its exit code.
func TestIgnoredInterrupt(t *testing.T) {
	t.Parallel()
	m := newMember(t, filepath.Join(t.TempDir(), "data"))
	m.wrap = []string{"sh", "-c", `trap "" INT; exec "$@"`, "sh"}
	m.start()
	if err := m.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	m.awaitExit()
	if code := m.cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("ended with %v, want exit code 130", m.cmd.ProcessState)
	}
}

// TestLeaseAcrossRestart: a restart does not give a lease its whole time again.
func TestLeaseAcrossRestart(t *testing.T) {
	t.Parallel()
	m := startMember(t)
	ctx, cli := testContext(t), m.client()
	lease := must(cli.Grant(ctx, 60))(t).ID
	short := must(cli.Grant(ctx, 4))(t).ID
	must(cli.Put(ctx, "kept", "1", clientv3.WithLease(lease)))(t)
	put := must(cli.Put(ctx, "lost", "1", clientv3.WithLease(short)))(t)
	left := func() int64 {
		return must(cli.TimeToLive(ctx, lease, clientv3.WithAttachedKeys()))(t).TTL
	}
	eventually(t, "some of the lease is used up", func() bool { return left() <= 57 })
	m.restart()
	// What is left is stored in whole seconds, rounded up: never early.
	if ttl := left(); ttl > 58 || ttl < 30 {
		t.Errorf("after the restart %d s are left, want 58 or less", ttl)
	}
	// The other one had little left.
	select {
	case r := <-cli.Watch(ctx, "lost", clientv3.WithRev(put.Header.Revision+1)):
		if len(r.Events) != 1 || r.Events[0].Type != clientv3.EventTypeDelete {
			t.Errorf("watch of the key of the short lease: %v", r)
		}
	case <-time.After(patience):
		t.Error("the short lease never ends")
	}
	if r := must(cli.Get(ctx, "kept"))(t); len(r.Kvs) != 1 || r.Kvs[0].Lease != int64(lease) {
		t.Errorf("the key of the long lease: %v", r)
	}
}

// TestConfigurationFile starts from a file, as packages and k3s do.
func TestConfigurationFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMember(t, filepath.Join(dir, "data"))
	file := filepath.Join(dir, "etcd.yaml")
	text := strings.Join([]string{
		"name: from-file", "data-dir: " + m.dir,
		"listen-client-urls: " + m.clientURL(), "advertise-client-urls: " + m.clientURL(),
		"listen-peer-urls: http://" + m.peerAddr, "initial-advertise-peer-urls: http://" + m.peerAddr,
		"initial-cluster: from-file=http://" + m.peerAddr, "snapshot-count: 77", "unknown-key: ignored", "",
	}, "\n")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.args = []string{"--config-file=" + file, "--name=ignored"}
	m.start()
	list := must(m.client().MemberList(testContext(t)))(t)
	if list.Members[0].Name != "from-file" {
		t.Errorf("the member is called %q", list.Members[0].Name)
	}
	if line, _ := m.log.await(t, "starting an etcd server"); !strings.Contains(line, `"snapshot-count":77,`) {
		t.Errorf("the log of the start: %s", line)
	}
}

// TestEnvironment starts from variables, as charts do, among others that mean
// nothing.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	m := newMember(t, filepath.Join(t.TempDir(), "data"))
	m.env = []string{"ETCD_NAME=default", "ETCD_SNAPSHOT_COUNT=78", "ETCD_ON_K8S=yes", "ETCD_PORT_2379_TCP=tcp://10.0.0.1:2379"}
	m.start()
	log := m.log.all()
	for _, want := range []string{`"snapshot-count":78,`, `recognized and used environment variable`, `"unrecognized environment variable","environment-variable":"ETCD_ON_K8S=yes"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}
