package app

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"keelson/internal/config"
	"keelson/internal/errs"
	"keelson/internal/vfs"
	"keelson/internal/wire"
)

var errBroken = errors.New("the drive is broken")

// TestRaftLogFails: a write or sync of the raft log that fails stops the
// member; nothing is acknowledged from then on, and what was before is there
// after a restart.
func TestRaftLogFails(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpSync, vfs.OpWrite} {
		t.Run(op.String(), func(t *testing.T) {
			disk := vfs.NewMem()
			faulty := vfs.NewFaulty(disk)
			m := startSized(t, faulty, Sizes{}, nil)
			for i := range 20 {
				put(t, m, fmt.Sprint("k", i), "v")
			}
			faulty.Inject(vfs.Rule{Op: op, Name: "*.wal", Err: errBroken})
			q := request{wire.KindPut, &pb.PutRequest{Key: []byte("lost"), Value: []byte("v")}}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			answers := make(chan error, 1)
			go func() {
				_, err := q.send(ctx, t, m)
				answers <- err
			}()
			select {
			case err := <-m.Server.Failure():
				if !errors.Is(err, errBroken) {
					t.Fatalf("reported %v", err)
				}
			case <-time.After(patience):
				t.Fatal("the failure is not reported")
			}
			_ = m.Stop() // says that the log is broken
			if err := <-answers; err == nil {
				t.Fatal("a put was acknowledged that is not on disk")
			}
			if _, err := q.send(ctx, t, m); err == nil {
				t.Fatal("a put was acknowledged after the failure")
			}

			m = startSized(t, disk.CrashClone(vfs.CrashLose, 0), Sizes{}, nil)
			for i := range 20 {
				if len(get(t, m, fmt.Sprint("k", i)).Kvs) != 1 {
					t.Fatalf("k%d is gone", i)
				}
			}
			if len(get(t, m, "lost").Kvs) != 0 {
				t.Fatal("what never got to the disk is there")
			}
			stopMember(t, m)
		})
	}
}

// TestNothingIsStoredAfterAFailure: the checkpoint of an orderly stop must not
// be taken when the machine stopped in the middle of an entry: it would name an
// applied index that does not fit the state.
func TestNothingIsStoredAfterAFailure(t *testing.T) {
	disk := vfs.NewMem()
	m := startMember(t, disk)
	put(t, m, "k", "v")
	m.Server.Failed(errBroken)
	<-m.Server.Failure() // taken by whoever stops the member
	before := checkpoints(t, disk)
	_ = m.Stop()
	if after := checkpoints(t, disk); !slices.Equal(before, after) {
		t.Fatalf("a checkpoint was taken after the failure: %v", after)
	}
}

func checkpoints(t testing.TB, fs vfs.FS) (names []string) {
	t.Helper()
	all, err := fs.List(path.Join(dataDir, "member/snap"))
	must(t, err)
	for _, n := range all {
		if strings.HasSuffix(n, ".ckpt") {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// TestBrokenCheckpoint: when the newest checkpoint is broken the one before and
// the raft log make the same state.
func TestBrokenCheckpoint(t *testing.T) {
	disk := vfs.NewMem()
	adjust := func(c *config.Config) { c.Raft.SnapshotCount = 20 }
	m := startSized(t, disk, smallSizes, adjust)
	for i := range 200 {
		put(t, m, fmt.Sprintf("k%02d", i%50), fmt.Sprint(i))
	}
	stopMember(t, m)
	names := checkpoints(t, disk)
	if len(names) < 2 {
		t.Fatalf("checkpoints %v, want two at least", names)
	}
	m = startSized(t, disk.CrashClone(vfs.CrashKeep, 0), smallSizes, adjust)
	want := everything(t, m.Server.Machine())
	stopMember(t, m)

	newest := path.Join(dataDir, "member/snap", names[len(names)-1])
	info, err := disk.Stat(newest)
	must(t, err)
	for off := int64(0); off < info.Size; off += 1 + info.Size/40 {
		broken := disk.CrashClone(vfs.CrashKeep, 0)
		must(t, broken.Corrupt(newest, off, 0x40))
		m := startSized(t, broken, smallSizes, adjust)
		if got := everything(t, m.Server.Machine()); got != want {
			t.Fatalf("byte %d flipped:\n%s", off, diff(got, want))
		}
		put(t, m, "goes on", "v")
		stopMember(t, m)
	}

	// Without any valid one there is nothing to start from, and it says so.
	for _, n := range names {
		must(t, disk.Corrupt(path.Join(dataDir, "member/snap", n), 9, 0xff))
	}
	if m, err := openMember(disk, smallSizes, adjust); err == nil {
		_ = m.Stop()
		t.Fatal("started without a valid checkpoint")
	} else if !strings.Contains(err.Error(), names[len(names)-1]) {
		t.Fatalf("the error names no file: %v", err)
	}
}

// TestRaftLogGone: a checkpoint without a raft log is refused.
func TestRaftLogGone(t *testing.T) {
	disk := vfs.NewMem()
	m := startMember(t, disk)
	put(t, m, "k", "v")
	stopMember(t, m)
	must(t, disk.RemoveAll(path.Join(dataDir, "member/wal")))
	if _, err := openMember(disk, Sizes{}, nil); err == nil || !strings.Contains(err.Error(), "no raft log") {
		t.Fatal(err)
	}
}

// TestSecondProcess: a data directory in use is refused, and is usable again
// afterwards.
func TestSecondProcess(t *testing.T) {
	disk := vfs.NewMem()
	m := startMember(t, disk)
	if _, err := openMember(disk, Sizes{}, nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatal(err)
	}
	put(t, m, "k", "v")
	stopMember(t, m)
	stopMember(t, startMember(t, disk))
}

// TestFullDisk: when the disk is full writes are refused with a clear error,
// reads, deletes, compaction and defragmenting go on, the member does not
// stop; writes come back by themselves when there is room, and nothing that
// was acknowledged is lost.
func TestFullDisk(t *testing.T) {
	sizes := Sizes{WALSegmentBytes: 32 << 10, RevlogSegmentBytes: 32 << 10, RevlogTailBytes: 1 << 10, CheckpointBytes: 8 << 10}
	disk := vfs.NewMem()
	m := startSized(t, disk, sizes, nil)
	disk.SetQuota(disk.UsedBytes() + 400<<10)
	q := func(i int) request {
		return request{wire.KindPut, &pb.PutRequest{Key: fmt.Appendf(nil, "k%04d", i), Value: make([]byte, 900)}}
	}
	stored := 0
	var err error
	for ; stored < 5000; stored++ {
		if _, err = q(stored).send(t.Context(), t, m); err != nil {
			break
		}
	}
	if !errors.Is(err, errs.ErrNoSpace) {
		t.Fatalf("after %d writes: %v", stored, err)
	}
	if stored < 50 {
		t.Fatalf("only %d writes fitted", stored)
	}
	if a := m.Server.Alarms(); len(a) != 0 {
		t.Fatalf("a full disk raised %v; it clears by itself", a)
	}
	for _, ok := range []request{
		{wire.KindRange, &pb.RangeRequest{Key: []byte("k0000")}},
		{wire.KindDeleteRange, &pb.DeleteRangeRequest{Key: []byte("k0000")}},
		{wire.KindDeleteRange, &pb.DeleteRangeRequest{Key: []byte("k0001"), RangeEnd: []byte("k0040")}},
		{wire.KindCompaction, &pb.CompactionRequest{Revision: int64(stored), Physical: true}},
	} {
		if _, err := ok.send(t.Context(), t, m); err != nil {
			t.Fatalf("%v on a full disk: %v", ok, err)
		}
	}
	if _, err := m.Server.Defragment(t.Context(), &pb.DefragmentRequest{}); err != nil && !errors.Is(err, errs.ErrNoSpace) {
		t.Fatalf("defragmenting a full disk: %v", err)
	}
	select {
	case err := <-m.Server.Failure():
		t.Fatalf("the member stopped: %v", err)
	default:
	}
	full := everything(t, m.Server.Machine())
	crashed := disk.CrashClone(vfs.CrashLose, 0)

	disk.SetQuota(0)
	deadline, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if _, err = q(9000).send(deadline, t, m); err == nil {
			break
		}
		if !errors.Is(err, errs.ErrNoSpace) || deadline.Err() != nil {
			t.Fatalf("with room again: %v", err)
		}
	}
	want := everything(t, m.Server.Machine())
	stopMember(t, m)
	m = startSized(t, disk, sizes, nil)
	if got := everything(t, m.Server.Machine()); got != want {
		t.Fatalf("after a restart:\n%s", diff(got, want))
	}
	stopMember(t, m)

	// A restart while the disk is still full keeps everything as well.
	m = startSized(t, crashed, sizes, nil)
	if got := everything(t, m.Server.Machine()); got != full {
		t.Fatalf("restarted on the full disk:\n%s", diff(got, full))
	}
	stopMember(t, m)
}

// TestLongFullDisk: a disk that stays full while deletes go on and on does not
// stop the member: what the raft log keeps for convenience is given up.
func TestLongFullDisk(t *testing.T) {
	sizes := Sizes{WALSegmentBytes: 32 << 10, RevlogSegmentBytes: 32 << 10, RevlogTailBytes: 1 << 10, CheckpointBytes: 8 << 10}
	disk := vfs.NewMem()
	m := startSized(t, disk, sizes, nil)
	disk.SetQuota(disk.UsedBytes() + 200<<10)
	var err error
	for i := 0; err == nil && i < 5000; i++ {
		put := request{wire.KindPut, &pb.PutRequest{Key: fmt.Appendf(nil, "k%04d", i), Value: make([]byte, 900)}}
		_, err = put.send(t.Context(), t, m)
	}
	if !errors.Is(err, errs.ErrNoSpace) {
		t.Fatal(err)
	}
	for i := range 20_000 {
		gone := request{wire.KindDeleteRange, &pb.DeleteRangeRequest{Key: fmt.Appendf(nil, "missing%d", i)}}
		if _, err := gone.send(t.Context(), t, m); err != nil {
			t.Fatalf("delete %d on a full disk: %v", i, err)
		}
	}
	stopMember(t, m)
}

// TestQuota: the space quota raises one alarm and refuses writes until it is
// disarmed, whatever is given back meanwhile; deletes go on.
func TestQuota(t *testing.T) {
	disk := vfs.NewMem()
	m := startSized(t, disk, smallSizes, func(c *config.Config) { c.Storage.QuotaBytes = 100 << 10 })
	q := request{wire.KindPut, &pb.PutRequest{Key: []byte("k"), Value: make([]byte, 1000)}}
	var err error
	for range 1000 {
		if _, err = q.send(t.Context(), t, m); err != nil {
			break
		}
	}
	if !errors.Is(err, errs.ErrNoSpace) {
		t.Fatal(err)
	}
	for range 3 {
		if _, err = q.send(t.Context(), t, m); !errors.Is(err, errs.ErrNoSpace) {
			t.Fatal(err)
		}
	}
	alarms := m.Server.Alarms()
	if len(alarms) != 1 || alarms[0].Member != m.ID() || alarms[0].Kind.String() != "NOSPACE" {
		t.Fatalf("alarms %v", alarms)
	}
	rev := m.Server.Header().Revision
	for _, ok := range []request{
		{wire.KindCompaction, &pb.CompactionRequest{Revision: rev, Physical: true}},
		{wire.KindDeleteRange, &pb.DeleteRangeRequest{Key: []byte("nothing")}},
		{wire.KindRange, &pb.RangeRequest{Key: []byte("k")}},
	} {
		if _, err := ok.send(t.Context(), t, m); err != nil {
			t.Fatalf("%v: %v", ok, err)
		}
	}
	if _, err := m.Server.Defragment(t.Context(), &pb.DefragmentRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err = q.send(t.Context(), t, m); !errors.Is(err, errs.ErrNoSpace) {
		t.Fatalf("before disarming: %v", err)
	}
	off := request{wire.KindAlarm, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: uint64(m.ID()), Alarm: pb.AlarmType_NOSPACE}}
	if _, err := off.send(t.Context(), t, m); err != nil {
		t.Fatal(err)
	}
	if _, err = q.send(t.Context(), t, m); err != nil {
		t.Fatalf("after disarming: %v", err)
	}
	stopMember(t, m)
}
