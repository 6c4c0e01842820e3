package ctl

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func (c *ctl) electCommand() *cobra.Command {
	var listen bool
	cmd := &cobra.Command{
		Use:   "elect <election-name> [proposal]",
		Short: "Observes and participates in leader election",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) != 1 && len(args) != 2:
				return badArguments("elect takes one election name argument and an optional proposal argument")
			case len(args) == 1 && !listen:
				return badArguments("no proposal argument but -l not set")
			case len(args) == 2 && listen:
				return badArguments("proposal given but -l is set")
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			if listen {
				return c.observe(client, args[0])
			}
			return c.campaign(client, args[0], args[1])
		}),
	}
	cmd.Flags().BoolVarP(&listen, "listen", "l", false, "only observe")
	return cmd
}

// observe shows every leader until it is interrupted.
func (c *ctl) observe(client *clientv3.Client, name string) error {
	session, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	ctx, interrupted, stop := c.interruptible()
	defer stop()
	for resp := range concurrency.NewElection(session, name).Observe(ctx) {
		if err := c.out.print(getAnswer{resp: (*pb.RangeResponse)(resp)}); err != nil {
			return err
		}
	}
	select {
	case <-interrupted:
		return nil
	default:
		return errors.New("elect: observer lost")
	}
}

// campaign waits to be elected and stays in office until it is interrupted.
func (c *ctl) campaign(client *clientv3.Client, name, proposal string) error {
	session, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	election := concurrency.NewElection(session, name)
	ctx, interrupted, stop := c.interruptible()
	defer stop()
	if err := election.Campaign(ctx, proposal); err != nil {
		return err
	}
	if err := c.showHeld(context.Background(), client, election.Key(), "elect: session expired"); err != nil {
		return errors.Join(err, election.Resign(context.Background()))
	}
	select {
	case <-interrupted:
		return election.Resign(context.Background())
	case <-session.Done():
		return errors.New("elect: session expired")
	}
}
