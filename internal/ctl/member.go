package ctl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func (c *ctl) memberCommand() *cobra.Command {
	return group("member <subcommand>", "Membership related commands",
		c.memberAddCommand(), c.memberRemoveCommand(), c.memberUpdateCommand(),
		c.memberPromoteCommand(), c.memberListCommand())
}

func (c *ctl) memberAddCommand() *cobra.Command {
	var peerURLs string
	var learner bool
	cmd := &cobra.Command{
		Use:   "add <memberName> [options]",
		Short: "Adds a member into the cluster",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if err := checkMemberAdd(args, peerURLs); err != nil {
				return err
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := c.limited()
			defer cancel()
			add := client.MemberAdd
			if learner {
				add = client.MemberAddAsLearner
			}
			resp, err := add(ctx, strings.Split(peerURLs, ","))
			if err != nil {
				return err
			}
			return c.out.print(memberAddAnswer{resp: resp, name: args[0], peerURLs: peerURLs})
		}),
	}
	cmd.Flags().StringVar(&peerURLs, "peer-urls", "", "comma separated peer URLs of the new member")
	cmd.Flags().BoolVar(&learner, "learner", false, "add it as a member without a vote")
	return cmd
}

func checkMemberAdd(args []string, peerURLs string) error {
	if len(args) < 1 {
		return badArguments("member name not provided")
	}
	if len(args) > 1 {
		text := "too many arguments"
		for _, arg := range args {
			if strings.HasPrefix(arg, "http") {
				text += fmt.Sprintf(", did you mean --peer-urls=%s", arg)
			}
		}
		return badArguments("%s", text)
	}
	if peerURLs == "" {
		return badArguments("member peer urls not provided")
	}
	return nil
}

func (c *ctl) memberRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove <memberID>",
		Short: "Removes a member from the cluster",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			id, err := memberID(args)
			if err != nil {
				return err
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := c.limited()
			defer cancel()
			resp, err := client.MemberRemove(ctx, id)
			if err != nil {
				return err
			}
			return c.out.print(memberChangeAnswer{
				id: id, done: "removed from", header: resp.Header, members: resp.Members,
				resp: resp, msg: (*pb.MemberRemoveResponse)(resp),
			})
		}),
	}
}

func (c *ctl) memberUpdateCommand() *cobra.Command {
	var peerURLs string
	cmd := &cobra.Command{
		Use:   "update <memberID> [options]",
		Short: "Updates a member in the cluster",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			id, err := memberID(args)
			if err != nil {
				return err
			}
			if peerURLs == "" {
				return badArguments("member peer urls not provided")
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := c.limited()
			defer cancel()
			resp, err := client.MemberUpdate(ctx, id, strings.Split(peerURLs, ","))
			if err != nil {
				return err
			}
			return c.out.print(memberChangeAnswer{
				id: id, done: "updated in", header: resp.Header, members: resp.Members,
				resp: resp, msg: (*pb.MemberUpdateResponse)(resp),
			})
		}),
	}
	cmd.Flags().StringVar(&peerURLs, "peer-urls", "", "comma separated new peer URLs")
	return cmd
}

func (c *ctl) memberPromoteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "promote <memberID>",
		Short: "Gives a learner its vote",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			id, err := memberID(args)
			if err != nil {
				return err
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := c.limited()
			defer cancel()
			resp, err := client.MemberPromote(ctx, id)
			if err != nil {
				return err
			}
			return c.out.print(memberChangeAnswer{
				id: id, done: "promoted in", header: resp.Header, members: resp.Members,
				resp: resp, msg: (*pb.MemberPromoteResponse)(resp),
			})
		}),
	}
}

func (c *ctl) memberListCommand() *cobra.Command {
	var consistency string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists all members in the cluster",
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			var opts []clientv3.OpOption
			switch consistency {
			case "l":
			case "s":
				opts = append(opts, clientv3.WithSerializable())
			default:
				return failf(exitUnsupported, "unknown consistency flag %q", consistency)
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := c.limited()
			defer cancel()
			resp, err := client.MemberList(ctx, opts...)
			if err != nil {
				return err
			}
			return c.out.print(memberListAnswer{resp})
		}),
	}
	cmd.Flags().StringVar(&consistency, "consistency", "l", "linearizable (l) or serializable (s)")
	return cmd
}

func memberID(args []string) (uint64, error) {
	if len(args) != 1 {
		return 0, badArguments("member ID is not provided")
	}
	id, err := strconv.ParseUint(args[0], 16, 64)
	if err != nil {
		return 0, badArguments("bad member ID arg (%w), expecting ID in Hex", err)
	}
	return id, nil
}
