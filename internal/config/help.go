package config

import (
	"fmt"
	"strings"
)

// UsageText is the short usage, printed to stderr with every mistake.
func UsageText() string {
	return `Usage:

  etcd [flags]
    Run a member. Every --flag-name can also be given as ETCD_FLAG_NAME in the
    environment, but not both ways at once.

  etcd --config-file FILE
    Run a member as the YAML or JSON file says; other flags and ETCD_*
    variables are then ignored.

  etcd --version
    Print the version.

  etcd -h | --help
    Explain every flag.

  etcd gateway | etcd grpc-proxy
    Run a TCP or a gRPC proxy in front of a cluster (not supported yet).
`
}

// HelpText is the long list of flags, printed to stdout by --help.
func HelpText() string {
	c := Default()
	table := settings(&c)
	var b strings.Builder
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n%s:\n", g)
		for _, s := range table {
			if s.group != g || s.name == "" {
				continue
			}
			fmt.Fprintf(&b, "  --%s '%s'\n    %s", s.name, s.defaultText(), s.help)
			if s.support == later {
				b.WriteString(" Not supported yet.")
			}
			b.WriteByte('\n')
			if s.name == "feature-gates" {
				for _, line := range gateHelp() {
					fmt.Fprintf(&b, "      %s\n", line)
				}
			}
		}
	}
	return b.String()
}

func (s setting) defaultText() string {
	if s.shown != "" {
		return s.shown
	}
	return s.String()
}
