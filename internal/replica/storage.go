package replica

import (
	"errors"
	"sync"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
	"keelson/internal/wal"
)

// storage is raft's view of the log: the newest entries from memory, older
// ones from disk.
//
//	first           cached[0]                    last
//	  |---- on disk ----|---- on disk and cached ----|
//
// The log goroutine appends after the entries are durable; the loop reads.
type storage struct {
	log        Log
	hardState  *pb.HardState
	confState  *pb.ConfState
	cacheBytes int

	mu        sync.Mutex
	first     base.Index
	firstTerm base.Term // term of first-1
	last      base.Index
	cached    []*pb.Entry
	bytes     int
}

func newStorage(c *Config) *storage {
	s := &storage{
		log: c.Log, hardState: c.HardState, confState: c.ConfState, cacheBytes: c.CacheBytes,
		first: max(c.First, 1), firstTerm: c.FirstTerm, last: c.Last,
	}
	if s.confState == nil {
		s.confState = &pb.ConfState{}
	}
	s.Append(c.Entries)
	return s
}

// Append adds durable entries; they replace what was at their indexes before.
func (s *storage) Append(ents []*pb.Entry) {
	if len(ents) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := base.Index(ents[0].GetIndex())
	if n := len(s.cached); n > 0 {
		from := base.Index(s.cached[0].GetIndex())
		switch {
		case at <= from:
			clear(s.cached)
			s.cached, s.bytes = s.cached[:0], 0
		case at <= s.last:
			cut := int(at - from)
			for _, e := range s.cached[cut:] {
				s.bytes -= len(e.Data)
			}
			clear(s.cached[cut:])
			s.cached = s.cached[:cut]
		}
	}
	s.cached = append(s.cached, ents...)
	for _, e := range ents {
		s.bytes += len(e.Data)
	}
	s.last = base.Index(ents[len(ents)-1].GetIndex())
	s.trimLocked()
}

// trimLocked drops the oldest half once the cache is over its bound, so that
// the move costs little per entry.
func (s *storage) trimLocked() {
	const maxEntries = 64 << 10
	if s.bytes <= s.cacheBytes && len(s.cached) <= maxEntries {
		return
	}
	drop := 0
	for drop < len(s.cached)-1 && (s.bytes > s.cacheBytes/2 || len(s.cached)-drop > maxEntries/2) {
		s.bytes -= len(s.cached[drop].Data)
		drop++
	}
	s.cached = append(make([]*pb.Entry, 0, max(1024, len(s.cached)-drop)), s.cached[drop:]...)
}

// Compact forgets entries below first; the log on disk may delete them.
func (s *storage) Compact(first base.Index) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first <= s.first || first > s.last+1 {
		return nil
	}
	t, err := s.termLocked(first - 1)
	if err != nil {
		return err
	}
	s.first, s.firstTerm = first, t
	return nil
}

func (s *storage) InitialState() (*pb.HardState, *pb.ConfState, error) {
	return s.hardState, s.confState, nil
}

func (s *storage) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	s.mu.Lock()
	if base.Index(lo) < s.first {
		s.mu.Unlock()
		return nil, raft.ErrCompacted
	}
	if base.Index(hi) > s.last+1 {
		s.mu.Unlock()
		return nil, raft.ErrUnavailable
	}
	if len(s.cached) > 0 && lo >= s.cached[0].GetIndex() {
		from := s.cached[0].GetIndex()
		ents := limit(s.cached[lo-from:hi-from:hi-from], maxSize)
		s.mu.Unlock()
		return append([]*pb.Entry(nil), ents...), nil
	}
	s.mu.Unlock()
	ents, err := s.log.ReadEntries(base.Index(lo), base.Index(hi), maxSize)
	return ents, raftError(err)
}

// raftError says in raft's words that entries are not in the log on disk; raft
// then looks for another way, and takes everything else for broken storage.
func raftError(err error) error {
	switch {
	case errors.Is(err, wal.ErrCompacted):
		return raft.ErrCompacted
	case errors.Is(err, wal.ErrUnavailable):
		return raft.ErrUnavailable
	}
	return err
}

// limit cuts ents to maxSize bytes but leaves one.
func limit(ents []*pb.Entry, maxSize uint64) []*pb.Entry {
	var size uint64
	for i, e := range ents {
		size += uint64(len(e.Data)) + 24 // index, term and tags
		if i > 0 && size > maxSize {
			return ents[:i]
		}
	}
	return ents
}

func (s *storage) Term(i uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.termLocked(base.Index(i))
	return uint64(t), err
}

func (s *storage) termLocked(i base.Index) (base.Term, error) {
	switch {
	case i == s.first-1:
		return s.firstTerm, nil
	case i < s.first:
		return 0, raft.ErrCompacted
	case i > s.last:
		return 0, raft.ErrUnavailable
	}
	if len(s.cached) > 0 {
		if from := base.Index(s.cached[0].GetIndex()); i >= from {
			return base.Term(s.cached[i-from].GetTerm()), nil
		}
	}
	t, err := s.log.Term(i)
	return t, raftError(err)
}

func (s *storage) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(s.last), nil
}

func (s *storage) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(s.first), nil
}

// Snapshot is asked for when a follower needs entries that are gone. Sending
// the state to another member is the business of the peer transport, which is
// not there yet.
func (s *storage) Snapshot() (*pb.Snapshot, error) {
	return nil, raft.ErrSnapshotTemporarilyUnavailable
}
