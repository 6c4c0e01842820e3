package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Sizes of the disk-full test. A fresh member preallocates two files of 64 MB
// for its raft log and two of 64 MiB for its values. With the ballast there is
// no room for a third of either, without it for one of each.
const (
	diskBytes    = 400 << 20
	ballastBytes = 100 << 20
)

// TestDiskFull fills a real file system. The same on a simulated disk, at every
// single write, is the business of the packages that write.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if os.Geteuid() != 0 {
		t.Log("NOT RUN: mounting a small tmpfs takes root; the tests of wal, revlog, snap and app fill simulated disks")
		return
	}
	if err := syscall.Mount("keelson-test", disk, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
		t.Logf("NOT RUN: mount of a tmpfs: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(disk, "ballast")
	writeBallast(t, ballast)
	// Behind the unmount, so that the member is dead before.
	m := startMemberIn(t, filepath.Join(disk, "data"))
	ctx, cli := testContext(t), m.client()

	written := fillDisk(t, cli, 0)
	if written < 30 {
		t.Errorf("full after %d values of 1 MB, although there are 60 MB of room", written)
	}
	// What is kept for convenience alone goes when the disk is full, so a little
	// room may have come back: it is filled until writes are refused again.
	checkFull := func(when string) {
		t.Helper()
		written = fillDisk(t, cli, written)
		checkValues(t, cli, 1, written, when)
	}
	checkFull("full")

	// Deletes go on, and so does compaction.
	if d := must(cli.Delete(ctx, valueKey(0)))(t); d.Deleted != 1 {
		t.Errorf("delete on a full disk: %v", d)
	}
	for i := range 200 {
		must(cli.Delete(ctx, fmt.Sprintf("not there %d", i)))(t)
	}
	rev := must(cli.Get(ctx, "none"))(t).Header.Revision
	must(cli.Compact(ctx, rev, clientv3.WithCompactPhysical()))(t)
	if code, body := m.get("/readyz"); code != 200 {
		t.Errorf("/readyz on a full disk: %d %s", code, body)
	}
	checkFull("compacted")

	// A crash and an orderly restart on the full disk lose nothing.
	m.kill()
	m.start()
	checkFull("killed")
	m.restart()
	checkFull("restarted")

	// As soon as there is room, writes come back by themselves.
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "writes come back", func() bool {
		_, err := cli.Put(ctx, "small", "room")
		if err != nil && !errors.Is(err, rpctypes.ErrNoSpace) {
			t.Fatal(err)
		}
		return err == nil
	})
	more := fillDisk(t, cli, written)
	if more == written {
		t.Error("no big value fits into the new room")
	}
	checkValues(t, cli, 1, more, "full again")
	m.kill()
	m.start()
	checkValues(t, cli, 1, more, "full again, killed")
	if r := must(cli.Get(ctx, "small"))(t); string(r.Kvs[0].Value) != "room" {
		t.Errorf("small value: %v", r.Kvs)
	}
}

func writeBallast(t *testing.T, name string) {
	t.Helper()
	f := must(os.Create(name))(t)
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, ballastBytes); err != nil {
		t.Fatal(err)
	}
}

func valueKey(i int) string { return fmt.Sprintf("value/%04d", i) }

func bigValue(i int) string { return strings.Repeat(fmt.Sprintf("%08d", i), 125_000) }

// fillDisk writes values of 1 MB from number from on until the member refuses
// one, and returns the number of the refused one.
func fillDisk(t *testing.T, cli *clientv3.Client, from int) int {
	t.Helper()
	ctx := testContext(t)
	for i := from; i < from+1000; i++ {
		if _, err := cli.Put(ctx, valueKey(i), bigValue(i)); err != nil {
			if !errors.Is(err, rpctypes.ErrNoSpace) {
				t.Fatalf("put of value %d: %v, want %v", i, err, rpctypes.ErrNoSpace)
			}
			return i
		}
	}
	t.Fatal("the disk never fills up")
	return 0
}

// checkValues reads the values of [from, to) back.
func checkValues(t *testing.T, cli *clientv3.Client, from, to int, when string) {
	t.Helper()
	ctx := testContext(t)
	for i := from; i < to; i++ {
		r, err := cli.Get(ctx, valueKey(i))
		if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != bigValue(i) {
			t.Fatalf("%s: value %d is missing or has wrong bytes; error %v", when, i, err)
		}
	}
	r, err := cli.Get(ctx, "value/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if r.Count > int64(to) || r.Count < int64(to-from) {
		t.Fatalf("%s: %d values, want %d", when, r.Count, to-from)
	}
}
