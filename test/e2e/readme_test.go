package e2e

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	// The same as in main_test.go, for the other binary.
	_ "keelson/internal/ctl"
)

// TestReadmeSession types what the README tells a newcomer to type, with our
// own etcdctl, and looks at what comes out.
func TestReadmeSession(t *testing.T) {
	t.Parallel()
	if err := build("./cmd/etcdctl"); err != nil {
		t.Fatal(err)
	}
	m := startMember(t)
	ctx := testContext(t)
	session := readmeBlock(t, "bin/etcdctl put")
	// The README's bin/ is a directory of the repository; the port is its default.
	home := t.TempDir()
	if err := os.Symlink(binDir, filepath.Join(home, "bin")); err != nil {
		t.Fatal(err)
	}
	session = strings.ReplaceAll(session, "127.0.0.1:2379", m.clientAddr)

	want := []string{"OK", "greeting", "hello", "OK", `{"health":"true","reason":""}`}
	watched := []string{"PUT", "greeting", "hello again"}
	var got []string
	var watch *bufio.Scanner
	for line := range strings.Lines(session) {
		line, background := strings.CutSuffix(strings.TrimSpace(line), "&")
		if line == "" {
			continue
		}
		if url, ok := strings.CutPrefix(line, "curl "); ok { // which need not be there
			_, body := m.get(strings.TrimPrefix(url, m.clientURL()))
			got = append(got, body)
			continue
		}
		cmd := exec.CommandContext(ctx, "bash", "-c", "exec "+line)
		cmd.Dir, cmd.SysProcAttr = home, dieWithParent()
		cmd.Env = append(cleanEnviron(), "ETCDCTL_ENDPOINTS=http://"+m.clientAddr)
		if background {
			watch = startInBackground(t, m, cmd)
			continue
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		got = append(got, strings.Split(strings.TrimRight(string(out), "\n"), "\n")...)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the session printed:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, w := range watched {
		if !watch.Scan() || watch.Text() != w {
			t.Fatalf("the watch printed %q, want %q", watch.Text(), w)
		}
	}
}

// startInBackground starts a watch and waits until the member has it.
func startInBackground(t *testing.T, m *member, cmd *exec.Cmd) *bufio.Scanner {
	t.Helper()
	watchers := regexp.MustCompile(`(?m)^etcd_debugging_mvcc_watcher_total [1-9]`)
	out := must(cmd.StdoutPipe())(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	eventually(t, "the watch is registered", func() bool {
		_, metrics := m.get("/metrics")
		return watchers.MatchString(metrics)
	})
	return bufio.NewScanner(out)
}

// readmeBlock is the block of shell commands in the README that has a text.
func readmeBlock(t *testing.T, has string) string {
	t.Helper()
	text := string(must(os.ReadFile(filepath.Join(repoRoot, "README.md")))(t))
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		if strings.Contains(block[1], has) {
			return block[1]
		}
	}
	t.Fatalf("the README has no block with %q", has)
	return ""
}
