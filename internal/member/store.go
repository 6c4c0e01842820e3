package member

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
	"keelson/internal/errs"
)

// Member is one member. Its JSON form is the one of etcd's member endpoints,
// and, with IsPromote, of the context of a configuration change; the order of
// the fields is part of it.
type Member struct {
	ID         base.MemberID `json:"id"`
	PeerURLs   []string      `json:"peerURLs"`
	IsLearner  bool          `json:"isLearner,omitempty"`
	Name       string        `json:"name,omitempty"`
	ClientURLs []string      `json:"clientURLs,omitempty"`
}

// Change is the context of a configuration change.
type Change struct {
	Member
	IsPromote bool `json:"isPromote,omitempty"`
}

// Downgrade is a downgrade job; Target is empty when there is none.
type Downgrade struct {
	Enabled bool   `json:"enabled"`
	Target  string `json:"target-version"`
}

// Store is the replicated membership. Mutating methods belong to the applier;
// the others may be called from any goroutine.
type Store struct {
	maxLearners int

	mu      sync.RWMutex
	members map[base.MemberID]Member
	removed map[base.MemberID]bool
	version string // cluster version, "3.7.0"; empty until decided
	down    Downgrade
}

// NewStore makes an empty store. maxLearners must be equal on all members.
func NewStore(maxLearners int) *Store {
	return &Store{
		maxLearners: maxLearners,
		members:     make(map[base.MemberID]Member),
		removed:     make(map[base.MemberID]bool),
	}
}

// Validate checks a configuration change as it is applied and returns its
// context. ErrMemberNotFound, ErrMemberExist, ErrPeerURLExist,
// ErrTooManyLearners and ErrMemberNotLearner are refusals; any other error is a
// change that no member could have proposed.
func (s *Store) Validate(cc *pb.ConfChange) (Change, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var ch Change
	id := base.MemberID(cc.GetNodeId())
	if s.removed[id] {
		return ch, errs.ErrMemberNotFound
	}
	if cc.GetType() == pb.ConfChangeRemoveNode {
		if _, ok := s.members[id]; !ok {
			return ch, errs.ErrMemberNotFound
		}
		ch.ID = id
		return ch, nil
	}
	if err := json.Unmarshal(cc.Context, &ch); err != nil {
		return ch, fmt.Errorf("configuration change of member %s: %w", id, err)
	}
	if ch.ID != id {
		return ch, fmt.Errorf("configuration change names member %s, its context %s", id, ch.ID)
	}
	switch cc.GetType() {
	case pb.ConfChangeAddNode, pb.ConfChangeAddLearnerNode:
		return ch, s.validateAddLocked(ch, cc.GetType() == pb.ConfChangeAddLearnerNode)
	case pb.ConfChangeUpdateNode:
		if _, ok := s.members[id]; !ok {
			return ch, errs.ErrMemberNotFound
		}
		if s.urlTakenLocked(ch.PeerURLs, id) {
			return ch, errs.ErrPeerURLExist
		}
		return ch, nil
	}
	return ch, fmt.Errorf("configuration change of unknown type %v", cc.GetType())
}

func (s *Store) validateAddLocked(ch Change, learner bool) error {
	m, exists := s.members[ch.ID]
	if ch.IsPromote {
		switch {
		case !exists:
			return errs.ErrMemberNotFound
		case !m.IsLearner:
			return errs.ErrMemberNotLearner
		}
		return nil
	}
	if exists {
		return errs.ErrMemberExist
	}
	if s.urlTakenLocked(ch.PeerURLs, 0) {
		return errs.ErrPeerURLExist
	}
	if learner && ch.IsLearner {
		learners := 1
		for _, m := range s.members {
			if m.IsLearner {
				learners++
			}
		}
		if learners > s.maxLearners {
			return errs.ErrTooManyLearners
		}
	}
	return nil
}

func (s *Store) urlTakenLocked(urls []string, except base.MemberID) bool {
	for id, m := range s.members {
		if id == except {
			continue
		}
		for _, u := range urls {
			if slices.Contains(m.PeerURLs, u) {
				return true
			}
		}
	}
	return false
}

// Apply carries out a change that Validate accepted.
func (s *Store) Apply(typ pb.ConfChangeType, ch Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case typ == pb.ConfChangeRemoveNode:
		delete(s.members, ch.ID)
		s.removed[ch.ID] = true
	case typ == pb.ConfChangeUpdateNode:
		m := s.members[ch.ID]
		m.PeerURLs = ch.PeerURLs
		s.members[ch.ID] = m
	case ch.IsPromote:
		m := s.members[ch.ID]
		m.IsLearner = false
		s.members[ch.ID] = m
	default:
		s.members[ch.ID] = ch.Member
	}
}

// SetAttributes records the name and client URLs a member published. It
// reports whether the member is known; a removed one is ignored.
func (s *Store) SetAttributes(id base.MemberID, name string, clientURLs []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.members[id]
	if !ok {
		return s.removed[id]
	}
	m.Name, m.ClientURLs = name, clientURLs
	s.members[id] = m
	return true
}

// SetVersion records the cluster version ("3.7.0") and returns the former one.
func (s *Store) SetVersion(v string) (old string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, s.version = s.version, v
	return old
}

// SetDowngrade records a downgrade job or its end.
func (s *Store) SetDowngrade(d Downgrade) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = d
}

// Version is the cluster version, empty until it is decided.
func (s *Store) Version() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.version
}

// DowngradeJob is the downgrade in progress, if any.
func (s *Store) DowngradeJob() Downgrade {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.down
}

// Get returns a member.
func (s *Store) Get(id base.MemberID) (Member, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, ok := s.members[id]
	return m, ok
}

// IsRemoved reports whether the ID belonged to a member once.
func (s *Store) IsRemoved(id base.MemberID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.removed[id]
}

// Removed returns the IDs that were members once, ascending.
func (s *Store) Removed() []base.MemberID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.removed))
}

// All returns the members by ascending ID. The slices inside are shared and
// read-only.
func (s *Store) All() []Member {
	s.mu.RLock()
	all := make([]Member, 0, len(s.members))
	for _, m := range s.members {
		all = append(all, m)
	}
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// ConfState is the raft configuration the membership stands for.
func (s *Store) ConfState() *pb.ConfState {
	cs := &pb.ConfState{}
	for _, m := range s.All() {
		if m.IsLearner {
			cs.Learners = append(cs.Learners, uint64(m.ID))
		} else {
			cs.Voters = append(cs.Voters, uint64(m.ID))
		}
	}
	return cs
}

// section is the JSON form of the store in a checkpoint.
type section struct {
	Members   []Member        `json:"members"`
	Removed   []base.MemberID `json:"removed"`
	Version   string          `json:"cluster-version"`
	Downgrade Downgrade       `json:"downgrade"`
}

// AppendTo appends the checkpoint section of the store.
func (s *Store) AppendTo(dst []byte) ([]byte, error) {
	sec := section{Members: s.All(), Removed: s.Removed(), Version: s.Version(), Downgrade: s.DowngradeJob()}
	b, err := json.Marshal(sec)
	return append(dst, b...), err
}

// Restore replaces the content of the store by a section written by AppendTo.
func (s *Store) Restore(b []byte) error {
	var sec section
	if err := json.Unmarshal(b, &sec); err != nil {
		return fmt.Errorf("member section: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.members)
	clear(s.removed)
	for _, m := range sec.Members {
		s.members[m.ID] = m
	}
	for _, id := range sec.Removed {
		s.removed[id] = true
	}
	s.version, s.down = sec.Version, sec.Downgrade
	return nil
}
