package keyindex

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"

	"keelson/internal/base"
)

// randomKeys returns n distinct keys of 40 random bytes: no prefix to share.
func randomKeys(n int) [][]byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	keys := make([][]byte, n)
	for i := range keys {
		k := make([]byte, 0, 40)
		for range 5 {
			k = binary.BigEndian.AppendUint64(k, r.Uint64())
		}
		keys[i] = k
	}
	return keys
}

// pathKeys returns n keys of 40 bytes as Kubernetes makes them, in order.
func pathKeys(n int) [][]byte {
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "/registry/pods/namespace-%04d/pod-%06d", i/1000, i)
	}
	return keys
}

func sortKeys(keys [][]byte) [][]byte {
	sort.Slice(keys, func(i, j int) bool { return string(keys[i]) < string(keys[j]) })
	return keys
}

// fill puts the keys in the order given, with a Freeze after every batch.
func fill(keys [][]byte, batch int) *Tree {
	t := New()
	for i, k := range keys {
		t.Put(k, putEntry(int64(i+2)))
		if (i+1)%batch == 0 {
			t.Freeze()
		}
	}
	return t
}

const benchKeys = 1_000_000

var keySets = []struct {
	name string
	make func(n int) [][]byte
}{{"random", randomKeys}, {"paths", pathKeys}}

func BenchmarkPutNew(b *testing.B) {
	for _, set := range keySets {
		keys := set.make(benchKeys)
		for _, batch := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/freeze=%d", set.name, batch), func(b *testing.B) {
				b.ReportAllocs()
				t := New()
				for i := 0; b.Loop(); i++ {
					if i%benchKeys == 0 {
						t = New()
					}
					t.Put(keys[i%benchKeys], putEntry(int64(i+2)))
					if i%batch == 0 {
						t.Freeze()
					}
				}
			})
		}
	}
}

func BenchmarkPutExisting(b *testing.B) {
	for _, set := range keySets {
		keys := set.make(benchKeys)
		t := fill(keys, 1000)
		rev := int64(benchKeys + 10)
		for _, batch := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/freeze=%d", set.name, batch), func(b *testing.B) {
				b.ReportAllocs()
				r := rand.New(rand.NewPCG(2, 2))
				for i := 0; b.Loop(); i++ {
					rev++
					t.Put(keys[r.IntN(benchKeys)], putEntry(rev))
					if i%batch == 0 {
						t.Freeze()
					}
				}
			})
		}
	}
}

// BenchmarkPutHot writes one key all the time, without any compaction.
func BenchmarkPutHot(b *testing.B) {
	b.ReportAllocs()
	keys := pathKeys(1000)
	t := fill(keys, 100)
	for i := 0; b.Loop(); i++ {
		t.Put(keys[500], putEntry(int64(i+2000)))
		if i%100 == 0 {
			t.Freeze()
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for _, set := range keySets {
		keys := set.make(benchKeys)
		root := fill(keys, 1000).Freeze()
		b.Run(set.name, func(b *testing.B) {
			b.ReportAllocs()
			r := rand.New(rand.NewPCG(3, 3))
			for b.Loop() {
				if _, ok := root.Get(keys[r.IntN(benchKeys)]); !ok {
					b.Fatal("a key is missing")
				}
			}
		})
	}
}

func BenchmarkScan500(b *testing.B) {
	for _, set := range keySets {
		keys := set.make(benchKeys)
		root := fill(keys, 1000).Freeze()
		b.Run(set.name, func(b *testing.B) {
			b.ReportAllocs()
			r := rand.New(rand.NewPCG(4, 4))
			for b.Loop() {
				n := 0
				root.Scan(keys[r.IntN(benchKeys)], nil, func([]byte, Entry) bool {
					n++
					return n < 500
				})
			}
		})
	}
}

func BenchmarkCount(b *testing.B) {
	keys := sortKeys(randomKeys(benchKeys))
	root := fill(keys, 1000).Freeze()
	b.ReportAllocs()
	r := rand.New(rand.NewPCG(5, 5))
	for b.Loop() {
		i, j := r.IntN(benchKeys), r.IntN(benchKeys)
		if n := root.Count(keys[i], keys[j]); n != int64(max(j-i, 0)) {
			b.Fatalf("Count = %d, want %d", n, j-i)
		}
	}
}

// BenchmarkCompact overwrites all keys once and then drops the old versions.
func BenchmarkCompact(b *testing.B) {
	keys := pathKeys(100_000)
	t := fill(keys, 1000)
	b.ReportAllocs()
	rev, i := int64(len(keys)+10), len(keys)
	for n := 0; b.Loop(); n++ {
		if i == len(keys) {
			b.StopTimer()
			for _, k := range keys {
				rev++
				t.Put(k, putEntry(rev))
			}
			i = 0
			b.StartTimer()
		}
		t.Compact(keys[i], rev, func(base.Revision) {})
		i++
		if n%100 == 0 {
			t.Freeze()
		}
	}
}

func BenchmarkLoader1M(b *testing.B) {
	for _, set := range keySets {
		keys := sortKeys(set.make(benchKeys))
		b.Run(set.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l := NewLoader()
				for i, k := range keys {
					l.Add(k, nil, putEntry(int64(i+2)))
				}
				l.Tree()
			}
		})
	}
}
