package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"keelson/internal/vfs"
)

// tcpKeepAlive finds connections whose other end is gone.
const tcpKeepAlive = 30 * time.Second

// ListenOptions is how addresses are bound.
type ListenOptions struct {
	ReusePort    bool
	ReuseAddress bool
	// FS removes the file of a unix socket that nobody closed.
	FS vfs.FS
}

// Listen binds an address: network is "tcp" or "unix".
func Listen(ctx context.Context, network, address string, o ListenOptions) (net.Listener, error) {
	if network == "unix" {
		if err := o.FS.Remove(address); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot remove old socket: %w", err)
		}
	}
	lc := net.ListenConfig{KeepAlive: tcpKeepAlive}
	if network == "tcp" && (o.ReusePort || o.ReuseAddress) {
		lc.Control = reuseControl(o)
	}
	return lc.Listen(ctx, network, address)
}
