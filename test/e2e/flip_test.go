package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestFlippedBits damages one byte of each kind of file of a stopped member. A
// start may succeed when the damage can be repaired or the byte means nothing,
// and then everything is as it was; or the start, or the read, fails and names
// the file. Wrong data is never served.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	st := newStopped(t, 80, 1_000_000)
	newest := func(names []string) string { return names[len(names)-1] }
	oldest := func(names []string) string { return names[0] }
	for _, c := range []struct {
		name    string
		pattern string
		pick    func(names []string) string // nil: all of them
		where   float64                     // share of the bytes in use
		want    string
	}{
		{"raft log, head", "wal/*.wal", newest, 0, "refused"},
		{"raft log, middle", "wal/*.wal", newest, 0.5, "refused"},
		{"sealed segment", "revlog/*.seg", oldest, 0.5, "stopped at the read"},
		{"sealed segment, head", "revlog/*.seg", oldest, 0, "refused"},
		{"sidecar", "revlog/*.idx", oldest, 0.5, "served"},
		{"active segment", "revlog/*.seg", active, 0.02, "refused"},
		{"newest checkpoint", "snap/*.ckpt", newest, 0.5, "served"},
		{"all checkpoints", "snap/*.ckpt", nil, 0.5, "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := st.copy(t)
			names := must(filepath.Glob(filepath.Join(dir, "member", c.pattern)))(t)
			if len(names) == 0 {
				t.Fatalf("no file matches %s", c.pattern)
			}
			if c.pick != nil {
				names = []string{c.pick(names)}
			}
			for _, name := range names {
				flip(t, rng, name, int64(c.where*float64(used(t, name))))
			}
			if got := st.check(t, dir, names); got != c.want {
				t.Errorf("with a flipped bit in %s: %s, want %s", names, got, c.want)
			}
		})
	}
}

// TestFlippedBitsAnywhere takes files and places at random, and the last bytes
// of the raft log, where damage looks most like a write that a crash broke off.
func TestFlippedBitsAnywhere(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	st := newStopped(t, 60, 50)
	for i := range 24 {
		dir := st.copy(t)
		names := dataFiles(t, dir)
		name := names[rng.IntN(len(names))]
		end := used(t, name)
		at := rng.Int64N(end)
		if i%3 == 0 {
			name = must(filepath.Glob(filepath.Join(dir, "member/wal/*.wal")))(t)[0]
			end = used(t, name)
			at = end - 1 - rng.Int64N(200)
		}
		flip(t, rng, name, at)
		got := st.check(t, dir, []string{name})
		if t.Failed() {
			t.Fatalf("byte %d of the %d in use in %s: %s", at, end, name, got)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// active picks the segment that was written to last: the one before the spare.
func active(names []string) string { return names[len(names)-2] }

// stopped is the data of a member that was killed, and what was in it.
type stopped struct {
	dir      string
	keys     []string // also those that were deleted
	state    map[string]event
	history  map[int64][]event
	revision int64
}

// newStopped fills a member with so many values of a size, over two keys each,
// with checkpoints on the way, and kills it.
func newStopped(t *testing.T, values, size int) *stopped {
	t.Helper()
	m := startMember(t, "--snapshot-count=25", "--snapshot-catchup-entries=5")
	st := &stopped{dir: m.dir, state: map[string]event{}, history: map[int64][]event{}}
	ctx, cli := testContext(t), m.dial()
	defer cli.Close()
	for i := range values {
		key := fmt.Sprintf("key/%03d", i/2)
		st.keys = append(st.keys, key)
		must(cli.Put(ctx, key, strings.Repeat(fmt.Sprintf("%010d", i), size/10)))(t)
		if i%9 == 8 {
			must(cli.Delete(ctx, key))(t)
		}
	}
	st.keys = slices.Compact(st.keys)
	st.revision = must(cli.Get(ctx, "none"))(t).Header.Revision
	for _, k := range st.keys {
		e, err := readKey(ctx, cli, k)
		if err != nil {
			t.Fatal(err)
		}
		st.state[k] = e
	}
	if err := st.readAll(ctx, cli, func(rev int64, e event) { st.history[rev] = append(st.history[rev], e) }); err != nil {
		t.Fatal(err)
	}
	m.kill()
	return st
}

// readKey reads one key; its value is replaced by a digest.
func readKey(ctx context.Context, cli *clientv3.Client, key string) (event, error) {
	r, err := cli.Get(ctx, key)
	if err != nil || len(r.Kvs) == 0 {
		return event{}, err
	}
	kv := r.Kvs[0]
	return event{key: string(kv.Key), value: digest(kv.Value), create: kv.CreateRevision, version: kv.Version}, nil
}

func digest(b []byte) string { return fmt.Sprintf("%d bytes %x", len(b), sha256.Sum256(b)) }

// readAll watches from the first revision to the last.
func (st *stopped) readAll(ctx context.Context, cli *clientv3.Client, yield func(rev int64, e event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for r := range cli.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(1)) {
		if err := r.Err(); err != nil {
			return err
		}
		for _, raw := range r.Events {
			e := newEvent(raw)
			e.value = digest(raw.Kv.Value)
			yield(raw.Kv.ModRevision, e)
			if raw.Kv.ModRevision == st.revision {
				return nil
			}
		}
	}
	return errors.New("the watch ended")
}

// check starts a member on damaged data and tells how it went: "refused",
// "stopped at the read" or "served". Wrong data and errors that do not name one of the
// damaged files fail the test.
func (st *stopped) check(t *testing.T, dir string, damaged []string) string {
	t.Helper()
	m := newMember(t, dir)
	m.launch()
	if !m.awaitReady() {
		<-m.exited
		if code := m.cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("the refused start ended with %v, want exit code 1\n%s", m.cmd.ProcessState, m.log.tail(20))
		}
		st.wantNamed(t, m.log.all(), damaged)
		return "refused"
	}
	defer m.kill()
	cli := m.dial()
	defer cli.Close()
	return st.compare(t, m, cli, damaged)
}

func (st *stopped) compare(t *testing.T, m *member, cli *clientv3.Client, damaged []string) string {
	t.Helper()
	ctx := testContext(t)
	r, err := cli.Get(ctx, "none")
	if err != nil || r.Header.Revision != st.revision {
		t.Errorf("the member is at revision %v, want %d; error %v", r, st.revision, err)
		return "wrong"
	}
	for _, k := range st.keys {
		e, err := readKey(ctx, cli, k)
		if err != nil {
			st.wantNamed(t, err.Error(), damaged)
			return st.wantStop(t, m, damaged)
		}
		if e != st.state[k] {
			t.Errorf("%s is %v, want %v", k, e, st.state[k])
		}
	}
	// A watch brings the history or an error; it may have brought part of a
	// revision by then.
	got := map[int64][]event{}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-m.exited:
			cancel()
		case <-watching.Done():
		}
	}()
	err = st.readAll(watching, cli, func(rev int64, e event) { got[rev] = append(got[rev], e) })
	for rev, want := range st.history {
		if events := got[rev]; !slices.Equal(events, want) && (err == nil || len(events) >= len(want)) {
			t.Errorf("revision %d is %v, want %v", rev, events, want)
		}
	}
	if err != nil {
		return st.wantStop(t, m, damaged)
	}
	return "served"
}

// wantStop: a member that found damage while it served stops, and says why.
func (st *stopped) wantStop(t *testing.T, m *member, damaged []string) string {
	t.Helper()
	m.awaitExit()
	if code := m.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("the member ended with %v, want exit code 1", m.cmd.ProcessState)
	}
	st.wantNamed(t, m.log.all(), damaged)
	return "stopped at the read"
}

func (st *stopped) wantNamed(t *testing.T, said string, damaged []string) {
	t.Helper()
	for _, name := range damaged {
		if strings.Contains(said, filepath.Base(name)) {
			return
		}
	}
	t.Errorf("nothing names %s:\n%.3000s", damaged, said[max(0, len(said)-3000):])
}

// copy makes a copy of the data in which zeros take no room.
func (st *stopped) copy(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), fmt.Sprintf("copy-%d", rand.Uint32()))
	err := filepath.WalkDir(st.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(st.dir, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		return copySparse(filepath.Join(to, rel), name)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func copySparse(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	block, zeros := make([]byte, 1<<16), make([]byte, 1<<16)
	for off := int64(0); ; {
		n, err := in.Read(block)
		if errors.Is(err, io.EOF) {
			return out.Truncate(off)
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(block[:n], zeros[:n]) {
			if _, err := out.WriteAt(block[:n], off); err != nil {
				return err
			}
		}
		off += int64(n)
	}
}

// dataFiles are the files with anything in them.
func dataFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && used(t, name) > 0 {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// used is how many bytes of a file are in front of the zeros at its end.
func used(t *testing.T, name string) int64 {
	t.Helper()
	b := must(os.ReadFile(name))(t)
	return int64(len(bytes.TrimRight(b, "\x00")))
}

// flip changes one bit of one byte.
func flip(t *testing.T, rng *rand.Rand, name string, at int64) {
	t.Helper()
	f := must(os.OpenFile(name, os.O_RDWR, 0))(t)
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << rng.IntN(8)
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
