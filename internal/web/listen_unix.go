//go:build unix

package web

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// reuseControl sets the socket options before bind.
func reuseControl(o ListenOptions) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err1, err2 error
		err := c.Control(func(fd uintptr) {
			if o.ReusePort {
				err1 = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			}
			if o.ReuseAddress {
				err2 = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			}
		})
		return errors.Join(err, err1, err2)
	}
}
