package dbfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"keelson/internal/base"
)

// records makes n records of size bytes, every fifth a tombstone.
func records(n, size int) func(func(base.Revision, bool, []byte) bool) error {
	return func(yield func(base.Revision, bool, []byte) bool) error {
		payload := make([]byte, size) // used again, as the contract allows
		for i := range n {
			copy(payload, fmt.Sprintf("payload %d", i))
			if !yield(base.Revision{Main: int64(2 + i/3), Sub: int64(i % 3)}, i%5 == 4, payload) {
				return nil
			}
		}
		return nil
	}
}

func sample() *Content {
	return &Content{
		Applied: 77, AppliedTerm: 3, ConfState: []byte(`{"voters":[1]}`), CompactRev: 9,
		StorageVersion: "3.7.0", ClusterVersion: "3.7.0", Downgrade: []byte(`{"enabled":true}`),
		Members: []Member{{ID: 0x1234, JSON: []byte(`{"id":4660}`)}}, Removed: []base.MemberID{5},
		Leases: []Lease{{ID: 7, TTL: 60, Remaining: 30}, {ID: -1, TTL: 5}}, Alarms: []Alarm{{Member: 8, Kind: 1}},
		Records: records(100, 50),
	}
}

// TestWrite: every bucket and key as etcd has them.
func TestWrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), "db")
	if err := Write(t.Context(), name, sample()); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	compact := []byte{0, 0, 0, 0, 0, 0, 0, 9, '_', 0, 0, 0, 0, 0, 0, 0, 0}
	want := map[string]map[string]string{
		"meta": {"consistent_index": "\x00\x00\x00\x00\x00\x00\x00\x4d", "term": "\x00\x00\x00\x00\x00\x00\x00\x03",
			"confState": `{"voters":[1]}`, "storageVersion": "3.7.0",
			"scheduledCompactRev": string(compact), "finishedCompactRev": string(compact)},
		"cluster":         {"clusterVersion": "3.7.0", "downgrade": `{"enabled":true}`},
		"members":         {"1234": `{"id":4660}`},
		"members_removed": {"5": "removed"},
		"lease": {"\x00\x00\x00\x00\x00\x00\x00\x07": "\x08\x07\x10\x3c\x18\x1e",
			"\xff\xff\xff\xff\xff\xff\xff\xff": "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x05"},
		"alarm": {"\x08\x08\x10\x01": ""},
		"auth":  {}, "authRoles": {}, "authUsers": {},
	}
	err = db.View(func(tx *bolt.Tx) error {
		for bucket, pairs := range want {
			b := tx.Bucket([]byte(bucket))
			if b == nil {
				t.Errorf("bucket %s is missing", bucket)
				continue
			}
			if n := b.Stats().KeyN; n != len(pairs) {
				t.Errorf("bucket %s holds %d keys, want %d", bucket, n, len(pairs))
			}
			for k, v := range pairs {
				if got := b.Get([]byte(k)); got == nil || string(got) != v {
					t.Errorf("%s %q = %q, want %q", bucket, k, got, v)
				}
			}
		}
		i := 0
		return tx.Bucket([]byte("key")).ForEach(func(k, v []byte) error {
			key := base.AppendRevision(nil, base.Revision{Main: int64(2 + i/3), Sub: int64(i % 3)}, i%5 == 4)
			if !bytes.Equal(k, key) || !bytes.HasPrefix(v, fmt.Appendf(nil, "payload %d", i)) {
				return fmt.Errorf("record %d: %x = %q", i, k, v)
			}
			i++
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNeverCompacted: no compaction keys, no cluster version before it is
// decided.
func TestNeverCompacted(t *testing.T) {
	name := filepath.Join(t.TempDir(), "db")
	c := sample()
	c.CompactRev, c.ClusterVersion, c.Downgrade = -1, "", nil
	if err := Write(t.Context(), name, c); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_ = db.View(func(tx *bolt.Tx) error {
		for bucket, key := range map[string]string{"meta": "scheduledCompactRev", "cluster": "clusterVersion"} {
			if tx.Bucket([]byte(bucket)).Get([]byte(key)) != nil {
				t.Errorf("%s has %s", bucket, key)
			}
		}
		return nil
	})
}

// TestLarge crosses the border of a transaction several times.
func TestLarge(t *testing.T) {
	name := filepath.Join(t.TempDir(), "db")
	c := sample()
	c.Records = records(60, 512<<10)
	if err := Write(t.Context(), name, c); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_ = db.View(func(tx *bolt.Tx) error {
		if n := tx.Bucket([]byte("key")).Stats().KeyN; n != 60 {
			t.Errorf("%d records", n)
		}
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	})
}

// TestWriteFails: a cancelled context, a failing source and an existing file
// are errors.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	c := sample()
	c.Records = records(60, 512<<10)
	if err := Write(gone, filepath.Join(dir, "cancelled"), c); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	broken := errors.New("broken record")
	c.Records = func(yield func(base.Revision, bool, []byte) bool) error {
		yield(base.Revision{Main: 2}, false, []byte("x"))
		return broken
	}
	if err := Write(t.Context(), filepath.Join(dir, "broken"), c); !errors.Is(err, broken) {
		t.Errorf("broken source: %v", err)
	}
	if err := Write(t.Context(), filepath.Join(dir, "none", "db"), sample()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	twice := filepath.Join(dir, "twice")
	if err := Write(t.Context(), twice, sample()); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), twice, sample()); err == nil {
		t.Error("a file that was there was written into")
	}
}

func TestConfState(t *testing.T) {
	for want, in := range map[string][2][]uint64{
		`{"voters":[1,2],"auto_leave":false}`:              {{1, 2}, nil},
		`{"voters":[1],"learners":[9],"auto_leave":false}`: {{1}, {9}},
	} {
		if got, err := ConfState(in[0], in[1]); err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}
