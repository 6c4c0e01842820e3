package state

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"keelson/internal/alarm"
	"keelson/internal/lease"
	"keelson/internal/member"
	"keelson/internal/mvcc"
	"keelson/internal/revlog"
	"keelson/internal/vfs"
	"keelson/internal/wire"
)

// feed is a machine on a disk in memory that is given entries.
type feed struct {
	*Machine
	t     testing.TB
	index uint64
}

func newFeed(t testing.TB) *feed {
	t.Helper()
	fs := vfs.NewMem()
	must(t, fs.MkdirAll("r"))
	log, err := revlog.Create(revlog.Options{FS: fs, Dir: "r", NoSync: true, Inline: true, SegmentBytes: 64 << 10, TailBytes: 4 << 10})
	must(t, err)
	kv, err := mvcc.Open(mvcc.Config{Log: log, Logger: zap.NewNop()}, mvcc.EmptyPosition())
	must(t, err)
	t.Cleanup(func() {
		kv.Close()
		must(t, log.Close())
	})
	return &feed{t: t, Machine: &Machine{
		KV: kv, Leases: lease.NewStore(2), Members: member.NewStore(1), Alarms: alarm.NewStore(),
	}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// entry applies an entry as a member that waits for its answer would.
func (f *feed) entry(typ raftpb.EntryType, data []byte) (Result, error) {
	f.index++
	e := &raftpb.Entry{Index: proto.Uint64(f.index), Term: proto.Uint64(1), Data: data}
	if typ != raftpb.EntryNormal {
		e.Type = typ.Enum()
	}
	return f.Apply(e, func(uint64) bool { return true })
}

// request applies a request.
func (f *feed) request(kind wire.Kind, m proto.Message) (Result, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	must(f.t, err)
	return f.entry(raftpb.EntryNormal, wire.AppendRaftRequest(nil, wire.RequestHeader{ID: f.index + 1}, kind, body))
}
