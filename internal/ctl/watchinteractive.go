package ctl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// watchInteractive reads watches from stdin and runs them all at once. It ends
// with the input, or with the first failure of a line or of a watch's command;
// a watch that the server cancels only ends itself.
func (c *ctl) watchInteractive(cmd *cobra.Command) error {
	client, err := c.connect(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(context.Background()))
	defer cancel()

	lines := make(chan inputLine)
	go c.readLines(ctx, lines)
	failed := make(chan error, 1)
	for {
		select {
		case err := <-failed:
			return err
		case in := <-lines:
			if in.err != nil {
				return failf(exitInput, "error reading watch request line: %w", in.err)
			}
			if err := c.watchLine(ctx, client, in.text, failed); err != nil {
				return err
			}
		}
	}
}

type inputLine struct {
	text string
	err  error
}

// readLines is a goroutine: it waits for stdin, and stops after its first error
// or when ctx ends. The last read of an idle terminal ends with the process.
func (c *ctl) readLines(ctx context.Context, lines chan<- inputLine) {
	for {
		text, err := c.stdin.ReadString('\n')
		select {
		case lines <- inputLine{strings.TrimSuffix(text, "\n"), err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// watchLine obeys one line. Its error ends the program; milder mistakes are
// only reported.
func (c *ctl) watchLine(ctx context.Context, client *clientv3.Client, line string, failed chan<- error) error {
	words, err := splitWords(line)
	if err != nil {
		return fail(exitInput, err)
	}
	invalid := func(reason any) error {
		fmt.Fprintf(c.Stderr, "Invalid command %s (%v)\n", line, reason)
		return nil
	}
	switch {
	case len(words) == 0:
		fmt.Fprintf(c.Stderr, "Invalid command: %s (watch and progress supported)\n", line)
		return nil
	case words[0] == "progress":
		if err := client.RequestProgress(ctx); err != nil {
			return err
		}
		return nil
	case words[0] != "watch":
		return invalid("only support watch")
	case len(words) == 1 && c.getenv(envWatchKey) == "" && c.getenv(envWatchRangeEnd) == "":
		return invalid("command type or key is not provided")
	}

	var f watchFlags
	fs := pflag.NewFlagSet("watch", pflag.ContinueOnError)
	fs.Usage = func() {}
	f.register(fs)
	if err := fs.Parse(words[1:]); err != nil {
		return badArguments("%s", err.Error()) // not wrapped: cobra would take --help for its own
	}
	request, err := c.watchRequest(&f, fs.Args(), fs.ArgsLenAtDash())
	switch {
	case errors.Is(err, errRangeAndPrefix), errors.Is(err, errNoWatchKey) && len(words) > 1 && words[1] == "--":
		return invalid(err)
	case err != nil:
		return err
	}

	events := client.Watch(ctx, request.key, request.opts...)
	go func() { // ends with its watch; the first failure is enough
		if err := c.showEvents(events, request.command); err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	}()
	return nil
}
