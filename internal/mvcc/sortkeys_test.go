package mvcc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"keelson/internal/revlog"
)

// plainOrder is what sortByKey has to return.
func plainOrder(metas []revlog.Meta) []uint32 {
	want := make([]uint32, len(metas))
	for i := range want {
		want[i] = uint32(i)
	}
	slices.SortStableFunc(want, func(a, b uint32) int { return bytes.Compare(metas[a].Key, metas[b].Key) })
	return want
}

func TestSortByKey(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		metas := make([]revlog.Meta, rnd.IntN(200))
		letters := 1 + rnd.IntN(3)
		for i := range metas {
			key := []byte("/registry/"[:rnd.IntN(2)*10])
			for range rnd.IntN(24) {
				key = append(key, byte(rnd.IntN(letters)))
			}
			metas[i].Key = key
		}
		if got, want := sortByKey(metas), plainOrder(metas); !slices.Equal(got, want) {
			t.Fatalf("round %d:\n%v\nwant\n%v", round, got, want)
		}
	}
}

// FuzzSortByKey sorts keys cut out of the input at each 0xff.
func FuzzSortByKey(f *testing.F) {
	f.Add([]byte("a\xffb\xffa"))
	f.Add(bytes.Repeat([]byte("a\x00\xffa\xffa\x00\x00\x00\x00\x00\x00\x00\x00\xff"), 9))
	f.Fuzz(func(t *testing.T, b []byte) {
		var metas []revlog.Meta
		for _, key := range bytes.Split(b, []byte{0xff}) {
			metas = append(metas, revlog.Meta{Key: key})
		}
		if got, want := sortByKey(metas), plainOrder(metas); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func BenchmarkSortByKey(b *testing.B) {
	metas := make([]revlog.Meta, 1_000_000)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range metas {
		metas[i].Key = fmt.Appendf(nil, "/registry/pods/namespace-%d/pod-%08x", rnd.IntN(50), rnd.Uint32())
	}
	for b.Loop() {
		sortByKey(metas)
	}
}
