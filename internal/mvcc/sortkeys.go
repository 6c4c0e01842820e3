package mvcc

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sync"

	"keelson/internal/revlog"
)

// Sorting a million keys by bytes.Compare takes most of the time of Open: each
// comparison follows two pointers into cold memory and walks over a prefix that
// all keys share. sortByKey compares 8 bytes at a time, which it keeps beside
// the position, and looks at the next 8 bytes only among keys that agree in all
// before (a radix sort with a wide digit). For 1M random keys
// "/registry/pods/namespace-.." on two busy cores: 0.5 s against 1.3 s.

// keyDigit is one record to sort: 8 bytes of its key and its position.
type keyDigit struct {
	digit uint64
	pos   uint32
}

// sortByKey returns the positions of metas ordered by key, then by position.
// Two halves are sorted at the same time and merged.
func sortByKey(metas []revlog.Meta) []uint32 {
	digits := make([]keyDigit, len(metas))
	for i := range digits {
		digits[i].pos = uint32(i)
	}
	skip := sharedPrefix(metas)
	half := len(digits) / 2
	var other sync.WaitGroup
	other.Go(func() { sortDigits(metas, digits[half:], skip) })
	sortDigits(metas, digits[:half], skip)
	other.Wait()
	return merge(metas, digits[:half], digits[half:])
}

// sharedPrefix is the length of the prefix that all keys share.
func sharedPrefix(metas []revlog.Meta) int {
	if len(metas) == 0 {
		return 0
	}
	prefix := metas[0].Key
	for i := range metas {
		key := metas[i].Key
		if bytes.HasPrefix(key, prefix) {
			continue
		}
		n := 0
		for n < len(key) && key[n] == prefix[n] {
			n++
		}
		prefix = prefix[:n]
	}
	return len(prefix)
}

// sortDigits sorts records whose keys agree in the first depth bytes.
func sortDigits(metas []revlog.Meta, ds []keyDigit, depth int) {
	if len(ds) <= fewKeys {
		slices.SortFunc(ds, func(a, b keyDigit) int {
			return cmp.Or(bytes.Compare(metas[a.pos].Key[depth:], metas[b.pos].Key[depth:]), cmp.Compare(a.pos, b.pos))
		})
		return
	}
	for i := range ds {
		ds[i].digit = digitAt(metas[ds[i].pos].Key, depth)
	}
	slices.SortFunc(ds, func(a, b keyDigit) int {
		if a.digit != b.digit {
			return cmp.Compare(a.digit, b.digit)
		}
		return cmp.Compare(a.pos, b.pos)
	})
	for from := 0; from < len(ds); {
		to := from + 1
		for to < len(ds) && ds[to].digit == ds[from].digit {
			to++
		}
		sortEqualDigit(metas, ds[from:to], depth)
		from = to
	}
}

// fewKeys is where comparing whole keys is cheaper than another digit.
const fewKeys = 12

// sortEqualDigit sorts on behind a digit that is the same in all. Keys that end
// inside it were padded with zeros and may differ in length only: they come
// first, the shorter before the longer, and then those that go on.
func sortEqualDigit(metas []revlog.Meta, ds []keyDigit, depth int) {
	if len(ds) < 2 {
		return
	}
	rest := ds
	ended := func(d keyDigit) int { return min(len(metas[d.pos].Key)-depth, digitBytes+1) }
	if slices.ContainsFunc(ds, func(d keyDigit) bool { return ended(d) <= digitBytes }) {
		slices.SortFunc(ds, func(a, b keyDigit) int {
			return cmp.Or(cmp.Compare(ended(a), ended(b)), cmp.Compare(a.pos, b.pos))
		})
		longer, _ := slices.BinarySearchFunc(ds, digitBytes+1, func(d keyDigit, n int) int { return cmp.Compare(ended(d), n) })
		rest = ds[longer:]
	}
	if len(rest) > 1 {
		sortDigits(metas, rest, depth+digitBytes)
	}
}

const digitBytes = 8

// digitAt is the big-endian number in key[depth:depth+8], zeros behind the end.
func digitAt(key []byte, depth int) uint64 {
	key = key[depth:]
	if len(key) >= digitBytes {
		return binary.BigEndian.Uint64(key)
	}
	var padded [digitBytes]byte
	copy(padded[:], key)
	return binary.BigEndian.Uint64(padded[:])
}

// merge joins two sorted halves; of equal keys those of a come first, they are
// older.
func merge(metas []revlog.Meta, a, b []keyDigit) []uint32 {
	out := make([]uint32, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if bytes.Compare(metas[a[0].pos].Key, metas[b[0].pos].Key) <= 0 {
			out = append(out, a[0].pos)
			a = a[1:]
		} else {
			out = append(out, b[0].pos)
			b = b[1:]
		}
	}
	for _, d := range a {
		out = append(out, d.pos)
	}
	for _, d := range b {
		out = append(out, d.pos)
	}
	return out
}
