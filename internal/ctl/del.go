package ctl

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

type delFlags struct {
	prefix, fromKey bool
	prevKV          bool
	rangeMeant      bool
}

func (f *delFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.prefix, "prefix", false, "delete the keys with this prefix")
	fs.BoolVar(&f.fromKey, "from-key", false, "delete this key and all behind it in byte order")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "return the deleted pairs")
	fs.BoolVar(&f.rangeMeant, "range", false, "delete [key, range_end) without a delay")
}

// regretDelay is the time a user has to interrupt a deletion whose second
// argument may have been meant as a second key.
const regretDelay = 2 * time.Second

func (c *ctl) delCommand() *cobra.Command {
	var f delFlags
	cmd := &cobra.Command{
		Use:   "del [options] <key> [range_end]",
		Short: "Removes the specified key or range of keys [key, range_end)",
		RunE:  c.run(func(cmd *cobra.Command, args []string) error { return c.del(cmd, &f, args) }),
	}
	f.register(cmd.Flags())
	return cmd
}

func (c *ctl) del(cmd *cobra.Command, f *delFlags, args []string) error {
	key, opts, err := c.delOperation(f, args)
	if err != nil {
		return err
	}
	client, err := c.connect(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := c.limited()
	defer cancel()
	resp, err := client.Delete(ctx, key, opts...)
	if err != nil {
		return err
	}
	return c.out.print(delAnswer{(*pb.DeleteRangeResponse)(resp)})
}

// delOperation checks the arguments, and warns and waits where a range may be a
// slip; txn uses it too.
func (c *ctl) delOperation(f *delFlags, args []string) (key string, opts []clientv3.OpOption, err error) {
	switch {
	case len(args) == 0 || len(args) > 2:
		return "", nil, badArguments("del command needs one argument as key and an optional argument as range_end")
	case f.prefix && f.fromKey:
		return "", nil, bothRanges()
	case len(args) > 1 && (f.prefix || f.fromKey):
		return "", nil, badArguments("too many arguments, only accept one argument when `--prefix` or `--from-key` is set")
	case len(args) > 1:
		opts = append(opts, clientv3.WithRange(args[1]))
		if !f.rangeMeant {
			fmt.Fprintf(c.Stderr, "Warning: Keys between %q and %q will be deleted. Please interrupt the command within next 2 seconds to cancel. You can provide `--range` flag to avoid the delay.\n", args[0], args[1])
			c.sleep(regretDelay)
		}
	}
	if f.prefix {
		opts = append(opts, clientv3.WithPrefix())
	}
	if f.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if f.fromKey {
		opts = append(opts, clientv3.WithFromKey())
	}
	return args[0], opts, nil
}
