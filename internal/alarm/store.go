package alarm

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"keelson/internal/base"
)

// Kind is what is wrong; the numbers are those of etcdserverpb.AlarmType.
type Kind int32

// The kinds there are. None is only used in requests, for "any".
const (
	None    Kind = 0
	NoSpace Kind = 1
	Corrupt Kind = 2
)

func (k Kind) String() string {
	switch k {
	case None:
		return "NONE"
	case NoSpace:
		return "NOSPACE"
	case Corrupt:
		return "CORRUPT"
	}
	return fmt.Sprintf("%d", int32(k))
}

// Alarm is one raised alarm.
type Alarm struct {
	Member base.MemberID
	Kind   Kind
}

// Store is the replicated set of alarms. Mutating methods belong to the
// applier; the others may be called from any goroutine.
type Store struct {
	mu  sync.RWMutex
	set map[Alarm]struct{}
}

// NewStore makes an empty store.
func NewStore() *Store { return &Store{set: make(map[Alarm]struct{})} }

// Activate raises an alarm; raising it twice is the same as once. It reports
// whether it is new.
func (s *Store) Activate(a Alarm) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, had := s.set[a]
	s.set[a] = struct{}{}
	return !had
}

// Deactivate disarms exactly this alarm and reports whether it was raised.
func (s *Store) Deactivate(a Alarm) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, had := s.set[a]
	delete(s.set, a)
	return had
}

// List returns the alarms of a kind, or all of them for None, ordered by
// member and kind.
func (s *Store) List(k Kind) []Alarm {
	s.mu.RLock()
	var out []Alarm
	for a := range s.set {
		if k == None || a.Kind == k {
			out = append(out, a)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(out, func(a, b Alarm) int {
		return cmp.Or(cmp.Compare(a.Member, b.Member), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}

// Active reports whether any member raised an alarm of the kind.
func (s *Store) Active(k Kind) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for a := range s.set {
		if a.Kind == k {
			return true
		}
	}
	return false
}

// AppendTo appends the checkpoint section of the store: a count, then member
// and kind of each alarm as unsigned varints.
func (s *Store) AppendTo(dst []byte) []byte {
	all := s.List(None)
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for _, a := range all {
		dst = binary.AppendUvarint(dst, uint64(a.Member))
		dst = binary.AppendUvarint(dst, uint64(a.Kind))
	}
	return dst
}

// Restore replaces the content of the store by a section written by AppendTo.
func (s *Store) Restore(section []byte) error {
	b := section
	next := func() (uint64, error) {
		v, w := binary.Uvarint(b)
		if w <= 0 {
			return 0, fmt.Errorf("alarm section: cut short at byte %d of %d", len(section)-len(b), len(section))
		}
		b = b[w:]
		return v, nil
	}
	n, err := next()
	if err != nil {
		return err
	}
	set := make(map[Alarm]struct{})
	for range n {
		m, err := next()
		if err != nil {
			return err
		}
		k, err := next()
		if err != nil {
			return err
		}
		set[Alarm{base.MemberID(m), Kind(k)}] = struct{}{}
	}
	if len(b) != 0 {
		return fmt.Errorf("alarm section: %d bytes behind the last alarm", len(b))
	}
	s.mu.Lock()
	s.set = set
	s.mu.Unlock()
	return nil
}
