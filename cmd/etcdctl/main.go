// Command etcdctl talks to a Keelson or etcd server from the command line.
package main

import (
	"context"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
	"google.golang.org/grpc/grpclog"

	"keelson/internal/clock"
	"keelson/internal/ctl"
)

func main() {
	p := ctl.Process{
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Environ: os.Environ(),
		Clock:   clock.Real{},

		Interrupts: interrupts,
		LookupSRV: func(ctx context.Context, service, domain string) ([]*net.SRV, error) {
			_, records, err := net.DefaultResolver.LookupSRV(ctx, service, "tcp", domain)
			return records, err
		},
		LogGRPC: func(w io.Writer) { grpclog.SetLoggerV2(grpclog.NewLoggerV2(w, io.Discard, io.Discard)) },
	}
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		p.ReadPassword = func() (string, error) {
			password, err := term.ReadPassword(fd)
			return string(password), err
		}
	}
	os.Exit(ctl.Main(os.Args[1:], p))
}

// interrupts passes on the signals that ask the program to stop; until it is
// called they kill the process.
func interrupts() <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	out := make(chan struct{}, 1)
	go func() {
		for range signals {
			select {
			case out <- struct{}{}:
			default: // one is enough
			}
		}
	}()
	return out
}
