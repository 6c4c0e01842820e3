package ctl

import (
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

type putFlags struct {
	lease       string
	prevKV      bool
	ignoreValue bool
	ignoreLease bool
}

func (f *putFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.lease, "lease", "0", "lease (in hexadecimal) to attach to the key")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "return the pair that is replaced")
	fs.BoolVar(&f.ignoreValue, "ignore-value", false, "keep the stored value")
	fs.BoolVar(&f.ignoreLease, "ignore-lease", false, "keep the stored lease")
}

func (c *ctl) putCommand() *cobra.Command {
	var f putFlags
	cmd := &cobra.Command{
		Use:   "put [options] <key> <value> (<value> can also be given from stdin)",
		Short: "Puts the given key into the store",
		Long: `Puts the given key into the store.

A value that begins with '-' would be read as a flag; write -- before it:

$ etcdctl put <key> -- <value>

Without a value on the command line, all of stdin is the value, its last newline included.`,
		RunE: c.run(func(cmd *cobra.Command, args []string) error { return c.put(cmd, &f, args) }),
	}
	f.register(cmd.Flags())
	return cmd
}

func (c *ctl) put(cmd *cobra.Command, f *putFlags, args []string) error {
	key, value, opts, err := f.operation(args, c.stdin)
	if err != nil {
		return err
	}
	client, err := c.connect(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := c.limited()
	defer cancel()
	resp, err := client.Put(ctx, key, value, opts...)
	if err != nil {
		return err
	}
	return c.out.print(putAnswer{(*pb.PutResponse)(resp)})
}

// operation checks the arguments and reads a value that is not among them; txn
// uses it too.
func (f *putFlags) operation(args []string, stdin io.Reader) (key, value string, opts []clientv3.OpOption, err error) {
	const usage = "put command needs 1 argument and input from stdin or 2 arguments"
	switch {
	case len(args) == 0:
		return "", "", nil, badArguments(usage)
	case f.ignoreValue && len(args) > 1:
		return "", "", nil, badArguments("put command needs only 1 argument when 'ignore-value' is set")
	case f.ignoreValue:
	case len(args) > 1:
		value = args[1]
	default:
		all, err := io.ReadAll(stdin)
		if err != nil || len(all) == 0 {
			return "", "", nil, badArguments(usage)
		}
		value = string(all)
	}

	lease, err := strconv.ParseInt(f.lease, 16, 64)
	if err != nil {
		return "", "", nil, badArguments("bad lease ID (%w), expecting ID in Hex", err)
	}
	if lease != 0 {
		opts = append(opts, clientv3.WithLease(clientv3.LeaseID(lease)))
	}
	if f.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if f.ignoreValue {
		opts = append(opts, clientv3.WithIgnoreValue())
	}
	if f.ignoreLease {
		opts = append(opts, clientv3.WithIgnoreLease())
	}
	return args[0], value, opts, nil
}
