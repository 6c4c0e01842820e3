package base

import "bytes"

// KeyRange is a set of keys as requests describe it: an empty End is exactly
// Key, the single byte 0x00 is every key from Key on, anything else is the
// half-open interval [Key, End), empty when Key >= End.
type KeyRange struct {
	Key []byte
	End []byte
}

// IsSingle reports whether the range is exactly one key.
func (r KeyRange) IsSingle() bool { return len(r.End) == 0 }

// IsFromKey reports whether the range has no upper bound.
func (r KeyRange) IsFromKey() bool { return len(r.End) == 1 && r.End[0] == 0 }

// IsEmpty reports whether no key can be in the range.
func (r KeyRange) IsEmpty() bool {
	return !r.IsSingle() && !r.IsFromKey() && bytes.Compare(r.Key, r.End) >= 0
}

// Contains reports whether k is in the range.
func (r KeyRange) Contains(k []byte) bool {
	switch {
	case r.IsSingle():
		return bytes.Equal(k, r.Key)
	case bytes.Compare(k, r.Key) < 0:
		return false
	case r.IsFromKey():
		return true
	}
	return bytes.Compare(k, r.End) < 0
}

// Bounds returns the half-open interval [lo, hi) of the range; a nil hi means
// no upper bound. For a single key hi is Key with a zero byte appended.
func (r KeyRange) Bounds() (lo, hi []byte) {
	switch {
	case r.IsSingle():
		hi = make([]byte, len(r.Key)+1)
		copy(hi, r.Key)
		return r.Key, hi
	case r.IsFromKey():
		return r.Key, nil
	}
	return r.Key, r.End
}
