package app

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"keelson/internal/alarm"
	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/config"
	"keelson/internal/mvcc"
	"keelson/internal/obs"
	"keelson/internal/state"
	"keelson/internal/vfs"
	"keelson/internal/wire"
)

const dataDir = "d.etcd"

// smallSizes let a few hundred writes cross every border.
var smallSizes = Sizes{WALSegmentBytes: 16 << 10, RevlogSegmentBytes: 8 << 10, RevlogTailBytes: 1 << 10, CheckpointBytes: 12 << 10}

// patience bounds the waits that a working member ends at once.
const patience = 20 * time.Second

// openMember starts a member and does not wait for it.
func openMember(fs vfs.FS, sizes Sizes, adjust func(*config.Config)) (*Member, error) {
	cfg := config.Default()
	cfg.DataDir = dataDir
	cfg.Raft.SnapshotCatchUpEntries = 10
	if adjust != nil {
		adjust(&cfg)
	}
	return StartMember(context.Background(), &cfg, Outside{
		FS: fs, Clock: clock.Real{}, Logger: zap.NewNop(), Sizes: sizes,
		Metrics: obs.NewMetrics(prometheus.NewRegistry(), obs.MetricsOptions{}),
		Rand:    rand.New(rand.NewPCG(1, 2)),
	})
}

// awaitReady waits until the member serves.
func awaitReady(m *Member) error {
	select {
	case <-m.Server.Ready():
		return nil
	case err := <-m.Server.Failure():
		return err
	case <-time.After(patience):
		return fmt.Errorf("the member is not ready after %v", patience)
	}
}

func startMember(t testing.TB, fs vfs.FS) *Member {
	return startSized(t, fs, Sizes{}, nil)
}

func startSized(t testing.TB, fs vfs.FS, sizes Sizes, adjust func(*config.Config)) *Member {
	t.Helper()
	m, err := openMember(fs, sizes, adjust)
	if err != nil {
		t.Fatal(err)
	}
	if err := awaitReady(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func stopMember(t testing.TB, m *Member) {
	t.Helper()
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
}

// request is a request as a client sends it: its kind and its bytes.
type request struct {
	kind wire.Kind
	msg  proto.Message
}

func (r request) body(t testing.TB) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.msg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r request) String() string { return fmt.Sprintf("%T{%v}", r.msg, r.msg) }

// send has the member carry a request out the way its services would.
func (r request) send(ctx context.Context, t testing.TB, m *Member) (answer []byte, err error) {
	var f *wire.Frame
	s, body := m.Server, r.body(t)
	switch r.kind {
	case wire.KindPut:
		var q wire.PutRequest
		must(t, q.UnmarshalWire(body))
		if err := s.CheckQuota(ctx, state.PutCost(&q)); err != nil {
			return nil, err
		}
		f, err = s.Put(ctx, &q)
	case wire.KindDeleteRange:
		var q wire.DeleteRangeRequest
		must(t, q.UnmarshalWire(body))
		f, err = s.DeleteRange(ctx, &q)
	case wire.KindTxn:
		var q wire.TxnRequest
		must(t, q.UnmarshalWire(body))
		if err := s.CheckQuota(ctx, state.TxnCost(&q)); err != nil {
			return nil, err
		}
		f, err = s.Txn(ctx, &q)
	case wire.KindCompaction:
		var q wire.CompactionRequest
		must(t, q.UnmarshalWire(body))
		f, err = s.Compact(ctx, &q)
	case wire.KindRange:
		var q wire.RangeRequest
		must(t, q.UnmarshalWire(body))
		f, err = s.Range(ctx, &q)
	case wire.KindLeaseGrant:
		var q wire.LeaseGrantRequest
		must(t, q.UnmarshalWire(body))
		_, err = s.LeaseGrant(ctx, &q)
	case wire.KindLeaseRevoke:
		var q wire.LeaseRevokeRequest
		must(t, q.UnmarshalWire(body))
		_, err = s.LeaseRevoke(ctx, &q)
	case wire.KindAlarm:
		_, err = s.Alarm(ctx, r.msg.(*pb.AlarmRequest))
	default:
		t.Fatalf("no client sends kind %d", r.kind)
	}
	if f != nil && err == nil {
		answer = bytes.Clone(f.Bytes())
		f.Free()
	}
	return answer, err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, m *Member, key, value string) int64 {
	t.Helper()
	b, err := request{wire.KindPut, &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}.send(t.Context(), t, m)
	must(t, err)
	var res pb.PutResponse
	must(t, proto.Unmarshal(b, &res))
	return res.Header.Revision
}

func get(t testing.TB, m *Member, key string) *pb.RangeResponse {
	t.Helper()
	b, err := request{wire.KindRange, &pb.RangeRequest{Key: []byte(key)}}.send(t.Context(), t, m)
	must(t, err)
	var res pb.RangeResponse
	must(t, proto.Unmarshal(b, &res))
	return &res
}

// everything is all that clients can see of a state, as text: two states are
// equal when their texts are.
func everything(t testing.TB, m *state.Machine) string {
	t.Helper()
	var b bytes.Buffer
	v := m.KV.View()
	defer v.Release()
	fmt.Fprintf(&b, "revision %d compacted %d\n", v.Revision(), v.CompactRevision())
	all := base.KeyRange{Key: []byte{0}, End: []byte{0}}
	res, err := v.Range(t.Context(), mvcc.RangeOptions{KeyRange: all})
	must(t, err)
	for _, kv := range res.KVs {
		fmt.Fprintf(&b, "%x\n", kv)
	}
	h, _, err := m.KV.HashKV(t.Context(), 0)
	must(t, err)
	fmt.Fprintf(&b, "hash %+v\n", h)
	for _, l := range m.Leases.All() {
		keys, _ := m.Leases.Keys(l.ID)
		fmt.Fprintf(&b, "lease %d ttl %d keys %q\n", l.ID, l.TTL, keys)
	}
	fmt.Fprintf(&b, "alarms %v\n", m.Alarms.List(alarm.None))
	return b.String()
}
