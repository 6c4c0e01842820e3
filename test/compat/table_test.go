package compat

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTable runs the compatibility table of test/table against etcd, so that
// every expectation in it is proven against the original. The table belongs to
// the product's module; its test binary is run as a process, so that etcd keeps
// the versions of the libraries it was released with.
//
// KEELSON_TABLE_REWRITE=1 writes etcd's answers into the table.
func TestTable(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "table.test.exe")
	build := exec.Command("go", "test", "-c", "-o", binary, "./test/table")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c ./test/table: %v\n%s", err, out)
	}
	etcd := startEtcd(t, serverOptions{dir: filepath.Join(t.TempDir(), "etcd"), noSync: true})
	run := exec.CommandContext(t.Context(), binary, "-test.run=^TestTable$", "-test.v", "-test.timeout=5m")
	run.Dir = filepath.Join("..", "table")
	run.Env = append(cleanEnvironment(), "KEELSON_TABLE_TARGET="+strings.TrimPrefix(etcd.clientURL, "http://"))
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("etcd answers otherwise: %v\n%s", err, failures(string(out)))
	}
	if !strings.Contains(string(out), " rows") {
		t.Fatalf("the table did not run:\n%s", out)
	}
}

// failures leaves out what a test binary says of tests that pass.
func failures(out string) string {
	var kept []string
	for line := range strings.Lines(out) {
		if text := strings.TrimSpace(line); !strings.HasPrefix(text, "=== ") && !strings.HasPrefix(text, "--- PASS") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
