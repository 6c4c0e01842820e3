package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	// The binaries are built from these. Without the imports the cache of `go
	// test` would not know that a change there makes the old result stale.
	_ "keelson/internal/app"
)

// repoRoot is where `go build` runs: tests start in their package's directory.
const repoRoot = "../.."

// binDir holds the binaries of this run. Set once by TestMain.
var binDir string

// etcdBinary is the server under test.
func etcdBinary() string { return filepath.Join(binDir, "etcd") }

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "keelson-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binDir = dir
	if err := build("./cmd/etcd"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Each test has a member with 250 MB of preallocated files.
	if err := flag.Set("test.parallel", "3"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build puts one command into binDir, as the Makefile does it.
func build(pkg string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", binDir+string(filepath.Separator), pkg)
	cmd.Dir = repoRoot
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
