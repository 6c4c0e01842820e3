package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// debianCtl runs Debian's etcdctl (3.4, package etcd-client), the oldest client
// we promise to serve, against one member.
type debianCtl struct {
	t    *testing.T
	path string
	m    *member
}

// newDebianCtl says why when there is none: `make test` needs only Go and make,
// the continuous integration insists.
func newDebianCtl(t *testing.T, m *member) (debianCtl, bool) {
	t.Helper()
	path, err := exec.LookPath("etcdctl")
	if err == nil {
		return debianCtl{t, path, m}, true
	}
	const how = "etcdctl is not in PATH: apt-get install etcd-client"
	if os.Getenv("KEELSON_REQUIRE_ETCDCTL") == "1" {
		t.Fatal(how)
	}
	t.Logf("NOT RUN: %s", how)
	return debianCtl{}, false
}

func (c debianCtl) command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.path, args...)
	cmd.Env = append(cleanEnviron(), "ETCDCTL_API=3", "ETCDCTL_ENDPOINTS="+c.m.clientURL())
	cmd.SysProcAttr = dieWithParent()
	return cmd
}

// try runs one command; in is its standard input.
func (c debianCtl) try(in string, args ...string) (stdout, stderr string, err error) {
	cmd := c.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// run runs one command that has to succeed.
func (c debianCtl) run(args ...string) string { return c.runIn("", args...) }

func (c debianCtl) runIn(in string, args ...string) string {
	c.t.Helper()
	stdout, stderr, err := c.try(in, args...)
	if err != nil {
		c.t.Fatalf("etcdctl %q: %v\n%s%s", args, err, stdout, stderr)
	}
	return stdout
}

// expect runs a command whose output is known.
func (c debianCtl) expect(want string, args ...string) {
	c.t.Helper()
	if got := c.run(args...); got != want {
		c.t.Errorf("etcdctl %q printed %q, want %q", args, got, want)
	}
}

// match runs a command whose output is known but for numbers.
func (c debianCtl) match(pattern string, args ...string) []string {
	c.t.Helper()
	got := c.run(args...)
	groups := regexp.MustCompile(`^(?s:` + pattern + `)$`).FindStringSubmatch(got)
	if groups == nil {
		c.t.Fatalf("etcdctl %q printed %q, want a match of %s", args, got, pattern)
	}
	return groups
}

// refused runs a command that has to fail with an error text.
func (c debianCtl) refused(want string, args ...string) {
	c.t.Helper()
	stdout, stderr, err := c.try("", args...)
	if err == nil || !strings.Contains(stderr, want) {
		c.t.Errorf("etcdctl %q: %v\n%s%swant a failure with %q", args, err, stdout, stderr, want)
	}
}

// running is a command that goes on, for watch, lock and elect.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
}

func (c debianCtl) background(args ...string) *running {
	c.t.Helper()
	cmd := c.command(args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	r := &running{t: c.t, cmd: cmd, lines: make(chan string, 100)}
	go r.read(out)
	c.t.Cleanup(r.kill)
	return r
}

func (r *running) read(out io.Reader) {
	defer close(r.lines)
	for s := bufio.NewScanner(out); s.Scan(); {
		r.lines <- s.Text()
	}
}

func (r *running) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// interrupt ends the command as a user would.
func (r *running) interrupt() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		r.t.Fatal(err)
	}
	for range r.lines { // until it has ended
	}
}

// line waits for one line of output.
func (r *running) line(ctx context.Context) string {
	r.t.Helper()
	select {
	case l, ok := <-r.lines:
		if !ok {
			r.t.Fatalf("%q ended", r.cmd.Args)
		}
		return l
	case <-ctx.Done():
		r.t.Fatalf("%q printed nothing", r.cmd.Args)
	}
	return ""
}

func TestDebianEtcdctl(t *testing.T) {
	t.Parallel()
	m := startMember(t)
	c, ok := newDebianCtl(t, m)
	if !ok {
		return
	}
	// In this order: each part builds on what is stored by then.
	t.Run("keys", c.in(debianKeys))
	t.Run("txn", c.in(debianTxn))
	t.Run("watch", c.in(debianWatch))
	t.Run("lease", c.in(debianLease))
	t.Run("lock", c.in(debianLock))
	t.Run("elect", c.in(debianElect))
	t.Run("cluster", c.in(debianCluster))
	t.Run("maintenance", c.in(debianMaintenance))
}

// in gives the part its own test to report to.
func (c debianCtl) in(part func(t *testing.T, c debianCtl)) func(*testing.T) {
	return func(t *testing.T) {
		c.t = t
		part(t, c)
	}
}

func debianKeys(t *testing.T, c debianCtl) {
	c.expect("OK\n", "put", "foo", "bar")
	c.expect("foo\nbar\n", "get", "foo")
	c.expect("bar\n", "get", "foo", "--print-value-only")
	c.expect("", "get", "nothing")
	if got := c.runIn("from standard input", "put", "stdin"); got != "OK\n" {
		t.Errorf("put from standard input: %q", got)
	}
	c.expect("stdin\nfrom standard input\n", "get", "stdin")
	for _, k := range []string{"a", "b", "c"} {
		c.expect("OK\n", "put", "list/"+k, k)
	}
	c.expect("list/a\na\nlist/b\nb\nlist/c\nc\n", "get", "--prefix", "list/")
	c.expect("list/c\n\nlist/b\n\n", "get", "--prefix", "list/", "--order=DESCEND", "--sort-by=KEY", "--limit=2", "--keys-only")
	c.expect("list/b\nb\n", "get", "list/b", "list/c")
	c.expect("list/b\nb\nlist/c\nc\nstdin\nfrom standard input\n", "get", "--from-key", "list/b")
	c.expect("OK\nfoo\nbar\n", "put", "foo", "baz", "--prev-kv")
	c.expect("OK\n", "put", "foo", "--ignore-lease", "last")
	c.refused("etcdserver: key not found", "put", "absent", "--ignore-value")
	var r struct {
		Header struct{ Revision int64 }
		Kvs    []struct {
			Key, Value     []byte
			CreateRevision int64 `json:"create_revision"`
			ModRevision    int64 `json:"mod_revision"`
			Version        int64
		}
		Count int
	}
	if err := json.Unmarshal([]byte(c.run("get", "foo", "-w", "json")), &r); err != nil {
		t.Fatal(err)
	}
	if kv := r.Kvs[0]; string(kv.Key) != "foo" || string(kv.Value) != "last" || kv.Version != 3 || kv.ModRevision != r.Header.Revision || r.Count != 1 {
		t.Errorf("get as JSON: %+v", r)
	}
	c.expect("foo\nbar\n", "get", "foo", "--rev", fmt.Sprint(r.Kvs[0].CreateRevision))
	c.refused("etcdserver: mvcc: required revision is a future revision", "get", "foo", "--rev", "100000")
	c.expect("1\nlist/b\nb\n", "del", "list/b", "--prev-kv")
	c.expect("0\n", "del", "list/b")
	c.expect("2\n", "del", "--prefix", "list/")
}

func debianTxn(t *testing.T, c debianCtl) {
	c.expect("OK\n", "put", "balance", "10")
	const txn = `value("balance") = "10"
mod("nothing") = "0"

put balance 11
get balance

get balance

`
	if got, want := c.runIn(txn, "txn"), "SUCCESS\n\nOK\n\nbalance\n11\n"; got != want {
		t.Errorf("txn printed %q, want %q", got, want)
	}
	if got, want := c.runIn(txn, "txn"), "FAILURE\n\nbalance\n11\n"; got != want {
		t.Errorf("second txn printed %q, want %q", got, want)
	}
	_, stderr, err := c.try("\nput twice 1\nput twice 2\n\n\n", "txn")
	if err == nil || !strings.Contains(stderr, "etcdserver: duplicate key given in txn request") {
		t.Errorf("txn that puts a key twice: %v %s", err, stderr)
	}
}

func debianWatch(t *testing.T, c debianCtl) {
	ctx := testContext(t)
	c.run("put", "watched/old", "before")
	rev := c.match(`.*"revision":(\d+).*`, "get", "watched/old", "-w", "json")[1]
	// From an old revision, so that nothing depends on when the watch is registered.
	w := c.background("watch", "--prefix", "watched/", "--rev", rev, "--prev-kv")
	c.run("put", "watched/a", "1")
	c.run("put", "watched/a", "2")
	c.run("del", "watched/a")
	want := []string{
		"PUT", "watched/old", "before",
		"PUT", "watched/a", "1",
		"PUT", "watched/a", "1", "watched/a", "2",
		"DELETE", "watched/a", "2", "watched/a", "",
	}
	for i, wanted := range want {
		if got := w.line(ctx); got != wanted {
			t.Fatalf("line %d of the watch is %q, want %q", i, got, wanted)
		}
	}
	w.interrupt()
	// A command that runs for each event, with the event in its environment.
	w = c.background("watch", "watched/old", "--rev", rev, "--", "sh", "-c", "echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE")
	for _, wanted := range []string{"PUT", "watched/old", "before", `"PUT" "watched/old" "before"`} {
		if got := w.line(ctx); got != wanted {
			t.Fatalf("watch with a command printed %q, want %q", got, wanted)
		}
	}
	w.interrupt()
}

func debianLease(t *testing.T, c debianCtl) {
	id := c.match(`lease ([0-9a-f]{16}) granted with TTL\(100s\)\n`, "lease", "grant", "100")[1]
	c.expect("OK\n", "put", "leased", "value", "--lease="+id)
	c.match(`lease `+id+` granted with TTL\(100s\), remaining\((99|100)s\), attached keys\(\[leased\]\)\n`, "lease", "timetolive", id, "--keys")
	c.expect("lease "+id+" keepalived with TTL(100)\n", "lease", "keep-alive", "--once", id)
	c.match(`found 1 leases\n`+id+`\n`, "lease", "list")
	c.expect("lease "+id+" revoked\n", "lease", "revoke", id)
	c.expect("", "get", "leased")
	c.expect("lease "+id+" already expired\n", "lease", "timetolive", id)
	c.refused("etcdserver: requested lease not found", "lease", "revoke", id)
	c.refused("etcdserver: requested lease not found", "put", "leased", "value", "--lease="+id)
}

func debianLock(t *testing.T, c debianCtl) {
	ctx := testContext(t)
	first := c.background("lock", "mutex")
	if key := first.line(ctx); !strings.HasPrefix(key, "mutex/") {
		t.Fatalf("lock printed %q", key)
	}
	second := c.background("lock", "mutex", "echo", "it is mine")
	// The second waits: its key is there, behind that of the first.
	eventually(t, "two keys wait for the lock", func() bool {
		return strings.Count(c.run("get", "--prefix", "mutex/", "--keys-only"), "mutex/") == 2
	})
	select {
	case l := <-second.lines:
		t.Errorf("two clients have the lock: %q", l)
	default:
	}
	first.interrupt()
	if l := second.line(ctx); l != "it is mine" {
		t.Errorf("the command under the lock printed %q", l)
	}
}

func debianElect(t *testing.T, c debianCtl) {
	ctx := testContext(t)
	first := c.background("elect", "boss", "ada")
	if key, who := first.line(ctx), first.line(ctx); !strings.HasPrefix(key, "boss/") || who != "ada" {
		t.Fatalf("elect printed %q, %q", key, who)
	}
	listener := c.background("elect", "--listen", "boss")
	if key, who := listener.line(ctx), listener.line(ctx); !strings.HasPrefix(key, "boss/") || who != "ada" {
		t.Fatalf("elect --listen printed %q, %q", key, who)
	}
	second := c.background("elect", "boss", "grace")
	eventually(t, "two candidates", func() bool {
		return strings.Count(c.run("get", "--prefix", "boss/", "--keys-only"), "boss/") == 2
	})
	first.interrupt()
	if key, who := second.line(ctx), second.line(ctx); !strings.HasPrefix(key, "boss/") || who != "grace" {
		t.Fatalf("elect of the second printed %q, %q", key, who)
	}
	if key, who := listener.line(ctx), listener.line(ctx); !strings.HasPrefix(key, "boss/") || who != "grace" {
		t.Fatalf("elect --listen printed %q, %q", key, who)
	}
	second.interrupt()
}

func debianCluster(t *testing.T, c debianCtl) {
	url, peer := regexp.QuoteMeta(c.m.clientURL()), regexp.QuoteMeta("http://"+c.m.peerAddr)
	id := c.match(`([0-9a-f]{1,16}), started, default, `+peer+`, `+url+`, false\n`, "member", "list")[1]
	_, stderr, err := c.try("", "endpoint", "health") // 3.4 says so on standard error
	if !regexp.MustCompile(url+` is healthy: successfully committed proposal: took = `).MatchString(stderr) || err != nil {
		t.Errorf("endpoint health: %v %s", err, stderr)
	}
	c.match(url+`, `+id+`, 3\.7\.1, [0-9.]+ [kM]?B, true, false, \d+, \d+, \d+, \n`, "endpoint", "status")
	c.match(url+`, \d+\n`, "endpoint", "hashkv")
	c.refused("etcdserver: bad leader transferee", "move-leader", "1234")
	c.refused("etcdserver: re-configuration failed due to not enough started members", "member", "remove", id)
}

func debianMaintenance(t *testing.T, c debianCtl) {
	file := filepath.Join(t.TempDir(), "etcd.snap")
	c.run("snapshot", "save", file)
	var s struct{ Hash, Revision, TotalKey, TotalSize int64 }
	if err := json.Unmarshal([]byte(c.run("snapshot", "status", file, "-w", "json")), &s); err != nil {
		t.Fatal(err)
	}
	if s.Hash == 0 || s.Revision < 20 || s.TotalKey < 20 || s.TotalSize == 0 {
		t.Errorf("snapshot status: %+v", s)
	}
	c.expect(fmt.Sprintf("compacted revision %d\n", s.Revision), "compaction", "--physical", fmt.Sprint(s.Revision))
	c.refused("etcdserver: mvcc: required revision has been compacted", "get", "foo", "--rev", fmt.Sprint(s.Revision-1))
	c.refused("etcdserver: mvcc: required revision has been compacted", "watch", "foo", "--rev", "1")
	c.expect("Finished defragmenting etcd member["+c.m.clientURL()+"]\n", "defrag")
	c.expect("foo\nlast\n", "get", "foo")
	c.expect("", "alarm", "list")
	c.expect("", "alarm", "disarm")
}
