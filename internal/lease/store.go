package lease

import (
	"slices"
	"sync"

	"keelson/internal/base"
	"keelson/internal/errs"
)

// MaxTTL is the longest TTL a client may ask for, in seconds.
const MaxTTL = 9_000_000_000

// Info describes one lease. TTL is the granted one; Remaining is the last
// replicated checkpoint of what was left of it, 0 when there is none. Both are
// seconds.
type Info struct {
	ID        base.LeaseID
	TTL       int64
	Remaining int64
}

// Left is the TTL a new leader gives the lease: what the last checkpoint said,
// or else the full granted TTL.
func (i Info) Left() int64 {
	if i.Remaining > 0 {
		return i.Remaining
	}
	return i.TTL
}

// Store is the replicated set of leases. Mutating methods belong to the
// applier; the others may be called from any goroutine.
type Store struct {
	minTTL int64

	mu     sync.RWMutex
	leases map[base.LeaseID]*record
}

type record struct {
	Info
	keys map[string]struct{}
	gone chan struct{} // closed when the lease is revoked
}

// NewStore makes an empty store. Grants below minTTL seconds are raised to it;
// all members must use the same value.
func NewStore(minTTL int64) *Store {
	return &Store{minTTL: minTTL, leases: make(map[base.LeaseID]*record)}
}

// Grant creates a lease and returns it with its actual TTL. The ID must have
// been chosen by the proposer: 0 is refused as a missing lease.
func (s *Store) Grant(id base.LeaseID, ttl int64) (Info, error) {
	switch {
	case id == 0:
		return Info{}, errs.ErrLeaseNotFound
	case ttl > MaxTTL:
		return Info{}, errs.ErrLeaseTTLTooLarge
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.leases[id]; ok {
		return Info{}, errs.ErrLeaseExist
	}
	r := &record{Info: Info{ID: id, TTL: max(ttl, s.minTTL)}, gone: make(chan struct{})}
	s.leases[id] = r
	return r.Info, nil
}

// Keys returns the keys attached to a lease in byte order, the order in which
// revoking it deletes them, and whether the lease exists.
func (s *Store) Keys(id base.LeaseID) ([]string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.leases[id]
	if !ok {
		return nil, false
	}
	keys := make([]string, 0, len(r.keys))
	for k := range r.keys {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys, true
}

// Revoke removes a lease. Deleting its keys is the caller's part of the same
// log entry and must have happened before.
func (s *Store) Revoke(id base.LeaseID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.leases[id]
	if !ok {
		return errs.ErrLeaseNotFound
	}
	delete(s.leases, id)
	close(r.gone)
	return nil
}

// Checkpoint replicates the remaining TTL of a lease in seconds; 0 clears it.
// An unknown lease is ignored: it was revoked in between.
func (s *Store) Checkpoint(id base.LeaseID, remaining int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.leases[id]; ok {
		r.Remaining = max(remaining, 0)
	}
}

// Move tells that a key's lease changed from one to another; 0 is no lease.
// A lease that does not exist is ignored, as a key may name one that is gone.
func (s *Store) Move(key []byte, from, to base.LeaseID) {
	if from == to {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.leases[from]; ok && from != 0 {
		delete(r.keys, string(key))
	}
	if r, ok := s.leases[to]; ok && to != 0 {
		if r.keys == nil {
			r.keys = make(map[string]struct{})
		}
		r.keys[string(key)] = struct{}{}
	}
}

// Lookup returns a lease.
func (s *Store) Lookup(id base.LeaseID) (Info, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.leases[id]
	if !ok {
		return Info{}, false
	}
	return r.Info, true
}

// Gone returns a channel that is closed when the lease is revoked, and whether
// the lease exists now.
func (s *Store) Gone(id base.LeaseID) (<-chan struct{}, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.leases[id]
	if !ok {
		return nil, false
	}
	return r.gone, true
}

// Len is the number of leases.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.leases)
}

// All returns every lease, ordered by ID.
func (s *Store) All() []Info {
	s.mu.RLock()
	all := make([]Info, 0, len(s.leases))
	for _, r := range s.leases {
		all = append(all, r.Info)
	}
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b Info) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	return all
}
