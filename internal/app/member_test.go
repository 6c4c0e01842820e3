package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"

	"github.com/prometheus/client_golang/prometheus"

	"keelson/internal/clock"
	"keelson/internal/config"
	"keelson/internal/obs"
	"keelson/internal/vfs"
	"keelson/internal/wire"
)

func startMember(t *testing.T, fs vfs.FS, dir string) *Member {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir = dir
	m, err := StartMember(t.Context(), &cfg, Outside{
		FS: fs, Clock: clock.Real{}, Logger: zaptest.NewLogger(t),
		Metrics: obs.NewMetrics(prometheus.NewRegistry(), obs.MetricsOptions{}),
		Rand:    rand.New(rand.NewPCG(1, 2)),
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.Server.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("the member is not ready after 20 s")
	}
	return m
}

func put(t *testing.T, m *Member, key, value string) int64 {
	t.Helper()
	raw, err := proto.Marshal(&pb.PutRequest{Key: []byte(key), Value: []byte(value)})
	if err != nil {
		t.Fatal(err)
	}
	var r wire.PutRequest
	if err := r.UnmarshalWire(raw); err != nil {
		t.Fatal(err)
	}
	f, err := m.Server.Put(context.Background(), &r)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Free()
	var res pb.PutResponse
	if err := proto.Unmarshal(f.Bytes(), &res); err != nil {
		t.Fatal(err)
	}
	return res.Header.Revision
}

func get(t *testing.T, m *Member, key string) *pb.RangeResponse {
	t.Helper()
	f, err := m.Server.Range(context.Background(), &wire.RangeRequest{Key: []byte(key)})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Free()
	var res pb.RangeResponse
	if err := proto.Unmarshal(f.Bytes(), &res); err != nil {
		t.Fatal(err)
	}
	return &res
}

// TestRestart: what was acknowledged is there after an orderly stop and after
// a stop without one, at the same revisions; IDs are those of a member started
// without flags.
func TestRestart(t *testing.T) {
	fs := vfs.NewMem()
	m := startMember(t, fs, "d.etcd")
	if m.ID().String() != "8e9e05c52164694d" {
		t.Fatalf("member ID %s", m.ID())
	}
	for i := range 100 {
		if rev := put(t, m, fmt.Sprintf("k%02d", i%10), fmt.Sprint(i)); rev != int64(i+2) {
			t.Fatalf("put %d got revision %d", i, rev)
		}
	}
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}

	m = startMember(t, fs, "d.etcd")
	if got := get(t, m, "k07"); len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "97" || got.Header.Revision != 101 {
		t.Fatalf("after an orderly stop: %v", got)
	}
	put(t, m, "k07", "after")
	crashed := fs.CrashClone(vfs.CrashLose, 1)
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}

	m = startMember(t, crashed, "d.etcd")
	if got := get(t, m, "k07"); len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "after" || got.Header.Revision != 102 {
		t.Fatalf("after a power cut: %v", got)
	}
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
}
