package mvcc

import (
	"bytes"
	"context"

	"keelson/internal/errs"
)

// Stream reads a range in chunks, all at the revision of the first one. It
// holds no view between chunks, only a key and a few numbers, so a client that
// reads slowly holds up no reclaiming; the price is that a compaction above its
// revision ends it with errs.ErrCompacted, as it does in etcd.
//
// One goroutine uses a Stream. Close releases the last chunk.
type Stream struct {
	s    *Store
	o    RangeOptions
	view *View  // of the last chunk
	rev  int64  // pinned by the first chunk
	next []byte // where the next chunk starts; nil before the first
	left int64  // of the limit; only if o.Limit > 0
	sum  int64  // count of the whole range at rev
}

// Chunk is a part of a streamed answer.
type Chunk struct {
	// KVs are as in RangeResult; valid until the next Next or Close.
	KVs [][]byte
	// Last tells that the stream is complete. Count and More are set only then,
	// and are those of the whole range.
	Last  bool
	Count int64
	More  bool
	// Revision is the store's current revision as the chunk was read.
	Revision int64
}

// Stream starts a streamed range. Chunks are in key order: sort order and
// target are ignored, as are the revision filters; the caller refuses requests
// that ask for them.
func (s *Store) Stream(o RangeOptions) *Stream {
	o.SortOrder, o.SortTarget = SortNone, TargetKey
	o.MinMod, o.MaxMod, o.MinCreate, o.MaxCreate = 0, 0, 0, 0
	return &Stream{s: s, o: o, left: o.Limit}
}

// Next reads up to maxKeys keys (at least 1). After the last chunk it must not
// be called again.
func (st *Stream) Next(ctx context.Context, maxKeys int) (Chunk, error) {
	st.Close()
	v := st.s.View()
	st.view = v
	if st.next == nil {
		if err := st.pin(v); err != nil {
			return Chunk{}, err
		}
	}
	if st.rev < v.compactRev {
		return Chunk{}, errs.ErrCompacted
	}
	if st.o.CountOnly {
		return Chunk{Last: true, Count: st.sum, Revision: v.rev}, nil
	}
	o := st.o
	o.Key = st.next
	o.Limit = max(int64(maxKeys), 1)
	if st.o.Limit > 0 {
		o.Limit = min(o.Limit, st.left)
	}
	if o.IsSingle() {
		o.Limit = 0
	}
	res, err := v.collect(ctx, &o, st.rev, false)
	if err != nil {
		return Chunk{}, err
	}
	c := Chunk{KVs: res.KVs, Revision: v.rev}
	if st.o.Limit > 0 {
		st.left -= int64(len(res.KVs))
	}
	if !res.More || st.o.Limit > 0 && st.left == 0 {
		c.Last, c.Count, c.More = true, st.sum, res.More
		return c, nil
	}
	st.next = append(bytes.Clone(keyOf(res.KVs[len(res.KVs)-1])), 0)
	return c, nil
}

// pin fixes the revision and counts the range there, while that is cheap.
func (st *Stream) pin(v *View) error {
	rev, err := v.resolve(st.o.Revision)
	if err != nil {
		return err
	}
	st.rev = rev
	st.sum = v.count(st.o.KeyRange, rev)
	st.next = st.o.Key
	return nil
}

// Close releases what the last chunk aliases.
func (st *Stream) Close() {
	if st.view != nil {
		st.view.Release()
		st.view = nil
	}
}
