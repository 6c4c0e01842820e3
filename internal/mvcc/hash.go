package mvcc

import (
	"context"
	"hash/crc32"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/revlog"
)

// KVHash is a hash of the key space and what it covers.
type KVHash struct {
	Hash uint32
	// CompactRev is the compaction it was computed under, or NeverCompacted.
	// Hashes are comparable only when it is equal.
	CompactRev int64
	// Revision is the last revision it covers.
	Revision int64
}

// castagnoli is the polynomial of all hashes; never changed.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// hashSeed is the name of etcd's bucket, which starts every hash.
const hashSeed = "key"

// HashKV answers the HashKV request: the hash up to rev (0 is the current
// revision), and the current revision. A cached compaction hash answers for its
// revision even though the data is gone. Any goroutine; it reads every record
// up to rev.
func (s *Store) HashKV(ctx context.Context, rev int64) (h KVHash, currentRev int64, err error) {
	v := s.View()
	defer v.Release()
	if rev != 0 {
		if h, ok, err := s.hashes.await(ctx, rev); ok || err != nil {
			return h, v.rev, err
		}
	}
	switch {
	case rev > v.rev:
		return KVHash{}, v.rev, errs.ErrFutureRev
	case rev > 0 && rev < v.compactRev:
		return KVHash{}, v.rev, errs.ErrCompacted
	case rev == 0:
		rev = v.rev
	}
	p := hashPlan{rev: rev, compactRev: v.compactRev, keepsNone: v.noneLiveAt(rev)}
	h, err = v.hashKV(ctx, p)
	return h, v.rev, err
}

// hashPlan says what a hash covers.
type hashPlan struct {
	rev        int64
	compactRev int64
	// keepsNone: no version at or below rev is kept by a compaction there. In
	// etcd an empty keep set filters nothing, so what is at or below
	// compactRev then counts although it is not live at rev.
	keepsNone bool
}

// hashKV computes the hash that etcd computes over its "key" bucket: all
// changes above compactRev, and at or below it only versions live at rev.
// A tombstone at exactly compactRev never counts, since releases differ in
// keeping it. The view may be of a compactRev below its own root's, never above: it
// must still hold what the plan covers.
func (v *View) hashKV(ctx context.Context, p hashPlan) (KVHash, error) {
	h := bucketHash{crc: crc32.Checksum([]byte(hashSeed), castagnoli)}
	var stopped error
	n := 0
	err := v.log.Scan(base.Revision{}, base.Revision{Main: max(p.rev, 0) + 1}, func(r revlog.Record) bool {
		if n++; n%ctxEvery == 0 && ctx.Err() != nil {
			stopped = context.Cause(ctx)
			return false
		}
		if r.Rev.Main <= p.compactRev && !v.hashes(&r.Meta, p) {
			return true
		}
		h.add(&r)
		return true
	})
	if err == nil {
		err = stopped
	}
	if err != nil {
		return KVHash{}, err
	}
	return KVHash{Hash: h.crc, CompactRev: p.compactRev, Revision: p.rev}, nil
}

// hashes tells whether a record at or below the plan's compaction counts. The
// record may be dead and merely not reclaimed yet; the index knows.
func (v *View) hashes(m *revlog.Meta, p hashPlan) bool {
	at := p.rev
	if p.keepsNone {
		at = p.compactRev
	}
	mod, ok := v.modAt(m.Key, at)
	return ok && mod == m.Rev
}

// noneLiveAt tells whether no key is live at rev.
func (v *View) noneLiveAt(rev int64) bool {
	if rev == v.rev {
		return v.root.Len() == 0
	}
	none := true
	v.root.ScanAt(nil, nil, rev, func([]byte, base.Revision) bool {
		none = false
		return false
	})
	return none
}

// compactionHash computes the hash that a compaction leaves in the cache. The
// keep set of a compaction also holds tombstones made at its revision. So it is
// never empty: every revision changed some key, which at that revision either
// is live or has such a tombstone.
func (v *View) compactionHash(ctx context.Context, c scheduled) (KVHash, error) {
	return v.hashKV(ctx, hashPlan{rev: c.at, compactRev: c.prev})
}

// Hash computes etcd's Hash over what this package stands for: the bucket
// "key" as etcd would hold it after the last compaction. etcd adds its other
// buckets; members agree with each other, not with etcd.
func (s *Store) Hash(ctx context.Context) (hash uint32, revision int64, err error) {
	v := s.View()
	defer v.Release()
	h := bucketHash{crc: crc32.Checksum([]byte(hashSeed), castagnoli)}
	var stopped error
	n := 0
	err = v.Records(func(r revlog.Record) bool {
		if n++; n%ctxEvery == 0 && ctx.Err() != nil {
			stopped = context.Cause(ctx)
			return false
		}
		h.add(&r)
		return true
	})
	if err == nil {
		err = stopped
	}
	return h.crc, v.rev, err
}

// bucketHash sums entries of etcd's bucket "key".
type bucketHash struct {
	crc uint32
	key [base.TombstoneBytes]byte
}

func (h *bucketHash) add(r *revlog.Record) {
	key := base.AppendRevision(h.key[:0], r.Rev, r.Tombstone)
	h.crc = crc32.Update(h.crc, castagnoli, key)
	h.crc = crc32.Update(h.crc, castagnoli, r.KV)
}
