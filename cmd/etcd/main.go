// Command etcd is the server. It only connects the operating system with
// package app: arguments in, exit code or signal out.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"keelson/internal/app"
	"keelson/internal/clock"
	"keelson/internal/config"
	"keelson/internal/vfs"
)

// gitSHA is set by the linker: -ldflags "-X main.gitSHA=...".
var gitSHA string

// gcPercent is how much garbage may pile up, relative to the live heap, before
// it is collected. Most of our heap is the key index, which has next to no
// pointers, so that a collection costs little and Go's default of 100 would
// only double the memory.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	exit := app.Main(context.Background(), app.System{
		Args:     os.Args,
		Environ:  os.Environ(),
		PID:      os.Getpid(),
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
		Build:    config.Build{GitSHA: revision(), GoVersion: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH},
		ReadFile: os.ReadFile,
		Signals:  signals,
		Notify:   notify,
		FS:       vfs.OS{},
		Clock:    clock.Real{},
	}, app.Start)
	if exit.Signal != 0 {
		raise(exit.Signal)
	}
	os.Exit(exit.Code)
}

// revision is the commit this was built from.
func revision() string {
	if gitSHA != "" {
		return gitSHA
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "Not provided"
}

// signals installs the handlers; the goroutine lives as long as the process.
func signals() <-chan syscall.Signal {
	in := make(chan os.Signal, 1)
	signal.Notify(in, syscall.SIGINT, syscall.SIGTERM)
	out := make(chan syscall.Signal, 1)
	go func() {
		if sig, ok := (<-in).(syscall.Signal); ok {
			out <- sig
		}
	}()
	return out
}

// notify tells systemd; without a socket to it there is nothing to do.
func notify(state string) error {
	_, err := daemon.SdNotify(false, state)
	return err
}

// raise lets the signal do what it does without a handler, so that who waits
// for the process sees what ended it. Where the parent had it ignored (a
// script's background job), that is nothing: then the exit code says it, in
// the shell's way.
func raise(sig syscall.Signal) {
	signal.Reset(sig)
	if p, err := os.FindProcess(os.Getpid()); err == nil && p.Signal(sig) == nil {
		time.Sleep(raiseWait)
	}
	os.Exit(128 + int(sig))
}

// raiseWait is ample for a signal to arrive.
const raiseWait = time.Second
