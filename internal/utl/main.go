package utl

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keelson/internal/config"
	"keelson/internal/vfs"
)

// Main runs one command line (without the program's name) and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	return run(vfs.OS{}, args, stdout, stderr)
}

func run(fs vfs.FS, args []string, stdout, stderr io.Writer) int {
	u := &utl{fs: fs, stdout: stdout}
	root := u.rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "Error: %v\n", err)
	if !u.started { // a mistake in the command line: twice, as scripts know it
		fmt.Fprintln(stderr, cmd.UsageString())
		fmt.Fprintf(stderr, "Error: %v\n", err)
	}
	return 1
}

// utl is one run of the program.
type utl struct {
	fs      vfs.FS
	stdout  io.Writer
	started bool // a command of ours runs; its errors are not about the command line
}

func (u *utl) rootCommand() *cobra.Command {
	cobra.EnablePrefixMatching = true // as in etcdctl
	root := &cobra.Command{
		Use:           "etcdutl",
		Short:         "Works on the files of a stopped Keelson member.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	// Both flags are for commands that come later; scripts pass them to all.
	root.PersistentFlags().StringP("write-out", "w", "simple", "output format (fields, json, protobuf, simple, table)")
	root.PersistentFlags().Duration("timeout", 10*time.Second, "how long to wait for the lock of a database file")
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		u.verifyCommand(), u.dumpCommand(), u.versionCommand(), u.completionCommand(),
		u.snapshotCommand(), u.later("defrag", "Defragments a database"),
		u.later("hashkv", "Prints the hash of a key history"),
		u.later("migrate", "Changes the version of a database"),
	)
	return root
}

func (u *utl) body(run func(args []string) error) func(*cobra.Command, []string) error {
	return func(_ *cobra.Command, args []string) error {
		u.started = true
		return run(args)
	}
}

func (u *utl) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Prints the version of etcdutl",
		RunE: u.body(func([]string) error {
			api := config.Version[:strings.LastIndexByte(config.Version, '.')]
			_, err := fmt.Fprintf(u.stdout, "etcdutl version: %s\nAPI version: %s\n", config.Version, api)
			return err
		}),
	}
}

// later is a command that this version does not have yet.
func (u *utl) later(name, short string) *cobra.Command {
	return &cobra.Command{
		Use:                name,
		Short:              short + " (in a later version)",
		DisableFlagParsing: true, // whatever it will accept
		RunE: func(cmd *cobra.Command, _ []string) error {
			u.started = true
			return errors.New(cmd.CommandPath() + " is not supported yet: it comes in a later version")
		},
	}
}

func (u *utl) snapshotCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "snapshot <subcommand>", Short: "Works on snapshots of members"}
	cmd.AddCommand(
		u.later("restore", "Makes a data directory from a snapshot"),
		u.later("status", "Describes a snapshot"),
	)
	return cmd
}

func (u *utl) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:                   "completion [bash|zsh|fish|powershell]",
		Short:                 "Generates a completion script for a shell",
		DisableFlagsInUseLine: true,
		ValidArgs:             []string{"bash", "zsh", "fish", "powershell"},
		Args:                  cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			u.started = true
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletion(u.stdout)
			case "zsh":
				return root.GenZshCompletion(u.stdout)
			case "fish":
				return root.GenFishCompletion(u.stdout, true)
			default:
				return root.GenPowerShellCompletionWithDesc(u.stdout)
			}
		},
	}
}
