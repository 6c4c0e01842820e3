package keyindex

import (
	"bytes"
	"encoding/binary"
	"math"
)

// keys is a sorted set of distinct keys in one immutable block of memory. It
// is never changed, so a node and its copies share it, and replacing it needs
// no notice to readers.
//
//	+---+------+------------+-----------+--------+----------+-----+
//	| n | plen | n x head   | n x end   | prefix | suffix 0 | ... |
//	+---+------+------------+-----------+--------+----------+-----+
//	  4    4     4 each       4 each      plen
//
// prefix is common to all keys. head is the first four bytes of a suffix, big
// endian and padded with zeros: a search reads the heads, which lie
// together, and touches suffixes only where heads are equal. end is where a suffix
// ends, counted from the first suffix. All integers are little endian.
//
// A nil block has no keys.
type keys []byte

const (
	keysHeader  = 8 // n and plen
	keyOverhead = 8 // head and end of one key
)

func (k keys) count() int {
	if len(k) == 0 {
		return 0
	}
	return int(binary.LittleEndian.Uint32(k))
}

func (k keys) prefixLen() int { return int(binary.LittleEndian.Uint32(k[4:])) }

func (k keys) prefix() []byte {
	at := keysHeader + keyOverhead*k.count()
	return k[at : at+k.prefixLen() : at+k.prefixLen()]
}

func (k keys) head(i int) uint32 { return binary.LittleEndian.Uint32(k[keysHeader+4*i:]) }

func (k keys) end(n, i int) int {
	return int(binary.LittleEndian.Uint32(k[keysHeader+4*(n+i):]))
}

// suffixes is where the first suffix starts in the block.
func (k keys) suffixes() int { return keysHeader + keyOverhead*k.count() + k.prefixLen() }

// suffixBytes is the length of all suffixes together.
func (k keys) suffixBytes() int { return len(k) - k.suffixes() }

// suffix is key i without the common prefix.
func (k keys) suffix(i int) []byte {
	n := k.count()
	at, from := k.suffixes(), 0
	if i > 0 {
		from = k.end(n, i-1)
	}
	to := k.end(n, i)
	return k[at+from : at+to : at+to]
}

// key is key i in its two parts.
func (k keys) key(i int) splitKey { return splitKey{k.prefix(), k.suffix(i)} }

// search returns the number of keys below key, and whether key is the next.
func (k keys) search(key []byte) (int, bool) {
	n := k.count()
	if n == 0 {
		return 0, false
	}
	prefix := k.prefix()
	if !bytes.HasPrefix(key, prefix) {
		if bytes.Compare(key, prefix) < 0 {
			return 0, false
		}
		return n, false
	}
	rest := key[len(prefix):]
	want := headOf(rest)
	heads := k[keysHeader : keysHeader+4*n]
	lo, hi := 0, n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		got := binary.LittleEndian.Uint32(heads[4*mid:])
		below := got < want
		if got == want {
			c := bytes.Compare(k.suffix(mid), rest)
			if c == 0 {
				return mid, true
			}
			below = c < 0
		}
		if below {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, false
}

// child returns which kid of an inner node, whose separators these are, is
// responsible for key: a separator is the lowest key its right side may hold.
func (k keys) child(key []byte) int {
	i, found := k.search(key)
	if found {
		i++
	}
	return i
}

// headOf returns the head of a suffix. Padding keeps the order (a<b gives
// head(a)<=head(b)) but not distinctness: "a" and "a\x00" have equal heads.
func headOf(s []byte) uint32 {
	if len(s) >= 4 {
		return binary.BigEndian.Uint32(s)
	}
	var h uint32
	for i := range s {
		h |= uint32(s[i]) << (24 - 8*i)
	}
	return h
}

// insert returns the set with key added as number i. It reports false, and
// does nothing, when the new set needs a shorter prefix or too many bytes:
// the caller then takes the long way through pack.
func (k keys) insert(i int, key []byte) (keys, bool) {
	n, prefix := k.count(), k.prefix()
	if !bytes.HasPrefix(key, prefix) {
		return nil, false
	}
	suffix := key[len(prefix):]
	if k.suffixBytes()+len(suffix) > maxSuffixBytes {
		return nil, false
	}
	out := make(keys, len(k)+keyOverhead+len(suffix))
	binary.LittleEndian.PutUint32(out, uint32(n+1))
	binary.LittleEndian.PutUint32(out[4:], uint32(len(prefix)))

	src, dst := keysHeader, keysHeader
	copy(out[dst:], k[src:src+4*i])
	binary.LittleEndian.PutUint32(out[dst+4*i:], headOf(suffix))
	copy(out[dst+4*i+4:], k[src+4*i:src+4*n])

	src, dst = src+4*n, dst+4*(n+1)
	copy(out[dst:], k[src:src+4*i])
	cut := 0
	if i > 0 {
		cut = k.end(n, i-1)
	}
	binary.LittleEndian.PutUint32(out[dst+4*i:], uint32(cut+len(suffix)))
	for j := i; j < n; j++ {
		binary.LittleEndian.PutUint32(out[dst+4*j+4:], uint32(k.end(n, j)+len(suffix)))
	}

	src, dst = src+4*n, dst+4*(n+1)
	at := len(prefix) + cut // the prefix travels with the suffixes before i
	copy(out[dst:], k[src:src+at])
	copy(out[dst+at:], suffix)
	copy(out[dst+at+len(suffix):], k[src+at:])
	return out, true
}

// remove returns the set without key i. The prefix stays, although the keys
// left may have a longer one in common: it costs a few bytes until the node is
// packed again.
func (k keys) remove(i int) keys {
	n := k.count()
	if n == 1 {
		return nil
	}
	gone := k.suffix(i)
	out := make(keys, len(k)-keyOverhead-len(gone))
	binary.LittleEndian.PutUint32(out, uint32(n-1))
	copy(out[4:keysHeader], k[4:])

	src, dst := keysHeader, keysHeader
	copy(out[dst:], k[src:src+4*i])
	copy(out[dst+4*i:], k[src+4*i+4:src+4*n])

	src, dst = src+4*n, dst+4*(n-1)
	copy(out[dst:], k[src:src+4*i])
	for j := i + 1; j < n; j++ {
		binary.LittleEndian.PutUint32(out[dst+4*j-4:], uint32(k.end(n, j)-len(gone)))
	}

	src, dst = src+4*n, dst+4*(n-1)
	at := k.prefixLen() + k.end(n, i) - len(gone)
	copy(out[dst:], k[src:src+at])
	copy(out[dst+at:], k[src+at+len(gone):])
	return out
}

// pack builds a set from sorted, distinct keys, at least one, with the longest prefix they
// have in common.
func pack(list []splitKey) keys {
	n := len(list)
	plen := commonPrefix(list)
	total := keysHeader + keyOverhead*n + plen
	for _, s := range list {
		total += s.len() - plen
	}
	if uint64(total) > math.MaxUint32 {
		panic("keyindex: the keys of one node exceed 4 GiB")
	}
	out := make(keys, total)
	binary.LittleEndian.PutUint32(out, uint32(n))
	binary.LittleEndian.PutUint32(out[4:], uint32(plen))
	at := keysHeader + keyOverhead*n
	at += list[0].copyRange(out[at:], 0, plen)
	first := at
	for i, s := range list {
		from := at
		at += s.copyRange(out[at:], plen, s.len())
		binary.LittleEndian.PutUint32(out[keysHeader+4*i:], headOf(out[from:at]))
		binary.LittleEndian.PutUint32(out[keysHeader+4*(n+i):], uint32(at-first))
	}
	return out
}

// commonPrefix is the length of the longest prefix of a sorted list.
func commonPrefix(list []splitKey) int { return list[0].common(list[len(list)-1]) }

// splitKey is a key in two parts, as it lies in a block: moving keys between
// nodes needs no joined copies, however long the keys are.
type splitKey struct{ prefix, suffix []byte }

func (s splitKey) len() int { return len(s.prefix) + len(s.suffix) }

// from is the longest contiguous part that starts at byte i.
func (s splitKey) from(i int) []byte {
	if i < len(s.prefix) {
		return s.prefix[i:]
	}
	return s.suffix[i-len(s.prefix):]
}

// copyRange copies bytes lo to hi of the key and returns their number.
func (s splitKey) copyRange(dst []byte, lo, hi int) int {
	at := lo
	for at < hi {
		part := s.from(at)
		at += copy(dst[at-lo:], part[:min(len(part), hi-at)])
	}
	return hi - lo
}

// common is the length of the longest common prefix of s and o.
func (s splitKey) common(o splitKey) int {
	n := 0
	for {
		a, b := s.from(n), o.from(n)
		m := min(len(a), len(b))
		for i := 0; i < m; i++ {
			if a[i] != b[i] {
				return n + i
			}
		}
		if m == 0 {
			return n
		}
		n += m
	}
}

// separator returns the shortest key that is above left and not above right.
func separator(left, right splitKey) []byte {
	sep := make([]byte, left.common(right)+1)
	right.copyRange(sep, 0, len(sep))
	return sep
}
