package ctl

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

type watchFlags struct {
	prefix   bool
	rev      int64
	prevKV   bool
	progress bool
}

func (f *watchFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.prefix, "prefix", false, "watch the keys with this prefix")
	fs.Int64Var(&f.rev, "rev", 0, "first revision to show (0 means from now)")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "show the pair before the event")
	fs.BoolVar(&f.progress, "progress-notify", false, "ask for periodic progress")
}

func (c *ctl) watchCommand() *cobra.Command {
	var f watchFlags
	var interactive bool
	cmd := &cobra.Command{
		Use:   "watch [options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
		Short: "Watches events stream on keys or prefixes",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if interactive {
				return c.watchInteractive(cmd)
			}
			request, err := c.watchRequest(&f, args, cmd.ArgsLenAtDash())
			if err != nil {
				return err
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			return c.watch(client, request)
		}),
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "read watches from stdin")
	return cmd
}

// watchRequest is one watch and the command to run for each event, if any.
type watchRequest struct {
	key     string
	opts    []clientv3.OpOption
	command []string
}

// watchRequest takes the arguments of a watch apart. dash is the number of
// arguments before "--", or -1 when there is none.
func (c *ctl) watchRequest(f *watchFlags, args []string, dash int) (watchRequest, error) {
	var command []string
	if dash >= 0 {
		args, command = args[:dash], args[dash:]
		if len(command) == 0 {
			return watchRequest{}, badArguments("bad number of arguments (found separator --, but no commands)")
		}
	}
	envKey, envEnd := c.getenv(envWatchKey), c.getenv(envWatchRangeEnd)
	switch {
	case envKey == "" && envEnd != "":
		return watchRequest{}, badArguments("%s is empty but got %s=%q", envWatchKey, envWatchRangeEnd, envEnd)
	case envKey != "" && len(args) > 0:
		return watchRequest{}, badArguments("bad number of arguments (found conflicting environment key)")
	case envKey != "" && envEnd != "":
		args = []string{envKey, envEnd}
	case envKey != "":
		args = []string{envKey}
	case len(args) == 0:
		return watchRequest{}, errNoWatchKey
	}

	r := watchRequest{key: args[0], command: command}
	r.opts = append(r.opts, clientv3.WithRev(f.rev))
	if len(args) == 2 {
		if f.prefix {
			return watchRequest{}, errRangeAndPrefix
		}
		r.opts = append(r.opts, clientv3.WithRange(args[1]))
	}
	if f.prefix {
		r.opts = append(r.opts, clientv3.WithPrefix())
	}
	if f.prevKV {
		r.opts = append(r.opts, clientv3.WithPrevKV())
	}
	if f.progress {
		r.opts = append(r.opts, clientv3.WithProgressNotify())
	}
	return r, nil
}

// watch shows events until the server ends the watch.
func (c *ctl) watch(client *clientv3.Client, r watchRequest) error {
	ctx := clientv3.WithRequireLeader(context.Background())
	if err := c.showEvents(client.Watch(ctx, r.key, r.opts...), r.command); err != nil {
		return err
	}
	return failf(exitInterrupted, "watch is canceled by the server")
}

// showEvents prints what arrives and runs the command once per event.
func (c *ctl) showEvents(events clientv3.WatchChan, command []string) error {
	for resp := range events {
		if resp.Canceled {
			fmt.Fprintf(c.Stderr, "watch was canceled (%v)\n", resp.Err())
		}
		if resp.IsProgressNotify() {
			fmt.Fprintf(c.Stdout, "progress notify: %d\n", resp.Header.Revision)
		}
		if err := c.out.print(watchAnswer{&resp}); err != nil {
			return err
		}
		if len(command) == 0 {
			continue
		}
		for _, ev := range resp.Events {
			if err := c.runForEvent(command, resp.Header.Revision, ev); err != nil {
				fmt.Fprintf(c.Stderr, "command %q error (%v)\n", command, err)
				return silent(exitError)
			}
		}
	}
	return nil
}

func (c *ctl) runForEvent(command []string, revision int64, ev *mvccpb.Event) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(append([]string{}, c.Environ...),
		fmt.Sprintf("ETCD_WATCH_REVISION=%d", revision),
		fmt.Sprintf("ETCD_WATCH_EVENT_TYPE=%q", ev.Type),
		fmt.Sprintf("ETCD_WATCH_KEY=%q", ev.Kv.Key),
		fmt.Sprintf("ETCD_WATCH_VALUE=%q", ev.Kv.Value),
	)
	cmd.Stdout, cmd.Stderr = childStream(c.Stdout), childStream(c.Stderr)
	return cmd.Run()
}

type watchAnswer struct{ resp *clientv3.WatchResponse }

func (a watchAnswer) value() any { return a.resp }

func (a watchAnswer) message() (proto.Message, error) {
	return &pb.WatchResponse{
		Header:          a.resp.Header,
		CompactRevision: a.resp.CompactRevision,
		Canceled:        a.resp.Canceled,
		Created:         a.resp.Created,
		Events:          a.resp.Events,
	}, nil
}

func (a watchAnswer) simple(w *simpleWriter) {
	for _, ev := range a.resp.Events {
		w.printf("%s\n", ev.Type)
		if ev.PrevKv != nil {
			w.kv(ev.PrevKv)
		}
		w.kv(ev.Kv)
	}
}

func (a watchAnswer) fields(w *fieldsWriter) {
	w.header(a.resp.Header)
	for _, ev := range a.resp.Events {
		w.field("Type", ev.Type)
		if ev.PrevKv != nil {
			w.kv("Prev", ev.PrevKv)
		}
		w.kv("", ev.Kv)
	}
}

// errNoWatchKey and errRangeAndPrefix are told apart in interactive mode.
var (
	errNoWatchKey     = badArguments("bad number of arguments")
	errRangeAndPrefix = badArguments("`range_end` and `--prefix` are mutually exclusive")
)
