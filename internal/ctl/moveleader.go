package ctl

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func (c *ctl) moveLeaderCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "move-leader <transferee-member-id>",
		Short: "Transfers leadership to another cluster member",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArguments("move-leader command needs 1 argument")
			}
			target, err := strconv.ParseUint(args[0], 16, 64)
			if err != nil {
				return fail(exitArguments, err)
			}
			cfg, err := c.configure(cmd)
			if err != nil {
				return err
			}
			return c.moveLeader(cfg, target)
		}),
	}
}

// moveLeader looks for the leader among the endpoints, since only the leader
// obeys.
func (c *ctl) moveLeader(cfg clientv3.Config, target uint64) error {
	if len(cfg.Endpoints) == 0 {
		return fail(exitConnection, clientv3.ErrNoAvailableEndpoints)
	}
	ctx, cancel := c.limited()
	defer cancel()
	for _, endpoint := range cfg.Endpoints {
		client, err := atEndpoint(cfg, endpoint)
		if err != nil {
			return fail(exitConnection, err)
		}
		c.closers = append(c.closers, func() { client.Close() })
		status, err := client.Status(ctx, endpoint)
		if err != nil {
			return err
		}
		if status.Header.GetMemberId() != status.Leader {
			continue
		}
		return c.moveLeaderFrom(ctx, client, status.Leader, target)
	}
	return badArguments("no leader endpoint given at %v", cfg.Endpoints)
}

func (c *ctl) moveLeaderFrom(ctx context.Context, client *clientv3.Client, leader, target uint64) error {
	resp, err := client.MoveLeader(ctx, target)
	if err != nil {
		return err
	}
	return c.out.print(moveLeaderAnswer{from: leader, to: target, resp: resp})
}

type moveLeaderAnswer struct {
	from, to uint64
	resp     *clientv3.MoveLeaderResponse
}

func (a moveLeaderAnswer) value() any { return a.resp }

func (a moveLeaderAnswer) message() (proto.Message, error) {
	return (*pb.MoveLeaderResponse)(a.resp), nil
}

func (a moveLeaderAnswer) simple(w *simpleWriter) {
	w.printf("Leadership transferred from %x to %x\n", a.from, a.to)
}
