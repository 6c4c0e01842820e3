package compat

import (
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

// record is one entry of etcd's bucket "key".
type record struct {
	main, sub int64
	deleted   bool
	kv        *mvccpb.KeyValue
}

// k8sSource is the content of the snapshot.
type k8sSource struct {
	records []record // in revision order
	leases  []int64
}

func readSource(t *testing.T, path string) *k8sSource {
	t.Helper()
	db := openGzippedBolt(t, path)
	source := &k8sSource{}
	err := db.View(func(tx *bolt.Tx) error {
		err := tx.Bucket([]byte("key")).ForEach(func(k, v []byte) error {
			r := record{main: int64(binary.BigEndian.Uint64(k)), sub: int64(binary.BigEndian.Uint64(k[9:])),
				deleted: len(k) == 18, kv: &mvccpb.KeyValue{}}
			source.records = append(source.records, r)
			return proto.Unmarshal(v, r.kv)
		})
		if err != nil {
			return err
		}
		return tx.Bucket([]byte("lease")).ForEach(func(k, _ []byte) error {
			source.leases = append(source.leases, int64(binary.BigEndian.Uint64(k)))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func openGzippedBolt(t *testing.T, path string) *bolt.DB {
	t.Helper()
	packed, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "k8s.db")
	out, err := os.Create(plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, unpacked); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(plain, 0o400, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// scratch fills revisions and sub-revisions of which the source knows nothing
// any more. It is deleted before the source's compaction.
const scratch = "scratch/"

// plan says what each revision must do: first the records that survived, at
// their sub-revisions, then puts that only serve to give other records their
// creation revision and version.
//
//	revision   ... c ............. m-2  m-1   m
//	             create  (scratch)  v=2  v=3   the surviving record, version 4
func (s *k8sSource) plan(t *testing.T) [][]clientv3.Op {
	plan := make([][]clientv3.Op, k8sRevision+1)
	extra := make([][]clientv3.Op, k8sRevision+1)
	alive := map[string]bool{}
	for _, r := range s.records {
		key := string(r.kv.Key)
		for int64(len(plan[r.main])) < r.sub {
			plan[r.main] = append(plan[r.main], clientv3.OpPut(fmt.Sprintf("%s%d", scratch, len(plan[r.main])), ""))
		}
		if r.deleted {
			if !alive[key] {
				extra[r.main-1] = append(extra[r.main-1], clientv3.OpPut(key, "before its deletion"))
			}
			alive[key] = false
			plan[r.main] = append(plan[r.main], clientv3.OpDelete(key))
			continue
		}
		if !alive[key] && r.kv.Version > 1 {
			extra[r.kv.CreateRevision] = append(extra[r.kv.CreateRevision], clientv3.OpPut(key, "first"))
			for i := range r.kv.Version - 2 {
				at := r.main - 1 - i
				extra[at] = append(extra[at], clientv3.OpPut(key, "between"))
			}
		}
		alive[key] = true
		plan[r.main] = append(plan[r.main], clientv3.OpPut(key, string(r.kv.Value), clientv3.WithLease(clientv3.LeaseID(r.kv.Lease))))
	}
	for revision := int64(2); revision <= k8sRevision; revision++ {
		if len(extra[revision]) > 0 && revision > k8sCompacted {
			t.Fatalf("revision %d is complete in the source and cannot be added to", revision)
		}
		plan[revision] = append(plan[revision], extra[revision]...)
		if revision == k8sCompacted-1 {
			plan[revision] = append(plan[revision], clientv3.OpDelete(scratch, clientv3.WithPrefix()))
		} else if len(plan[revision]) == 0 {
			plan[revision] = append(plan[revision], clientv3.OpPut(scratch+"0", ""))
		}
	}
	return plan
}

// replay carries out the plan and compacts where the source was compacted.
func (s *k8sSource) replay(t *testing.T, client *clientv3.Client) {
	t.Helper()
	ctx := testContext(t)
	leases := map[int64]bool{}
	grant := func(id int64) {
		if id == 0 || leases[id] {
			return
		}
		leases[id] = true
		request := &pb.LeaseGrantRequest{ID: id, TTL: 36000}
		if _, err := pb.NewLeaseClient(client.ActiveConnection()).LeaseGrant(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range s.leases {
		grant(id)
	}
	for _, r := range s.records {
		grant(r.kv.Lease)
	}
	for revision, ops := range s.plan(t) {
		if len(ops) == 0 {
			continue
		}
		answer, err := client.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			t.Fatalf("revision %d: %v", revision, err)
		}
		if answer.Header.Revision != int64(revision) {
			t.Fatalf("revision %d was planned, %d was answered", revision, answer.Header.Revision)
		}
	}
	if _, err := client.Compact(ctx, k8sCompacted, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
}

// at computes from the source what is live at a revision, in key order.
func (s *k8sSource) at(revision int64) []*mvccpb.KeyValue {
	live := map[string]*mvccpb.KeyValue{}
	for _, r := range s.records {
		switch {
		case r.main > revision:
		case r.deleted:
			delete(live, string(r.kv.Key))
		default:
			live[string(r.kv.Key)] = r.kv
		}
	}
	out := make([]*mvccpb.KeyValue, 0, len(live))
	for _, kv := range live {
		out = append(out, kv)
	}
	slices.SortFunc(out, func(a, b *mvccpb.KeyValue) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return out
}
