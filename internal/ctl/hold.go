package ctl

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// interruptible is a context that ends with the first SIGINT or SIGTERM, and a
// channel that is closed then. lock and elect use it to leave in order.
func (c *ctl) interruptible() (context.Context, <-chan struct{}, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	interrupted := make(chan struct{})
	signals := c.Interrupts()
	go func() { // ends with the command
		select {
		case <-signals:
			close(interrupted)
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, interrupted, cancel
}

// showHeld prints the key that a lock or an election holds, the way get does.
func (c *ctl) showHeld(ctx context.Context, client *clientv3.Client, key, lost string) error {
	resp, err := client.Get(ctx, key)
	if err != nil {
		return err
	}
	if len(resp.Kvs) == 0 {
		return failf(exitError, "%s", lost)
	}
	return c.out.print(getAnswer{resp: (*pb.RangeResponse)(resp)})
}
