package compat

import (
	"path/filepath"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestKnownDifferences holds Keelson to its side of rows of docs/compat.md
// that the random comparison steps around.
func TestKnownDifferences(t *testing.T) {
	if keelsonKind() != "keelson" {
		return // comparing etcd with itself
	}
	member := startKeelson(t, serverOptions{dir: filepath.Join(t.TempDir(), "m"), noSync: true})
	client := newClient(t, member.clientURL)
	ctx := testContext(t)
	conn := client.ActiveConnection()

	t.Run("H2", func(t *testing.T) {
		first, err := client.Put(ctx, "k", "v")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Compact(ctx, 0, clientv3.WithCompactPhysical()); err != nil {
			t.Fatal(err)
		}
		hash, err := pb.NewMaintenanceClient(conn).HashKV(ctx, &pb.HashKVRequest{})
		if err != nil || hash.HashRevision != first.Header.Revision {
			t.Errorf("%v, %v; want the hash of revision %d", hash, err, first.Header.Revision)
		}
	})
	t.Run("T1", func(t *testing.T) {
		poison := clientv3.OpPut("k", "", clientv3.WithIgnoreValue(), clientv3.WithIgnoreLease())
		if _, err := client.Txn(ctx).Then(clientv3.OpDelete("a", clientv3.WithFromKey()), poison).Commit(); err != nil {
			t.Fatal(err)
		}
		answer, err := client.Get(ctx, "k")
		if err != nil || len(answer.Kvs) != 1 || len(answer.Kvs[0].Value) != 0 || answer.Kvs[0].Version != 1 {
			t.Errorf("%v, %v; want a new key without a value", answer, err)
		}
	})
	for row, ask := range map[string]func() error{
		"M1 add": func() error {
			_, err := pb.NewClusterClient(conn).MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:1"}})
			return err
		},
		"M2": func() error {
			_, err := pb.NewMaintenanceClient(conn).Downgrade(ctx, &pb.DowngradeRequest{Version: "3.6"})
			return err
		},
		"A1": func() error {
			_, err := pb.NewAuthClient(conn).UserAdd(ctx, &pb.AuthUserAddRequest{Name: "user", Password: "secret"})
			return err
		},
	} {
		t.Run(row, func(t *testing.T) {
			if err := ask(); status.Code(err) != codes.Unimplemented {
				t.Errorf("%v, want Unimplemented", err)
			}
		})
	}
}

// TestPoison shows etcd's side of row T1: the request ends the member, and so
// does every start from then on, for the entry is in the log.
func TestPoison(t *testing.T) {
	opts := serverOptions{dir: filepath.Join(t.TempDir(), "etcd")}
	member := startEtcd(t, opts)
	client := newClient(t, member.clientURL)
	ctx := testContext(t)
	if _, err := client.Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	poison := &pb.TxnRequest{Success: []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte{0}}}},
		{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k"), IgnoreValue: true}}},
	}}
	if _, err := pb.NewKVClient(client.ActiveConnection()).Txn(ctx, poison); err == nil {
		t.Fatal("etcd answers; row T1 of docs/compat.md is out of date")
	}
	<-member.done
	opts.clientURL, opts.peerURL = member.clientURL, member.peerURL
	if again, err := launch(t, "etcd", opts); err == nil && again.lastWords() == "" {
		t.Error("etcd starts again; row T1 of docs/compat.md is out of date")
	}
}
