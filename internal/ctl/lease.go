package ctl

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func (c *ctl) leaseCommand() *cobra.Command {
	return group("lease <subcommand>", "Lease related commands",
		c.leaseGrantCommand(), c.leaseRevokeCommand(), c.leaseTimeToLiveCommand(),
		c.leaseListCommand(), c.leaseKeepAliveCommand())
}

func (c *ctl) leaseGrantCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "grant <ttl>",
		Short: "Creates leases",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArguments("lease grant command needs TTL argument")
			}
			ttl, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return badArguments("bad TTL (%w)", err)
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := c.limited()
			defer cancel()
			resp, err := client.Grant(ctx, ttl)
			if err != nil {
				return fmt.Errorf("failed to grant lease (%w)", err)
			}
			return c.out.print(leaseGrantAnswer{resp})
		}),
	}
}

func (c *ctl) leaseRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke <leaseID>",
		Short: "Revokes leases",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArguments("lease revoke command needs 1 argument")
			}
			id, err := leaseID(args[0])
			if err != nil {
				return err
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := c.limited()
			defer cancel()
			resp, err := client.Revoke(ctx, id)
			if err != nil {
				return fmt.Errorf("failed to revoke lease (%w)", err)
			}
			return c.out.print(leaseRevokeAnswer{id: id, resp: resp})
		}),
	}
}

func (c *ctl) leaseTimeToLiveCommand() *cobra.Command {
	var keys bool
	cmd := &cobra.Command{
		Use:   "timetolive <leaseID> [options]",
		Short: "Gets lease information",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArguments("lease timetolive command needs lease ID as argument")
			}
			id, err := leaseID(args[0])
			if err != nil {
				return err
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			var opts []clientv3.LeaseOption
			if keys {
				opts = append(opts, clientv3.WithAttachedKeys())
			}
			resp, err := client.TimeToLive(context.Background(), id, opts...)
			if err != nil {
				return fail(exitConnection, err)
			}
			return c.out.print(leaseTimeToLiveAnswer{resp: resp, keys: keys})
		}),
	}
	cmd.Flags().BoolVar(&keys, "keys", false, "show the keys attached to the lease")
	return cmd
}

func (c *ctl) leaseListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Lists all active leases",
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			resp, err := client.Leases(context.Background())
			if err != nil {
				return fail(exitConnection, err)
			}
			return c.out.print(leaseListAnswer{resp})
		}),
	}
}

func (c *ctl) leaseKeepAliveCommand() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "keep-alive [options] <leaseID>",
		Short: "Keeps leases alive (renew)",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArguments("lease keep-alive command needs lease ID as argument")
			}
			id, err := leaseID(args[0])
			if err != nil {
				return err
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			if once {
				resp, err := client.KeepAliveOnce(context.Background(), id)
				if err != nil {
					return fail(exitConnection, err)
				}
				return c.out.print(leaseKeepAliveAnswer{resp})
			}
			return c.keepAlive(client, id)
		}),
	}
	cmd.Flags().BoolVar(&once, "once", false, "renew once and exit")
	return cmd
}

// keepAlive renews until the lease is gone, which is no error.
func (c *ctl) keepAlive(client *clientv3.Client, id clientv3.LeaseID) error {
	renewals, err := client.KeepAlive(context.Background(), id)
	if err != nil {
		return fail(exitConnection, err)
	}
	for resp := range renewals {
		if err := c.out.print(leaseKeepAliveAnswer{resp}); err != nil {
			return err
		}
	}
	if c.globals.writeOut == "simple" {
		fmt.Fprintf(c.Stdout, "lease %016x expired or revoked.\n", int64(id))
	}
	return nil
}

func leaseID(arg string) (clientv3.LeaseID, error) {
	id, err := strconv.ParseInt(arg, 16, 64)
	if err != nil {
		return 0, badArguments("bad lease ID arg (%w), expecting ID in Hex", err)
	}
	return clientv3.LeaseID(id), nil
}
