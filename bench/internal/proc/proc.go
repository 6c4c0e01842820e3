// Package proc starts a member in a process of its own and reads what the
// system knows of it: CPU time and memory. Linux only.
package proc

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Member is a running member.
type Member struct {
	Dir       string
	ClientURL string
	peerURL   string
	bin       string
	cmd       *exec.Cmd
	logFile   *os.File
}

// New prepares a member of the given binary with its data under dir.
func New(bin, dir string) (*Member, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	return &Member{
		Dir: dir, bin: bin,
		ClientURL: fmt.Sprintf("http://127.0.0.1:%d", ports[0]),
		peerURL:   fmt.Sprintf("http://127.0.0.1:%d", ports[1]),
	}, nil
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// Start starts the process and returns how long it took to be healthy.
func (m *Member) Start(ctx context.Context, flags ...string) (time.Duration, error) {
	logFile, err := os.OpenFile(filepath.Join(m.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	m.logFile = logFile
	args := append([]string{
		"--data-dir", filepath.Join(m.Dir, "data"),
		"--listen-client-urls", m.ClientURL, "--advertise-client-urls", m.ClientURL,
		"--listen-peer-urls", m.peerURL, "--initial-advertise-peer-urls", m.peerURL,
		"--initial-cluster", "default=" + m.peerURL, "--quota-backend-bytes", "34359738368", "--log-level", "warn",
	}, flags...)
	m.cmd = exec.Command(m.bin, args...)
	m.cmd.Stdout, m.cmd.Stderr = logFile, logFile
	begin := time.Now()
	if err := m.cmd.Start(); err != nil {
		return 0, err
	}
	for {
		if m.healthy(ctx) {
			return time.Since(begin), nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("not healthy: %w; see %s", ctx.Err(), logFile.Name())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (m *Member) healthy(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.ClientURL+"/health", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Kill ends the process at once, as a crash would.
func (m *Member) Kill() error { return m.end(syscall.SIGKILL) }

// Stop ends the process in order.
func (m *Member) Stop() error { return m.end(syscall.SIGTERM) }

func (m *Member) end(sig syscall.Signal) error {
	if m.cmd == nil {
		return nil
	}
	if err := m.cmd.Process.Signal(sig); err != nil {
		return err
	}
	_ = m.cmd.Wait() // ends by the signal, which is an error to Wait
	m.cmd = nil
	return m.logFile.Close()
}

// CPU is the processor time the member has used, user and system.
func (m *Member) CPU() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil
}

// Memory is what the member holds in bytes: memory of its own, and all that is
// resident, files it maps included.
func (m *Member) Memory() (anonymous, resident int64, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", m.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "Anonymous:":
			anonymous = n << 10
		case "Rss:":
			resident = n << 10
		}
	}
	return anonymous, resident, nil
}
