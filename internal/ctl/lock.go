package ctl

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func (c *ctl) lockCommand() *cobra.Command {
	var ttl int
	cmd := &cobra.Command{
		Use:   "lock <lockname> [exec-command arg1 arg2 ...]",
		Short: "Acquires a named lock",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return badArguments("lock takes a lock name argument and an optional command to execute")
			}
			client, err := c.connect(cmd)
			if err != nil {
				return err
			}
			return c.lock(client, args[0], args[1:], ttl)
		}),
	}
	cmd.Flags().IntVar(&ttl, "ttl", 10, "seconds after which the lock of a dead holder is free")
	return cmd
}

// lock waits for the lock and holds it while the command runs, or without one
// until it is interrupted. The session's lease is left to expire.
func (c *ctl) lock(client *clientv3.Client, name string, command []string, ttl int) error {
	session, err := concurrency.NewSession(client, concurrency.WithTTL(ttl))
	if err != nil {
		return err
	}
	mutex := concurrency.NewMutex(session, name)
	ctx, interrupted, stop := c.interruptible()
	defer stop()
	if err := mutex.Lock(ctx); err != nil {
		return err
	}

	if len(command) > 0 {
		err := c.runLocked(command, mutex)
		return errors.Join(err, mutex.Unlock(client.Ctx()))
	}
	if err := c.showHeld(context.Background(), client, mutex.Key(), "lock lost on init"); err != nil {
		return errors.Join(err, mutex.Unlock(client.Ctx()))
	}
	select {
	case <-interrupted:
		return mutex.Unlock(client.Ctx())
	case <-session.Done():
		return errors.New("session expired")
	}
}

// runLocked runs the command; its exit code becomes ours.
func (c *ctl) runLocked(command []string, mutex *concurrency.Mutex) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append([]string{
		"ETCD_LOCK_KEY=" + mutex.Key(),
		fmt.Sprintf("ETCD_LOCK_REV=%d", mutex.Header().Revision),
	}, c.Environ...)
	cmd.Stdout, cmd.Stderr = childStream(c.Stdout), childStream(c.Stderr)
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return fail(exitError, err)
	case exit.ExitCode() < 0: // killed by a signal
		return fail(255, err)
	}
	return fail(exit.ExitCode(), err)
}
