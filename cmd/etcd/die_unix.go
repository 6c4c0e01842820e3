//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// dieBy ends the process by the signal that stopped the member, so that who
// waits for it sees "killed by signal", as with etcd.
func dieBy(sig os.Signal) {
	s, ok := sig.(syscall.Signal)
	if !ok {
		return
	}
	signal.Reset(s)
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		return
	}
	select {} // the signal is on its way
}
