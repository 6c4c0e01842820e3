package keyindex

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// edgeKeys are keys in which zero bytes, padding of heads and prefixes of one
// another meet; in ascending order.
var edgeKeys = []string{
	"", "\x00", "\x00\x00", "\x00\x00\x00\x00", "\x00\x00\x00\x00\x00", "\x00\x00\x00\x01", "\x00\x01",
	"a", "a\x00", "a\x00\x00\x00", "a\x00\x00\x00\x00", "aa", "aaaa", "aaaaa", "aaaab", "ab", "b",
	"\xff", "\xff\xff\xff\xff", "\xff\xff\xff\xff\x00", "\xff\xff\xff\xff\xff",
}

func split(keys []string) []splitKey {
	var list []splitKey
	for i, k := range keys {
		cut := i % (len(k) + 1) // parts of any length make the same key
		list = append(list, splitKey{[]byte(k[:cut]), []byte(k[cut:])})
	}
	return list
}

func contents(k keys) []string {
	var list []string
	for i := range k.count() {
		list = append(list, string(joined(k.key(i))))
	}
	return list
}

// TestKeysSearch looks for every edge key in the set of every second one, under
// several common prefixes.
func TestKeysSearch(t *testing.T) {
	if i, ok := keys(nil).search([]byte("k")); i != 0 || ok {
		t.Errorf("search in no keys = %d, %v", i, ok)
	}
	for _, prefix := range []string{"", "\x00", "/registry/pods/", strings.Repeat("p", 70_000)} {
		var in, all []string
		for i, k := range edgeKeys {
			all = append(all, prefix+k)
			if i%2 == 1 {
				in = append(in, prefix+k)
			}
		}
		all = append(all, "", "\x00", prefix[:len(prefix)/2], prefix+"\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\xff\xff\xff\xff")
		set := pack(split(in))
		if err := checkKeys(set, nil, nil); err != nil {
			t.Fatalf("prefix of %d bytes: %v", len(prefix), err)
		}
		for _, k := range all {
			want, found := slices.BinarySearch(in, k)
			if got, ok := set.search([]byte(k)); got != want || ok != found {
				t.Errorf("prefix of %d bytes: search(%.40q) = %d, %v, want %d, %v", len(prefix), k, got, ok, want, found)
			}
		}
	}
}

// TestKeysInsertRemove adds the edge keys in random orders, by insert where it can and by
// pack where it must, takes them away again, and compares after each step.
func TestKeysInsertRemove(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		prefix := []string{"", "common/"}[seed%2]
		var want []string
		var set keys
		for _, p := range r.Perm(len(edgeKeys)) {
			k := prefix + edgeKeys[p]
			i, _ := slices.BinarySearch(want, k)
			want = slices.Insert(want, i, k)
			next, ok := keys(nil), false
			if len(set) > 0 {
				next, ok = set.insert(i, []byte(k))
			}
			if !ok {
				next = pack(split(want))
			}
			set = next
			if got := contents(set); !slices.Equal(got, want) {
				t.Fatalf("seed %d: after insert of %q: %q, want %q", seed, k, got, want)
			}
			if err := checkKeys(set, nil, nil); err != nil {
				t.Fatalf("seed %d: after insert of %q: %v", seed, k, err)
			}
		}
		for len(want) > 0 {
			i := r.IntN(len(want))
			want = slices.Delete(want, i, i+1)
			before := bytes.Clone(set)
			next := set.remove(i)
			if !bytes.Equal(before, set) {
				t.Fatalf("seed %d: remove changed the block it was called on", seed)
			}
			set = next
			if got := contents(set); !slices.Equal(got, want) {
				t.Fatalf("seed %d: after remove of %d: %q, want %q", seed, i, got, want)
			}
			if err := checkKeys(set, nil, nil); err != nil {
				t.Fatalf("seed %d: after remove of %d: %v", seed, i, err)
			}
		}
	}
}

func TestSeparator(t *testing.T) {
	for i, left := range edgeKeys {
		for _, right := range edgeKeys[i+1:] {
			sep := string(separator(split([]string{left})[0], split([]string{right})[0]))
			if sep <= left || sep > right || !strings.HasPrefix(right, sep) {
				t.Errorf("separator(%q, %q) = %q", left, right, sep)
			}
		}
	}
}
