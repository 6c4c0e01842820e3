package mvcc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/pprof"
	"slices"
	"sync"

	"go.uber.org/zap"
)

// hashCache keeps the hashes of the latest compactions, by which members are
// compared after the hashed data is gone. A hash is computed in the background
// from a view pinned before the compaction removed anything; the applier goes
// on meanwhile, for the view keeps the files and the index nodes it needs.
//
// One hash is computed at a time and one more waits. A further one is not
// computed: compactions then come faster than the data can be read, and every
// waiting one would pin files.
type hashCache struct {
	logger *zap.Logger
	ctx    context.Context // cancelled by close
	cancel context.CancelFunc
	idle   sync.WaitGroup // the goroutine

	mu struct {
		sync.Mutex
		done    []KVHash // ascending by Revision, at most maxCachedHashes
		busy    bool     // the goroutine runs
		running *hashJob
		waiting *hashJob
		closed  bool
	}
}

// hashJob owns a reference to its view.
type hashJob struct {
	view  *View
	c     scheduled
	ended chan struct{} // closed when the hash is in the cache, or never will be
}

// maxCachedHashes is etcd's number; the leader compares this many revisions.
const maxCachedHashes = 10

func newHashCache(logger *zap.Logger, done []KVHash) *hashCache {
	h := &hashCache{logger: logger}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.mu.done = done
	return h
}

// hashable tells whether there is little enough data to hash it.
func (s *Store) hashable() bool {
	if s.cfg.HashMaxBytes <= 0 {
		return true
	}
	live := s.log.Stats().LiveBytes
	if live <= s.cfg.HashMaxBytes {
		return true
	}
	s.cfg.Logger.Info("the compaction is not hashed, there is too much data",
		zap.Int64("live-bytes", live), zap.Int64("limit-bytes", s.cfg.HashMaxBytes))
	return false
}

// submit takes over the caller's reference to v.
func (h *hashCache) submit(v *View, c scheduled) {
	job := &hashJob{view: v, c: c, ended: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.mu.closed:
		v.Release()
	case !h.mu.busy:
		h.mu.busy = true
		h.mu.running = job
		h.idle.Add(1)
		go pprof.Do(h.ctx, pprof.Labels("goroutine", "mvcc-hash"), func(context.Context) { h.run(job) })
	case h.mu.waiting == nil:
		h.mu.waiting = job
	default:
		v.Release()
		h.logger.Warn("the compaction is not hashed, two earlier ones are still under way",
			zap.Int64("compact-revision", c.at))
	}
}

// run computes jobs until none waits.
func (h *hashCache) run(job *hashJob) {
	defer h.idle.Done()
	for job != nil {
		h.compute(job)
		next := h.take()
		close(job.ended)
		job = next
	}
}

// take returns the waiting job, or ends the goroutine.
func (h *hashCache) take() *hashJob {
	h.mu.Lock()
	defer h.mu.Unlock()
	job := h.mu.waiting
	h.mu.waiting = nil
	h.mu.running = job
	h.mu.busy = job != nil
	return job
}

func (h *hashCache) compute(job *hashJob) {
	defer job.view.Release()
	kh, err := job.view.compactionHash(h.ctx, job.c)
	switch {
	case err == nil:
		h.store(kh)
	case !errors.Is(err, context.Canceled):
		// The fault is not lost: whoever reads that record next meets it.
		h.logger.Error("cannot hash the compaction", zap.Int64("compact-revision", job.c.at), zap.Error(err))
	}
}

// store adds a hash; of too many the lowest revision goes.
func (h *hashCache) store(kh KVHash) {
	h.logger.Info("storing new hash", zap.Uint32("hash", kh.Hash),
		zap.Int64("revision", kh.Revision), zap.Int64("compact-revision", kh.CompactRev))
	h.mu.Lock()
	defer h.mu.Unlock()
	i, found := slices.BinarySearchFunc(h.mu.done, kh.Revision, compareHash)
	if found {
		h.mu.done[i] = kh
		return
	}
	h.mu.done = slices.Insert(h.mu.done, i, kh)
	if n := len(h.mu.done) - maxCachedHashes; n > 0 {
		h.mu.done = slices.Delete(h.mu.done, 0, n)
	}
}

func compareHash(h KVHash, rev int64) int {
	switch {
	case h.Revision < rev:
		return -1
	case h.Revision > rev:
		return 1
	}
	return 0
}

// await returns the hash of the compaction at rev. If it is being computed, it
// is waited for: whoever asks after a compaction has ended must be told of it,
// since the same question has another answer before.
func (h *hashCache) await(ctx context.Context, rev int64) (KVHash, bool, error) {
	for {
		job := h.pending(rev)
		if job == nil {
			kh, ok := h.get(rev)
			return kh, ok, nil
		}
		select {
		case <-job.ended:
		case <-ctx.Done():
			return KVHash{}, false, context.Cause(ctx)
		}
	}
}

// pending returns the job for the compaction at rev if it has not ended.
func (h *hashCache) pending(rev int64) *hashJob {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, job := range []*hashJob{h.mu.running, h.mu.waiting} {
		if job != nil && job.c.at == rev {
			return job
		}
	}
	return nil
}

// get returns the hash of the compaction at rev.
func (h *hashCache) get(rev int64) (KVHash, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, found := slices.BinarySearchFunc(h.mu.done, rev, compareHash)
	if !found {
		return KVHash{}, false
	}
	return h.mu.done[i], true
}

// close cancels what is under way and waits for the goroutine to end.
func (h *hashCache) close() {
	h.mu.Lock()
	h.mu.closed = true
	waiting := h.mu.waiting
	h.mu.waiting = nil
	h.mu.Unlock()
	if waiting != nil {
		waiting.view.Release()
		close(waiting.ended)
	}
	h.cancel()
	h.idle.Wait()
}

// The checkpoint section: a version byte, then for each hash
//
//	+----------+-------------+------+
//	| revision | compact rev | hash |   little endian, ascending revisions
//	|  8 bytes |   8 bytes   |  4   |
//	+----------+-------------+------+
//
// The checkpoint's checksum covers it. An unknown version is an error: the
// checkpoint is of a newer release.
const (
	hashSectionVersion = 1
	hashEntryBytes     = 20
)

func (h *hashCache) encode() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.mu.done) == 0 {
		return nil
	}
	b := make([]byte, 0, 1+hashEntryBytes*len(h.mu.done))
	b = append(b, hashSectionVersion)
	for _, kh := range h.mu.done {
		b = binary.LittleEndian.AppendUint64(b, uint64(kh.Revision))
		b = binary.LittleEndian.AppendUint64(b, uint64(kh.CompactRev))
		b = binary.LittleEndian.AppendUint32(b, kh.Hash)
	}
	return b
}

// decodeHashes reads what encode wrote; nil is an empty cache.
func decodeHashes(b []byte) ([]KVHash, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != hashSectionVersion {
		return nil, fmt.Errorf("mvcc: compaction hashes have version %d, this release knows %d", b[0], hashSectionVersion)
	}
	b = b[1:]
	if len(b)%hashEntryBytes != 0 || len(b) > maxCachedHashes*hashEntryBytes {
		return nil, fmt.Errorf("mvcc: compaction hashes are %d bytes, want a multiple of %d up to %d",
			len(b), hashEntryBytes, maxCachedHashes*hashEntryBytes)
	}
	var hs []KVHash
	for ; len(b) > 0; b = b[hashEntryBytes:] {
		kh := KVHash{
			Revision:   int64(binary.LittleEndian.Uint64(b)),
			CompactRev: int64(binary.LittleEndian.Uint64(b[8:])),
			Hash:       binary.LittleEndian.Uint32(b[16:]),
		}
		if n := len(hs); n > 0 && hs[n-1].Revision >= kh.Revision {
			return nil, fmt.Errorf("mvcc: compaction hash of revision %d follows that of %d", kh.Revision, hs[n-1].Revision)
		}
		hs = append(hs, kh)
	}
	return hs, nil
}
