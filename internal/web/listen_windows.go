package web

import (
	"errors"
	"syscall"
)

// reuseControl: the options mean something else on Windows.
func reuseControl(ListenOptions) func(network, address string, c syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error {
		return errors.New("--socket-reuse-port and --socket-reuse-address are not supported on Windows")
	}
}
