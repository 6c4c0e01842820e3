package config

import (
	"context"
	"errors"
	"testing"
)

func TestUseDefaultHost(t *testing.T) {
	for _, row := range []struct {
		args                  string
		wants                 bool
		peer, client, initial string
	}{
		{"", false, DefaultPeerURL, DefaultClientURL, "default=http://localhost:2380"},
		{"--listen-peer-urls=http://0.0.0.0:99", true, "http://10.0.0.7:99", DefaultClientURL, "default=http://localhost:2380"},
		{"--name=n --listen-peer-urls=http://0.0.0.0:99", true, "http://10.0.0.7:99", DefaultClientURL, "n=http://10.0.0.7:99"},
		{"--listen-client-urls=http://0.0.0.0:98 --advertise-client-urls=http://localhost:2379", true, DefaultPeerURL, "http://10.0.0.7:98", "default=http://localhost:2380"},
		{"--listen-client-urls=http://0.0.0.0:98 --advertise-client-urls=http://h:1", false, DefaultPeerURL, "http://h:1", "default=http://localhost:2380"},
	} {
		c := ok(t, row.args, nil, "")
		if c.WantsDefaultHost() != row.wants {
			t.Errorf("%s: wants %v", row.args, c.WantsDefaultHost())
		}
		d := c.UseDefaultHost("10.0.0.7")
		if d.Advertise.Peer.String() != row.peer || d.Advertise.Client.String() != row.client || d.Cluster.Initial != row.initial {
			t.Errorf("%s: %s %s %s", row.args, d.Advertise.Peer, d.Advertise.Client, d.Cluster.Initial)
		}
	}
}

func TestCheckBootstrap(t *testing.T) {
	lookup := func(_ context.Context, host string) ([]string, error) {
		switch host {
		case "a", "b":
			return []string{"10.0.0.1"}, nil
		}
		return nil, errors.New("no such host " + host)
	}
	for _, row := range []struct{ args, want string }{
		{"", ""},
		{"--name=n", ""},
		{"--name=n --initial-cluster=n=http://a:1 --initial-advertise-peer-urls=http://a:1", ""},
		{"--name=n --initial-cluster=n=http://a:1 --initial-advertise-peer-urls=http://b:1", ""},
		{"--name=n --initial-cluster=m=http://a:1", `couldn't find local name "n" in the initial cluster configuration`},
		{"--name=n --initial-cluster=n=http://x:1", "--initial-cluster has n=http://x:1 but missing from --initial-advertise-peer-urls=http://localhost:2380"},
		{"--initial-advertise-peer-urls=http://localhost:2380,http://a:2", "--initial-advertise-peer-urls has http://a:2 but missing from --initial-cluster=default=http://localhost:2380"},
		{"--name=n --initial-cluster=n=http://localhost:2380,m=http://localhost:2380", "initial cluster n=http://localhost:2380,m=http://localhost:2380 has duplicate url"},
		{"--name=n --initial-cluster=n=http://localhost:2380,m=http://a:2380", "not supported yet: --initial-cluster with 2 members (clusters of more than one member come with a later version)"},
		{"--initial-cluster-state=existing", "not supported yet: --initial-cluster-state=existing (joining a cluster comes with a later version)"},
		{"--initial-cluster=default", "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: "},
	} {
		got := ""
		if err := ok(t, row.args, nil, "").CheckBootstrap(t.Context(), lookup); err != nil {
			got = err.Error()
		}
		if got != row.want {
			t.Errorf("%s\n got  %s\n want %s", row.args, got, row.want)
		}
	}
}

func TestArchAndSubCommands(t *testing.T) {
	if _, ok := CheckArch("amd64", nil); !ok {
		t.Error("amd64")
	}
	if line, ok := CheckArch("riscv64", nil); ok || line != "etcd on unsupported platform without ETCD_UNSUPPORTED_ARCH=riscv64 set\n" {
		t.Error(line, ok)
	}
	if line, ok := CheckArch("riscv64", []string{"ETCD_UNSUPPORTED_ARCH=riscv64"}); !ok || line == "" {
		t.Error(line, ok)
	}
	for _, word := range []string{"gateway", "grpc-proxy"} {
		if line, ok := SubCommand([]string{word, "start"}); !ok || line == "" {
			t.Error(word)
		}
	}
	if _, ok := SubCommand([]string{"--name", "gateway"}); ok {
		t.Error("only the first word counts")
	}
}

// FuzzConfigFile: no file may make the parser panic, and what is refused must
// say why.
func FuzzConfigFile(f *testing.F) {
	for _, s := range []string{"name: x", "{", "client-transport-security: 5", "log-outputs: [[]]", "a: &a [*a]", "listen-peer-urls: [1]", "feature-gates: 3", "- 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		if file == "" {
			return
		}
		c, out := parse("--config-file=f", nil, file)
		if out.Err == nil && !out.Done && c.DataDir == "" {
			t.Error("accepted without a data directory")
		}
		if out.Done && out.Stderr == "" {
			t.Error("ended without a word")
		}
	})
}
