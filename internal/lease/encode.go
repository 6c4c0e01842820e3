package lease

import (
	"encoding/binary"
	"fmt"

	"keelson/internal/base"
)

// AppendTo appends the checkpoint section of the store: a count, then for each
// lease in ID order its ID, TTL and remaining TTL, all as signed varints. The
// checkpoint file itself carries the checksum.
func (s *Store) AppendTo(dst []byte) []byte {
	all := s.All()
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for _, l := range all {
		dst = binary.AppendVarint(dst, int64(l.ID))
		dst = binary.AppendVarint(dst, l.TTL)
		dst = binary.AppendVarint(dst, l.Remaining)
	}
	return dst
}

// Restore replaces the content of the store by a section written by AppendTo.
// Attachments are empty afterwards; the caller moves every leased key in.
func (s *Store) Restore(section []byte) error {
	n, w := binary.Uvarint(section)
	if w <= 0 || n > uint64(len(section)) {
		return fmt.Errorf("lease section: bad count")
	}
	b := section[w:]
	leases := make(map[base.LeaseID]*record, n)
	for range n {
		var f [3]int64
		for i := range f {
			v, w := binary.Varint(b)
			if w <= 0 {
				return fmt.Errorf("lease section: cut short at byte %d of %d", len(section)-len(b), len(section))
			}
			f[i], b = v, b[w:]
		}
		id := base.LeaseID(f[0])
		if _, ok := leases[id]; ok || id == 0 {
			return fmt.Errorf("lease section: lease %s is there twice or zero", id)
		}
		leases[id] = &record{Info: Info{ID: id, TTL: max(f[1], s.minTTL), Remaining: f[2]}, gone: make(chan struct{})}
	}
	if len(b) != 0 {
		return fmt.Errorf("lease section: %d bytes behind the last lease", len(b))
	}
	s.mu.Lock()
	s.leases = leases
	s.mu.Unlock()
	return nil
}
