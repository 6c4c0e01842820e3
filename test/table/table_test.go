package table

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	// The binary is built from these. Without the import the cache of `go test`
	// would not know that a change there makes the old result stale.
	_ "keelson/internal/app"
)

// TestTable runs the table against Keelson's real binary, or against the server
// that KEELSON_TABLE_TARGET names.
func TestTable(t *testing.T) {
	address := os.Getenv("KEELSON_TABLE_TARGET")
	if address == "" {
		address = startKeelson(t)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Logf("%d rows", Run(t, conn))
}

// startKeelson builds the binary, starts it on new data and returns where it
// serves. It is killed at the end of the test.
func startKeelson(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "etcd.exe") // the extension is needed on one system and harmless on others
	build := exec.Command("go", "build", "-o", binary, "./cmd/etcd")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./cmd/etcd: %v\n%s", err, out)
	}
	client, peer := freeAddress(t), freeAddress(t)
	cmd := exec.Command(binary, "--name=m", "--data-dir="+filepath.Join(t.TempDir(), "data"),
		"--listen-client-urls=http://"+client, "--advertise-client-urls=http://"+client,
		"--listen-peer-urls=http://"+peer, "--initial-advertise-peer-urls=http://"+peer,
		"--initial-cluster=m=http://"+peer, "--log-outputs=stderr", "--unsafe-no-fsync")
	cmd.Env = withoutVariables()
	cmd.SysProcAttr = dieWithParent()
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	var log strings.Builder // read after ended is closed
	go func() {
		defer close(ended)
		await(said, &log, ready)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the member said last:\n%s", log.String()[max(0, log.Len()-4000):])
		}
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal("the member ended during its start")
	case <-time.After(patience):
		t.Fatal("the member did not start")
	}
	return client
}

// await copies what the member says and closes ready when it serves.
func await(said io.Reader, log *strings.Builder, ready chan struct{}) {
	lines := bufio.NewScanner(said)
	lines.Buffer(nil, 1<<20)
	for seen := false; lines.Scan(); {
		log.WriteString(lines.Text() + "\n")
		if !seen && strings.Contains(lines.Text(), "ready to serve client requests") {
			seen = true
			close(ready)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// withoutVariables is the environment without what would configure a server.
func withoutVariables() []string {
	var out []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ETCD_") {
			out = append(out, v)
		}
	}
	return out
}
