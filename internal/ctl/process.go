package ctl

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"keelson/internal/clock"
)

// Process is what the program sees of its surroundings. All fields are set
// once by the caller of Main.
type Process struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string // NAME=value, as os.Environ gives it
	Clock          clock.Clock

	// Interrupts starts catching SIGINT and SIGTERM, which otherwise kill the
	// process, and returns the channel they arrive on.
	Interrupts func() <-chan struct{}
	// LookupSRV finds the records of _service._tcp.domain.
	LookupSRV func(ctx context.Context, service, domain string) ([]*net.SRV, error)
	// ReadPassword reads a line with the terminal's echo off. It is nil when
	// stdin is no terminal; then the line is read from Stdin.
	ReadPassword func() (string, error)
	// LogGRPC sends the log of the RPC library to w. It is called at most
	// once, before the first connection.
	LogGRPC func(w io.Writer)
	// DialOptions are added to those of every connection.
	DialOptions []grpc.DialOption
}

// Main runs one command line (without the program's name) and returns the exit code.
func Main(args []string, p Process) int {
	shared := &sync.Mutex{}
	p.Stdout = &lockedWriter{mu: shared, w: p.Stdout}
	p.Stderr = &lockedWriter{mu: shared, w: p.Stderr}
	c := &ctl{Process: p, stdin: bufio.NewReader(p.Stdin)}
	defer c.close()

	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(c.stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)

	cmd, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	if !c.started {
		explainRefusal(p.Stderr, cmd, err)
		return exitError
	}
	f := asFailure(err)
	if f.err != nil {
		fmt.Fprintf(p.Stderr, "Error: %v\n", f.err)
	}
	return f.code
}

// explainRefusal is for command lines that no command has seen: unknown words
// and mistakes in flags.
func explainRefusal(w io.Writer, cmd *cobra.Command, err error) {
	fmt.Fprintf(w, "Error: %v\n", err)
	if strings.HasPrefix(err.Error(), "unknown command") {
		fmt.Fprintf(w, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return
	}
	fmt.Fprintln(w, cmd.UsageString())
}

// ctl is one run of the program.
type ctl struct {
	Process
	stdin   *bufio.Reader // every reader of stdin shares it, so that no byte is lost between them
	globals globals
	started bool     // a command of ours runs; its errors are not about flags
	closers []func() // run in reverse when the program ends
	out     printer  // set by configure
}

func (c *ctl) close() {
	for i := len(c.closers) - 1; i >= 0; i-- {
		c.closers[i]()
	}
}

// getenv is the value of a variable, empty when unset. As in a shell, the last
// of several equal names counts.
func (c *ctl) getenv(name string) string {
	value := ""
	for _, entry := range c.Environ {
		if k, v, ok := strings.Cut(entry, "="); ok && k == name {
			value = v
		}
	}
	return value
}

// childStream is the stream a child process gets: the file itself where there
// is one, so that the child sees a terminal when we have one.
func childStream(w io.Writer) io.Writer {
	if locked, ok := w.(*lockedWriter); ok {
		if f, ok := locked.w.(*os.File); ok {
			return f
		}
	}
	return w
}

// lockedWriter lets the goroutines of a command write to one stream; a single
// Write stays in one piece. Stdout and stderr share the lock, since they are often
// one terminal.
type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
