package ctl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"keelson/internal/config"
)

const (
	groupKV      = "kv"
	groupCluster = "cluster"
	groupSync    = "concurrency"
	groupTools   = "utility"
)

const optionsHint = `Use "etcdctl options" for a list of global command-line options (applies to all commands).` + "\n"

// rootCommand is the whole tree of commands.
func (c *ctl) rootCommand() *cobra.Command {
	cobra.EnablePrefixMatching = true // `etcdctl compact 5`: a documented habit
	root := &cobra.Command{
		Use:   "etcdctl",
		Short: "Command line client of a Keelson or etcd v3 server.",

		// Main explains what went wrong.
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true // ours takes the shell as an argument
	c.globals.register(root.PersistentFlags())
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = true })
	registerCompletions(root)

	root.AddGroup(
		&cobra.Group{ID: groupKV, Title: "Key-value commands"},
		&cobra.Group{ID: groupCluster, Title: "Cluster maintenance commands"},
		&cobra.Group{ID: groupSync, Title: "Concurrency commands"},
		&cobra.Group{ID: groupTools, Title: "Utility commands"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add(groupKV, c.getCommand(), c.putCommand(), c.delCommand(), c.txnCommand(),
		c.watchCommand(), c.compactionCommand(), c.leaseCommand())
	add(groupCluster, c.memberCommand(), c.endpointCommand(), c.alarmCommand(),
		c.defragCommand(), c.snapshotCommand(), c.moveLeaderCommand())
	add(groupSync, c.lockCommand(), c.electCommand())
	add(groupTools, c.versionCommand(), c.optionsCommand(), c.completionCommand())
	root.SetHelpCommand(c.helpCommand())
	root.SetHelpCommandGroupID(groupTools)

	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		help(cmd, args)
		fmt.Fprint(c.Stdout, optionsHint)
	})
	return root
}

// run adapts the body of a command: once it starts, errors are printed by
// Main without the usage text that follows mistakes in flags.
func (c *ctl) run(body func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c.started = true
		return body(cmd, args)
	}
}

// group is a command that only has subcommands; used alone it shows its help.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	cmd.AddCommand(commands...)
	return cmd
}

func (c *ctl) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Helps about any command",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			topic, _, err := cmd.Root().Find(args)
			if topic == nil || err != nil {
				fmt.Fprintf(c.Stderr, "Unknown help topic %#q\n%s", args, cmd.Root().UsageString())
				return nil
			}
			topic.InitDefaultHelpFlag() // so that it is listed
			return topic.Help()
		}),
	}
}

func (c *ctl) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Prints the version of etcdctl",
		RunE: c.run(func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(c.Stdout, "etcdctl version: %s\nAPI version: %s\n", config.Version, apiVersion(config.Version))
			return err
		}),
	}
}

// apiVersion is the major and minor part.
func apiVersion(version string) string {
	return version[:strings.LastIndexByte(version, '.')]
}

func (c *ctl) optionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "options",
		Short: "Shows the global command-line flags",
		RunE: c.run(func(cmd *cobra.Command, _ []string) error {
			shown := pflag.NewFlagSet("options", pflag.ContinueOnError)
			cmd.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) {
				visible := *f
				visible.Hidden = false
				shown.AddFlag(&visible)
			})
			_, err := fmt.Fprintf(c.Stdout, "The following options can be passed to any command:\n\n%s", shown.FlagUsages())
			return err
		}),
	}
}

func (c *ctl) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:                   "completion [bash|zsh|fish|powershell]",
		Short:                 "Generates a completion script for a shell",
		DisableFlagsInUseLine: true,
		ValidArgs:             []string{"bash", "zsh", "fish", "powershell"},
		Args:                  cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletion(c.Stdout)
			case "zsh":
				return root.GenZshCompletion(c.Stdout)
			case "fish":
				return root.GenFishCompletion(c.Stdout, true)
			default:
				return root.GenPowerShellCompletionWithDesc(c.Stdout)
			}
		}),
	}
}
