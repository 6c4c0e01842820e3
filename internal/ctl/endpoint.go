package ctl

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func (c *ctl) endpointCommand() *cobra.Command {
	var cluster bool // inherited, so it has a variable of the environment as well
	cmd := group("endpoint <subcommand>", "Endpoint related commands",
		c.endpointHealthCommand(&cluster), c.endpointStatusCommand(&cluster), c.endpointHashKVCommand(&cluster))
	cmd.PersistentFlags().BoolVar(&cluster, "cluster", false, "use the client URLs of all members")
	return cmd
}

// oneByOne lists the endpoints of a command that asks each of them by itself,
// and the configuration such a client needs. Discovered endpoints only serve to
// find the members.
func (c *ctl) oneByOne(cmd *cobra.Command, cluster *bool) (clientv3.Config, []string, error) {
	cfg, err := c.configure(cmd)
	if err != nil {
		return cfg, nil, err
	}
	if !*cluster {
		return cfg, c.globals.endpoints, nil
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		return cfg, nil, err
	}
	defer client.Close()
	ctx, cancel := c.limited()
	defer cancel()
	members, err := client.MemberList(ctx)
	if err != nil {
		return cfg, nil, fmt.Errorf("failed to fetch endpoints from etcd cluster member list: %w", err)
	}
	var endpoints []string
	for _, m := range members.Members {
		endpoints = append(endpoints, m.ClientURLs...)
	}
	return cfg, endpoints, nil
}

// atEndpoint makes a client that talks to one endpoint. The caller closes it.
func atEndpoint(cfg clientv3.Config, endpoint string) (*clientv3.Client, error) {
	cfg.Endpoints = []string{endpoint}
	return clientv3.New(cfg)
}

func (c *ctl) endpointHealthCommand(cluster *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Checks the health of the endpoints",
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			cfg, endpoints, err := c.oneByOne(cmd, cluster)
			if err != nil {
				return err
			}
			results := make(chan endpointHealth, len(endpoints))
			for _, endpoint := range endpoints {
				go func() { results <- c.checkHealth(cfg, endpoint) }() // bounded by the command timeout
			}
			var all endpointHealthAnswer
			healthy := true
			for range endpoints {
				one := <-results
				healthy = healthy && one.Health
				all = append(all, one)
			}
			if err := c.out.print(all); err != nil {
				return err
			}
			if !healthy {
				return errors.New("unhealthy cluster")
			}
			return nil
		}),
	}
}

// checkHealth reads a key, which needs a leader and a quorum, and then looks
// for alarms. It does not matter whether the key exists or may be read.
func (c *ctl) checkHealth(cfg clientv3.Config, endpoint string) endpointHealth {
	h := endpointHealth{Endpoint: endpoint}
	client, err := atEndpoint(cfg, endpoint)
	if err != nil {
		h.Error = err.Error()
		return h
	}
	defer client.Close()
	ctx, cancel := c.limited()
	defer cancel()

	start := c.Clock.Now()
	_, err = client.Get(ctx, "health")
	h.Took = c.Clock.Now().Sub(start).String()
	if err != nil && !errors.Is(err, rpctypes.ErrPermissionDenied) {
		h.Error = err.Error()
		return h
	}
	alarms, err := client.AlarmList(ctx)
	switch {
	case err != nil:
		h.Error = "Unable to fetch the alarm list"
	case len(alarms.Alarms) > 0:
		h.Error = "Active Alarm(s): "
		for _, alarm := range alarms.Alarms {
			h.Error += alarmName(alarm.Alarm) + " "
		}
	default:
		h.Health = true
	}
	return h
}

func (c *ctl) endpointStatusCommand(cluster *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Prints the status of the endpoints",
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			cfg, endpoints, err := c.oneByOne(cmd, cluster)
			if err != nil {
				return err
			}
			var all endpointStatusAnswer
			failed := false
			for _, endpoint := range endpoints {
				status, err := c.endpointStatus(cfg, endpoint)
				if err != nil {
					fmt.Fprintf(c.Stderr, "Failed to get the status of endpoint %s (%v)\n", endpoint, err)
					failed = true
					continue
				}
				all = append(all, endpointStatus{Endpoint: endpoint, Status: status})
			}
			if err := c.out.print(all); err != nil {
				return err
			}
			if failed {
				return silent(exitError)
			}
			return nil
		}),
	}
}

func (c *ctl) endpointStatus(cfg clientv3.Config, endpoint string) (*clientv3.StatusResponse, error) {
	client, err := atEndpoint(cfg, endpoint)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := c.limited()
	defer cancel()
	return client.Status(ctx, endpoint)
}

func (c *ctl) endpointHashKVCommand(cluster *bool) *cobra.Command {
	var revision int64
	cmd := &cobra.Command{
		Use:   "hashkv",
		Short: "Prints the hash of the key history of the endpoints",
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			cfg, endpoints, err := c.oneByOne(cmd, cluster)
			if err != nil {
				return err
			}
			var all endpointHashAnswer
			var last error
			for _, endpoint := range endpoints {
				hash, err := c.endpointHash(cfg, endpoint, revision)
				if err != nil {
					fmt.Fprintf(c.Stderr, "Failed to get the hash of endpoint %s (%v)\n", endpoint, err)
					last = err
					continue
				}
				all = append(all, endpointHash{Endpoint: endpoint, HashKV: hash})
			}
			if err := c.out.print(all); err != nil {
				return err
			}
			return last
		}),
	}
	cmd.Flags().Int64Var(&revision, "rev", 0, "highest revision to hash (0 means the latest)")
	return cmd
}

func (c *ctl) endpointHash(cfg clientv3.Config, endpoint string, revision int64) (*clientv3.HashKVResponse, error) {
	client, err := atEndpoint(cfg, endpoint)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := c.limited()
	defer cancel()
	return client.HashKV(ctx, endpoint, revision)
}

func (c *ctl) defragCommand() *cobra.Command {
	var cluster bool
	cmd := &cobra.Command{
		Use:   "defrag",
		Short: "Defragments the storage of the endpoints",
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			cfg, endpoints, err := c.oneByOne(cmd, &cluster)
			if err != nil {
				return err
			}
			failed := false
			for _, endpoint := range endpoints {
				start := c.Clock.Now()
				err := c.defragment(cfg, endpoint)
				took := c.Clock.Now().Sub(start)
				if err != nil {
					fmt.Fprintf(c.Stderr, "Failed to defragment etcd member[%s]. took %s. (%v)\n", endpoint, took, err)
					failed = true
					continue
				}
				fmt.Fprintf(c.Stdout, "Finished defragmenting etcd member[%s]. took %s\n", endpoint, took)
			}
			if failed {
				return silent(exitError)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&cluster, "cluster", false, "use the client URLs of all members")
	return cmd
}

func (c *ctl) defragment(cfg clientv3.Config, endpoint string) error {
	client, err := atEndpoint(cfg, endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := c.limited()
	defer cancel()
	_, err = client.Defragment(ctx, endpoint)
	return err
}
