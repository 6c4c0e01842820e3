package ctl

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func (c *ctl) compactionCommand() *cobra.Command {
	var physical bool
	cmd := &cobra.Command{
		Use:   "compaction [options] <revision>",
		Short: "Compacts the event history",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArguments("compaction command needs 1 argument")
			}
			revision, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return err
			}
			var opts []clientv3.CompactOption
			if physical {
				opts = append(opts, clientv3.WithCompactPhysical())
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := c.limited()
			defer cancel()
			if _, err := client.Compact(ctx, revision, opts...); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.Stdout, "compacted revision %d\n", revision)
			return err
		}),
	}
	cmd.Flags().BoolVar(&physical, "physical", false, "wait until the revisions are removed from storage")
	return cmd
}
