package ctl

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestSplitWords(t *testing.T) {
	for line, want := range map[string][]string{
		``:                                nil,
		`  put  k v `:                     {"put", "k", "v"},
		`put "a \"b" 'c \d'`:              {"put", `a "b`, `c \d`},
		`a'b c"d e\nf`:                    {"a'b", `c"d`, `e\nf`},
		`"a"b`:                            {"a", "b"},
		`"open`:                           {"open"},
		`'open`:                           {"open"},
		`"" ''`:                           {"", ""},
		"value(\"k\")\t=\r":               {`value("k")`, "="},
		`put "key \"with\" space" "\x23"`: {"put", `key "with" space`, "#"},
	} {
		got, err := splitWords(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("splitWords(%q) = %q, %v; want %q", line, got, err, want)
		}
	}
	if _, err := splitWords(`"a\q"`); err == nil || err.Error() != "invalid syntax" {
		t.Errorf("a bad escape gives %v", err)
	}
}

func FuzzSplitWords(f *testing.F) {
	f.Add(`put "a \"b" 'c'`)
	f.Add(`"\`)
	f.Fuzz(func(t *testing.T, line string) {
		words, err := splitWords(line)
		if err == nil && len(words) > len(line) {
			t.Fatalf("%d words from %d bytes", len(words), len(line))
		}
	})
}

func FuzzParseCompare(f *testing.F) {
	f.Add(`mod("key1") > "0"`)
	f.Add("val(`k`) != \"v\" rest")
	f.Fuzz(func(t *testing.T, line string) {
		if _, err := parseCompare(line); err != nil && asFailure(err).code != exitInput {
			t.Fatalf("%q: %v", line, err)
		}
	})
}

func snapshotBlob(body string) []byte {
	sum := sha256.Sum256([]byte(body))
	return append([]byte(body), sum[:]...)
}

func TestCopyCheckedRefusesDamage(t *testing.T) {
	good := snapshotBlob(strings.Repeat("x", 1024))
	var out bytes.Buffer
	if n, err := copyChecked(&out, iotest.OneByteReader(bytes.NewReader(good))); err != nil || n != int64(len(good)) || !bytes.Equal(out.Bytes(), good) {
		t.Fatalf("good snapshot: %d bytes, %v", n, err)
	}
	flipped := bytes.Clone(good)
	flipped[100] ^= 1
	for name, c := range map[string]struct {
		dst  io.Writer
		src  io.Reader
		want string
	}{
		"flipped bit":    {io.Discard, bytes.NewReader(flipped), "expected sha256"},
		"torn":           {io.Discard, bytes.NewReader(good[:700]), "sha256 checksum not found [bytes: 700]"},
		"no sum":         {io.Discard, bytes.NewReader(good[:1024]), "sha256 checksum not found [bytes: 1024]"},
		"only a sum":     {io.Discard, bytes.NewReader(good[:32]), "expected sha256"},
		"stream failure": {io.Discard, iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(good))), "timeout"},
		"disk full":      {fullDisk{}, bytes.NewReader(good), "could not write snapshot: no space"},
	} {
		if _, err := copyChecked(c.dst, c.src); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A failed save must leave neither a partial file nor touch the old snapshot.
func TestSnapshotSaveFailureLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	rc, _, stderr := runMain(t, newFakeServer(t), "--endpoints=nobody:1", "--command-timeout=20ms", "snapshot", "save", path)
	if rc != exitInterrupted || !strings.HasSuffix(stderr, "context deadline exceeded\n") {
		t.Errorf("rc %d, %s", rc, stderr)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Errorf("old snapshot is now %q", got)
	}
	if _, err := os.Stat(path + ".part"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("partial file: %v", err)
	}
}

func runMain(t *testing.T, fake *fakeServer, args ...string) (rc int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	rc = Main(args, Process{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut,
		Clock: frozenClock{}, DialOptions: fake.dialOptions(),
		LookupSRV: lookup,
	})
	return rc, out.String(), errOut.String()
}

// lookup knows one domain with both kinds of records, and one with none.
func lookup(_ context.Context, service, domain string) ([]*net.SRV, error) {
	switch {
	case domain == "both" && service == "etcd-client-ssl-x":
		return nil, errors.New("no such host")
	case domain == "both" && service == "etcd-client-x":
		return []*net.SRV{{Target: "demo.", Port: 2379}}, nil
	case domain == "empty":
		return nil, nil
	}
	return nil, fmt.Errorf("lookup %s.%s: no such host", service, domain)
}

func TestDiscovery(t *testing.T) {
	fake := newFakeServer(t)
	for _, c := range []struct {
		args           string
		rc             int
		stdout, stderr string
	}{
		{"-d both --discovery-srv-name x", 0, "alpha\nfour\n", ""},
		{"-d empty --endpoints demo:2379", 0, "alpha\nfour\n", ""},
		{"-d gone", 1, "", "Error: dns lookup errors: lookup etcd-client-ssl.gone: no such host and lookup etcd-client.gone: no such host\n"},
		{"-d both --discovery-srv-name x --insecure-discovery=false --endpoints=", 2, "",
			"ignoring discovered insecure endpoint \"http://demo:2379\"\nError: etcdclient: no available endpoints\n"},
	} {
		rc, stdout, stderr := runMain(t, fake, append(strings.Fields(c.args), "get", "alpha")...)
		if rc != c.rc || stdout != c.stdout || stderr != c.stderr {
			t.Errorf("%s: rc %d stdout %q stderr %q", c.args, rc, stdout, stderr)
		}
	}
}

func TestTLSSettings(t *testing.T) {
	if cfg, err := (&globals{insecureTransport: true}).tlsConfig(); cfg != nil || err != nil {
		t.Errorf("TLS although nobody asked: %v %v", cfg, err)
	}
	for name, g := range map[string]*globals{
		"transport": {insecureTransport: false},
		"skip":      {insecureTransport: true, insecureSkip: true},
	} {
		if cfg, err := g.tlsConfig(); err != nil || cfg == nil || cfg.InsecureSkipVerify != g.insecureSkip {
			t.Errorf("%s: %v %v", name, cfg, err)
		}
	}
	g := &globals{discoverySRV: "example.com", insecureDiscovery: false}
	if cfg, err := g.tlsConfig(); err != nil || cfg.ServerName != "example.com" {
		t.Errorf("discovered servers are not checked against their domain: %v %v", cfg, err)
	}
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (&globals{caCert: empty}).tlsConfig(); err == nil {
		t.Error("a CA file without a certificate is accepted")
	}
}

// The RPC library's log is chosen once, before the first connection.
func TestGRPCLogGoesWhereAsked(t *testing.T) {
	fake := newFakeServer(t)
	for _, c := range []struct {
		args []string
		env  []string
		want int
	}{
		{[]string{"get", "alpha"}, nil, 1},
		{[]string{"--debug", "get", "alpha"}, nil, 1},
		{[]string{"get", "alpha"}, []string{"ETCD_CLIENT_DEBUG=1"}, 0},
		{[]string{"version"}, nil, 0},
	} {
		var calls []io.Writer
		var stderr bytes.Buffer
		Main(append([]string{"--endpoints=demo:2379"}, c.args...), Process{
			Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &stderr, Environ: c.env,
			Clock: frozenClock{}, DialOptions: fake.dialOptions(),
			LogGRPC: func(w io.Writer) { calls = append(calls, w) },
		})
		if len(calls) != c.want {
			t.Errorf("%v: set %d times", c.args, len(calls))
		}
		if len(calls) == 1 && (calls[0] == io.Discard) == slices.Contains(c.args, "--debug") {
			t.Errorf("%v: log goes to the wrong place", c.args)
		}
	}
}

// A password typed at a terminal is not read from the stream.
func TestPasswordFromTerminal(t *testing.T) {
	asked := false
	var out, errOut bytes.Buffer
	Main([]string{"--endpoints=demo:2379", "--user=root", "get", "alpha"}, Process{
		Stdin: strings.NewReader("not this\n"), Stdout: &out, Stderr: &errOut, Clock: frozenClock{},
		DialOptions:  newFakeServer(t).dialOptions(),
		ReadPassword: func() (string, error) { asked = true; return "", errors.New("terminal gone") },
	})
	if !asked || out.String() != "Password: \n" || errOut.String() != "Error: failed to ask password: terminal gone\n" {
		t.Errorf("asked %v, %q, %q", asked, out.String(), errOut.String())
	}
}

// An observer prints leaders until the interrupt, and that is no error. (How
// far its watch gets before the interrupt is chance, so this is no scenario.)
func TestObserveUntilInterrupt(t *testing.T) {
	interrupts := make(chan struct{}, 1)
	out := &triggerBuffer{trigger: func() { interrupts <- struct{}{} }}
	var errOut bytes.Buffer
	rc := Main([]string{"--endpoints=demo:2379", "elect", "e1", "--listen"}, Process{
		Stdin: strings.NewReader(""), Stdout: out, Stderr: &errOut, Clock: frozenClock{},
		DialOptions: newFakeServer(t).dialOptions(),
		Interrupts:  func() <-chan struct{} { return interrupts },
	})
	if rc != 0 || out.buf.String() != "alpha\nfour\n" || errOut.Len() != 0 {
		t.Errorf("rc %d, %q, %q", rc, out.buf.String(), errOut.String())
	}
}
