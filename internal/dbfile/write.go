package dbfile

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
)

// Content is a consistent state, everything at one applied index.
type Content struct {
	Applied     base.Index
	AppliedTerm base.Term
	// ConfState is raft's configuration as JSON.
	ConfState []byte
	// CompactRev is the last compaction, negative when there was none. The
	// records must be what it retains.
	CompactRev     int64
	StorageVersion string
	ClusterVersion string // empty when not decided
	Downgrade      []byte // JSON; nil when there never was one

	Members []Member
	Removed []base.MemberID
	Leases  []Lease
	Alarms  []Alarm
	// Records calls yield for every record in revision order until it returns
	// false. The bytes may be reused afterwards.
	Records func(yield func(rev base.Revision, tombstone bool, payload []byte) bool) error
}

// Member is a member and its JSON form.
type Member struct {
	ID   base.MemberID
	JSON []byte
}

// Lease is a lease; TTL and Remaining are seconds.
type Lease struct {
	ID             base.LeaseID
	TTL, Remaining int64
}

// Alarm is a raised alarm; Kind is etcdserverpb's number.
type Alarm struct {
	Member base.MemberID
	Kind   int32
}

// buckets in the order of their names; a running etcd has all of them.
var bucketNames = [...]string{
	"alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta",
}

// commitBytes is how much goes into one bbolt transaction, which keeps its
// changes in memory.
const commitBytes = 8 << 20

// Write makes the file at path; one that exists is an error. It ends with ctx.
func Write(ctx context.Context, path string, c *Content) (err error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, NoGrowSync: true, NoFreelistSync: true})
	if err != nil {
		return fmt.Errorf("write snapshot file: %w", err)
	}
	defer func() {
		if cerr := db.Close(); err == nil {
			err = cerr
		}
	}()
	if err := db.Update(c.putSmall); err != nil {
		return fmt.Errorf("write snapshot file: %w", err)
	}
	if err := c.putRecords(ctx, db); err != nil {
		return fmt.Errorf("write snapshot file: %w", err)
	}
	return nil
}

// putSmall writes everything but the records.
func (c *Content) putSmall(tx *bolt.Tx) error {
	p := putter{tx: tx}
	for _, name := range bucketNames {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	p.put("meta", "consistent_index", binary.BigEndian.AppendUint64(nil, uint64(c.Applied)))
	p.put("meta", "term", binary.BigEndian.AppendUint64(nil, uint64(c.AppliedTerm)))
	p.put("meta", "confState", c.ConfState)
	p.put("meta", "storageVersion", []byte(c.StorageVersion))
	if c.CompactRev >= 0 {
		rev := base.AppendRevision(nil, base.Revision{Main: c.CompactRev}, false)
		p.put("meta", "scheduledCompactRev", rev)
		p.put("meta", "finishedCompactRev", rev)
	}
	if c.ClusterVersion != "" {
		p.put("cluster", "clusterVersion", []byte(c.ClusterVersion))
	}
	if c.Downgrade != nil {
		p.put("cluster", "downgrade", c.Downgrade)
	}
	for _, m := range c.Members {
		p.put("members", m.ID.String(), m.JSON)
	}
	for _, id := range c.Removed {
		p.put("members_removed", id.String(), []byte("removed"))
	}
	for _, l := range c.Leases {
		p.put("lease", string(binary.BigEndian.AppendUint64(nil, uint64(l.ID))), l.encode())
	}
	for _, a := range c.Alarms {
		key, err := proto.Marshal(&pb.AlarmMember{MemberID: uint64(a.Member), Alarm: pb.AlarmType(a.Kind)})
		if err != nil {
			return err
		}
		p.put("alarm", string(key), nil)
	}
	return p.err
}

// encode is leasepb.Lease.
func (l Lease) encode() (b []byte) {
	for i, v := range [...]int64{int64(l.ID), l.TTL, l.Remaining} {
		if v != 0 {
			b = protowire.AppendTag(b, protowire.Number(i+1), protowire.VarintType)
			b = protowire.AppendVarint(b, uint64(v))
		}
	}
	return b
}

// putter remembers the first error.
type putter struct {
	tx  *bolt.Tx
	err error
}

func (p *putter) put(bucket, key string, value []byte) {
	if p.err == nil {
		p.err = p.tx.Bucket([]byte(bucket)).Put([]byte(key), value)
	}
}

// putRecords writes the key bucket, a bounded transaction at a time. Records
// come in key order, so pages are filled nearly to the top.
func (c *Content) putRecords(ctx context.Context, db *bolt.DB) error {
	tx, keys, err := beginRecords(db)
	if err != nil {
		return err
	}
	size := 0
	scanErr := c.Records(func(rev base.Revision, tombstone bool, payload []byte) bool {
		key := base.AppendRevision(make([]byte, 0, base.TombstoneBytes), rev, tombstone)
		if err = keys.Put(key, append([]byte(nil), payload...)); err != nil {
			return false
		}
		if size += len(key) + len(payload); size < commitBytes {
			return true
		}
		if err = ctx.Err(); err != nil {
			return false
		}
		size = 0
		if err = tx.Commit(); err != nil {
			return false
		}
		tx, keys, err = beginRecords(db)
		return err == nil
	})
	if err == nil {
		err = scanErr
	}
	if err != nil {
		if tx != nil {
			_ = tx.Rollback() // the file is thrown away
		}
		return err
	}
	return tx.Commit()
}

func beginRecords(db *bolt.DB) (*bolt.Tx, *bolt.Bucket, error) {
	tx, err := db.Begin(true)
	if err != nil {
		return nil, nil, err
	}
	b := tx.Bucket([]byte("key"))
	b.FillPercent = 0.9
	return tx, b, nil
}

// ConfState encodes raft's configuration the way etcd stores it.
func ConfState(voters, learners []uint64) ([]byte, error) {
	return json.Marshal(struct {
		Voters    []uint64 `json:"voters,omitempty"`
		Learners  []uint64 `json:"learners,omitempty"`
		AutoLeave bool     `json:"auto_leave"`
	}{voters, learners, false})
}
