package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected texts")

// golden compares got with a file, or rewrites the file with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and read the diff. Got:\n%s", path, got)
	}
}

func TestHelpAndVersion(t *testing.T) {
	_, out := parse("--help", nil, "")
	if !out.Done || out.Code != 0 {
		t.Fatalf("%+v", out)
	}
	golden(t, filepath.Join("testdata", "help.txt"), "--- stderr\n"+out.Stderr+"--- stdout\n"+out.Stdout)
	_, out = parse("--version", nil, "")
	golden(t, filepath.Join("testdata", "version.txt"), out.Stdout)
	if _, short := parse("-h", nil, ""); short.Code != 0 || short.Stdout == "" {
		t.Errorf("-h: %+v", short)
	}
}

// TestConfigurationDoc: the page lists exactly the table.
func TestConfigurationDoc(t *testing.T) {
	golden(t, filepath.Join("..", "..", "docs", "configuration.md"), configurationDoc())
}

func configurationDoc() string {
	c := Default()
	table := settings(&c)
	var b strings.Builder
	b.WriteString(docHead)
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n## %s\n\n| Flag | Default | Key in the file | State | Meaning |\n|---|---|---|---|---|\n", g)
		for _, s := range table {
			if s.group != g || s.name == "" {
				continue
			}
			key := "`" + s.fileKey() + "`"
			switch s.fileKey() {
			case "":
				key = "none"
			case s.name:
				key = "same"
			}
			fmt.Fprintf(&b, "| `--%s` | %s | %s | %s | %s |\n", s.name, quoted(s.defaultText()), key, state(s), s.help)
		}
	}
	b.WriteString("\nKeys of the file that have no flag (all belong to a later version):")
	for _, s := range table {
		if s.name == "" {
			fmt.Fprintf(&b, " `%s`", s.fileKey())
		}
	}
	b.WriteString(".\n\n## Feature gates\n\n")
	for _, line := range gateHelp() {
		fmt.Fprintf(&b, "- `%s`\n", line)
	}
	b.WriteString(docTail)
	return b.String()
}

func quoted(s string) string {
	if s == "" {
		return "empty"
	}
	return "`" + s + "`"
}

func state(s setting) string {
	switch s.support {
	case later:
		return "refused: " + s.what
	case noBackend:
		return "no effect"
	case severalMembers:
		return "several members"
	case works:
		return "works"
	}
	panic("unknown state of " + s.name)
}

const docHead = `# Configuration of a member

The flags, variables and file keys of etcd 3.7. This page is printed from the table the server parses with
(` + "`go test ./internal/config -update`" + ` rewrites it), so it cannot be out of date.

- **Flags**: ` + "`-x`" + ` is ` + "`--x`" + `; a boolean takes ` + "`--x`" + ` or ` + "`--x=false`" + `; durations are written ` + "`5s`" + `, ` + "`1h30m`" + `; the last occurrence wins.
- **Variables**: ` + "`ETCD_`" + ` and the flag's name in capitals with ` + "`_`" + ` for ` + "`-`" + `. A flag and its variable together are refused. An
  empty variable counts as absent. Unknown ` + "`ETCD_*`" + ` variables are only warned about.
- **File** (` + "`--config-file`" + ` or ` + "`ETCD_CONFIG_FILE`" + `, YAML or JSON): replaces all flags and variables, except the two raft timeouts.
  Unknown keys are ignored, durations are whole nanoseconds, lists of URLs are one comma-separated text, other lists are YAML lists.
- **Exit codes**: 2 for a flag that is unknown or cannot be read (and for an unknown log level), 1 for a configuration that is
  refused, 0 for ` + "`--help`" + ` and ` + "`--version`" + `.

State of a setting in this version:

- *works*: as described.
- *refused*: only the default is accepted. Any other value ends the start with one line, ` + "`not supported yet: --flag=value (... comes with a later version)`" + `,
  so that nobody believes to be protected by something that is not there. The same holds for ` + "`https`" + ` and ` + "`unixs`" + ` listen URLs,
  for a first start with ` + "`--initial-cluster-state=existing`" + ` or more than one member in ` + "`--initial-cluster`" + `,
  and for ` + "`etcd gateway`" + ` and ` + "`etcd grpc-proxy`" + `.
- *several members*: accepted and kept; it matters only between members, and this version runs one.
- *no effect*: accepted with a warning; it describes a part of etcd that Keelson does not have.

The JSON gateway (` + "`--enable-grpc-gateway`" + `, on by default) is not there yet either: ` + "`/v3/`" + ` answers 404.
`

const docTail = `
Leases keep their remaining time across restarts whether or not LeaseCheckpoint is on: the gate is shown with etcd's default
because tools read it.

## Differences from etcd

- ` + "`--grpc-engine`" + ` is ours.
- Booleans such as ` + "`--v`" + `, ` + "`--snapshot`" + ` or ` + "`--config`" + ` that etcd accepts and drops are accepted and dropped here too.
- The value of ` + "`ETCD_DISCOVERY_PASSWORD`" + ` is not written to the log.
- The warning about one port for HTTP and gRPC is logged once, not twice.
`
