package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func (c *ctl) txnCommand() *cobra.Command {
	var interactive bool
	cmd := &cobra.Command{
		Use:   "txn [options]",
		Short: "Processes all the requests of stdin in one transaction",
		Long: `Reads a transaction from stdin: comparisons, requests for success, requests
for failure; each list one per line and ended by an empty line. For example:

mod("key1") > "0"

put key1 "overwrote-key1"

put key1 "created-key1"
put key2 "some extra key"

Targets: ver (version), c (create), m (mod), val (value). Operators: = != < >.`,
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if len(args) != 0 {
				return badArguments("txn command does not accept argument")
			}
			return c.txn(cmd, interactive)
		}),
	}
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "prompt for each list")
	return cmd
}

func (c *ctl) txn(cmd *cobra.Command, interactive bool) error {
	client, err := c.connect(cmd)
	if err != nil {
		return err
	}
	prompt := func(text string) {
		if interactive {
			fmt.Fprintln(c.Stdout, text)
		}
	}
	prompt("compares:")
	var compares []clientv3.Cmp
	if err := c.readSection(func(line string) error {
		cmp, err := parseCompare(line)
		compares = append(compares, cmp)
		return err
	}); err != nil {
		return err
	}
	prompt("success requests (get, put, del):")
	success, err := c.readOperations()
	if err != nil {
		return err
	}
	prompt("failure requests (get, put, del):")
	failure, err := c.readOperations()
	if err != nil {
		return err
	}

	resp, err := client.Txn(context.Background()).If(compares...).Then(success...).Else(failure...).Commit()
	if err != nil {
		return err
	}
	return c.out.print(txnAnswer{(*pb.TxnResponse)(resp)})
}

// readSection hands on the lines of one list, up to and without its empty line.
func (c *ctl) readSection(use func(line string) error) error {
	for {
		line, err := c.stdin.ReadString('\n')
		if err != nil {
			return fail(exitInput, err)
		}
		if line = strings.TrimSpace(line); line == "" {
			return nil
		}
		if err := use(line); err != nil {
			return err
		}
	}
}

func (c *ctl) readOperations() (ops []clientv3.Op, err error) {
	err = c.readSection(func(line string) error {
		op, err := c.parseOperation(line)
		ops = append(ops, op)
		return err
	})
	return ops, err
}

// parseOperation reads a put, get or del with the arguments and flags of the
// command of that name. A small tree of commands of its own does the work, so
// that prefixes, flags and defaults are the same ones.
func (c *ctl) parseOperation(line string) (clientv3.Op, error) {
	tokens, err := splitWords(line)
	if err != nil {
		return clientv3.Op{}, fail(exitInput, err)
	}
	if len(tokens) < 2 {
		return clientv3.Op{}, failf(exitInput, "invalid txn compare request: %s", line)
	}
	var op *clientv3.Op
	tree := c.operationCommands(func(parsed clientv3.Op) { op = &parsed })
	tree.SetArgs(tokens)
	err = tree.Execute()
	var f *failure
	if errors.As(err, &f) {
		return clientv3.Op{}, f
	}
	if err != nil || op == nil { // op is nil after --help
		return clientv3.Op{}, failf(exitInput, "invalid txn request: %s", line)
	}
	return *op, nil
}

func (c *ctl) operationCommands(found func(clientv3.Op)) *cobra.Command {
	var get getFlags
	var put putFlags
	var del delFlags
	getCmd := &cobra.Command{Use: "get", RunE: func(_ *cobra.Command, args []string) error {
		key, opts, err := get.operation(args)
		if err == nil {
			found(clientv3.OpGet(key, opts...))
		}
		return err
	}}
	get.register(getCmd.Flags())
	putCmd := &cobra.Command{Use: "put", RunE: func(_ *cobra.Command, args []string) error {
		key, value, opts, err := put.operation(args, strings.NewReader("")) // stdin holds the transaction
		if err == nil {
			found(clientv3.OpPut(key, value, opts...))
		}
		return err
	}}
	put.register(putCmd.Flags())
	delCmd := &cobra.Command{Use: "del", RunE: func(_ *cobra.Command, args []string) error {
		key, opts, err := c.delOperation(&del, args)
		if err == nil {
			found(clientv3.OpDelete(key, opts...))
		}
		return err
	}}
	del.register(delCmd.Flags())

	tree := &cobra.Command{Use: "txn", SilenceErrors: true, SilenceUsage: true}
	tree.CompletionOptions.DisableDefaultCmd = true
	tree.SetHelpCommand(&cobra.Command{Hidden: true})
	tree.SetOut(io.Discard) // help inside a transaction
	tree.SetErr(io.Discard)
	tree.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		fmt.Fprintln(c.Stderr, cmd.UsageString())
		return err
	})
	tree.AddCommand(getCmd, putCmd, delCmd)
	return tree
}
