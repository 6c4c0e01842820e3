package mvcc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"keelson/internal/base"
)

// pickKey is the key sequence behind etcd's golden hashes.
func pickKey(i int64) string {
	switch {
	case i%142 == 30:
		return "zenek"
	case i%71 == 30:
		return "xavery"
	}
	return []string{"alice", "bob", "celine", "dominik", "eve", "frederica", "gorge"}[i%7]
}

// goldenHash is a row of the tables in etcd's server/storage/mvcc/hash_test.go:
// values, as that file says, whose change would be a catastrophe.
type goldenHash struct {
	hash              uint32
	compact, revision int64
}

var goldenMid = []goldenHash{
	{4082599214, -1, 35}, {2279933401, 35, 106}, {3284231217, 106, 177}, {126286495, 177, 248},
	{900108730, 248, 319}, {2475485232, 319, 390}, {1226296507, 390, 461}, {2503661030, 461, 532},
	{4155130747, 532, 603}, {106915399, 603, 674}, {406914006, 674, 745}, {1882211381, 745, 816},
	{806177088, 816, 887}, {664311366, 887, 958}, {1496914449, 958, 1029}, {2434525091, 1029, 1100},
	{3988652253, 1100, 1171}, {1122462288, 1171, 1242}, {724436716, 1242, 1883},
}

var goldenLast = []goldenHash{
	{1913897190, -1, 73}, {224860069, 73, 145}, {1565167519, 145, 217}, {1566261620, 217, 289},
	{2037173024, 289, 361}, {691659396, 361, 433}, {2713730748, 433, 505}, {3919322507, 505, 577},
	{769967540, 577, 649}, {2909194793, 649, 721}, {1576921157, 721, 793}, {4067701532, 793, 865},
	{2226384237, 865, 937}, {2923408134, 937, 1009}, {2680329256, 1009, 1081}, {1546717673, 1081, 1153},
	{2713657846, 1153, 1225}, {1046575299, 1225, 1297}, {2017735779, 1297, 2508},
}

// TestGoldenHashes replays what produced etcd's tables. How far a compaction
// has come must not matter: once nothing is removed, once everything.
func TestGoldenHashes(t *testing.T) {
	const cycle, total = 71, 1210
	for _, physical := range []bool{false, true} {
		for name, golden := range map[string][]goldenHash{"mid": goldenMid, "last": goldenLast} {
			t.Run(fmt.Sprintf("%s physical %v", name, physical), func(t *testing.T) {
				m := newMember(t)
				var got []goldenHash
				check := func(rev int64) {
					h, _, err := m.HashKV(context.Background(), rev)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, goldenHash{h.Hash, h.CompactRev, h.Revision})
					if err := m.Compact(h.Revision); err != nil {
						t.Fatal(err)
					}
					m.Publish()
					if physical {
						m.finish(10)
					}
				}
				rounds := func(from, count int64) {
					for i := from; i <= from+count; i++ {
						m.put(pickKey(i), fmt.Sprint(i))
					}
					switch {
					case name == "last":
						check(0)
					default:
						check(from + count/2)
					}
				}
				rev := int64(0)
				for ; rev < total; rev += cycle {
					rounds(rev, cycle)
				}
				rounds(rev, total)
				if !slices.Equal(got, golden) {
					t.Errorf("got  %v\nwant %v", got, golden)
				}
			})
		}
	}
}

// TestCompactionHashEqualsHash: the cached hash of a compaction is the one that
// HashKV gave before it.
func TestCompactionHashEqualsHash(t *testing.T) {
	m := newMember(t)
	var want []KVHash
	for i := int64(0); i < 1210; i++ {
		if i%67 == 0 {
			m.del(pickKey(i + 83))
		} else {
			m.put(pickKey(i), fmt.Sprint(i))
		}
		if i%71 != 70 {
			continue
		}
		h, _, err := m.HashKV(context.Background(), 0)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, h)
		m.compact(m.Revision())
	}
	// Only the ten highest are kept.
	want = want[len(want)-maxCachedHashes:]
	for _, h := range want {
		got, current, err := m.HashKV(context.Background(), h.Revision)
		if err != nil || got != h || current != m.Revision() {
			t.Errorf("cached hash of %d: %+v current %d, %v; want %+v", h.Revision, got, current, err, h)
		}
	}
	m.reopen()
	for _, h := range want {
		if got, _, err := m.HashKV(context.Background(), h.Revision); err != nil || got != h {
			t.Errorf("cached hash of %d after a restart: %+v, %v; want %+v", h.Revision, got, err, h)
		}
	}
}

// TestHashWithinBytes: with more live bytes than the bound no hash is cached.
func TestHashWithinBytes(t *testing.T) {
	m := newMember(t)
	m.Store.cfg.HashMaxBytes = 1000
	m.put("a", "small")
	m.compact(2)
	if _, ok := m.hashes.get(2); !ok {
		t.Error("a small store was not hashed")
	}
	m.put("a", strings.Repeat("x", 1000))
	m.compact(3)
	if _, ok := m.hashes.get(3); ok {
		t.Error("a large store was hashed")
	}
}

// TestHashesBounded: while one hash is computed and one waits, a further
// compaction is not hashed, and its view is let go.
func TestHashesBounded(t *testing.T) {
	m := newMember(t)
	m.put("a", "1")
	m.hashes.mu.Lock()
	m.hashes.mu.busy = true // as if a slow one were under way
	m.hashes.mu.Unlock()
	v := m.View()
	defer v.Release()
	before := v.refs.Load()
	for rev := int64(2); rev < 5; rev++ {
		m.hashes.submit(m.View(), scheduled{at: rev, prev: rev - 1, hash: true})
	}
	if got := v.refs.Load(); got != before+1 {
		t.Errorf("%d references, want %d: one job waits", got, before+1)
	}
	m.hashes.close()
	if got := v.refs.Load(); got != before {
		t.Errorf("%d references after close, want %d", got, before)
	}
	m.hashes.submit(m.View(), scheduled{at: 9})
	if got := v.refs.Load(); got != before {
		t.Errorf("%d references after a late submit, want %d", got, before)
	}
}

// TestHashAwaited: a hash that is asked for while it is computed is the one
// under the compaction before, not one under the compaction that has just ended.
func TestHashAwaited(t *testing.T) {
	m := newMember(t)
	m.put("a", "1")
	m.put("a", "2")
	want, _, err := m.HashKV(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	slow := &hashJob{view: m.View(), c: scheduled{at: 3, prev: NeverCompacted, hash: true}, ended: make(chan struct{})}
	m.hashes.mu.Lock()
	m.hashes.mu.busy, m.hashes.mu.running = true, slow
	m.hashes.mu.Unlock()

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := m.HashKV(ctx, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request waited: %v", err)
	}
	answer := make(chan KVHash)
	go func() {
		h, _, err := m.HashKV(context.Background(), 3)
		if err != nil {
			t.Error(err)
		}
		answer <- h
	}()
	m.hashes.idle.Add(1)
	go m.hashes.run(slow)
	if got := <-answer; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	m.hashes.idle.Wait()
}

func TestCancelledHash(t *testing.T) {
	m := newMemberOpts(t, revlogOptions(1<<20))
	tx := m.Begin()
	for i := range 2 * ctxEvery {
		if err := tx.Put(fmt.Appendf(nil, "k%06d", i), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	tx.End()
	m.Publish()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := m.HashKV(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("HashKV: %v", err)
	}
	if _, _, err := m.Hash(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Hash: %v", err)
	}
	v := m.View()
	defer v.Release()
	for _, rev := range []int64{0, 2} {
		o := RangeOptions{KeyRange: base.KeyRange{Key: []byte{0}, End: []byte{0}}, Revision: rev}
		if _, err := v.Range(ctx, o); !errors.Is(err, context.Canceled) {
			t.Errorf("Range at %d: %v", rev, err)
		}
	}
}

// TestHashIgnoresProgress: Hash does not depend on how far a compaction or a
// restart has come.
func TestHashIgnoresProgress(t *testing.T) {
	m := newMember(t)
	for i := range int64(200) {
		m.put(pickKey(i), fmt.Sprint(i))
	}
	m.del("alice")
	m.put("bob", "after")
	if err := m.Compact(m.Revision() - 1); err != nil {
		t.Fatal(err)
	}
	m.Publish()
	want, _, err := m.Hash(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if got, rev, err := m.Hash(context.Background()); err != nil || got != want || rev != m.Revision() {
			t.Errorf("%s: %d at %d, %v; want %d", when, got, rev, err, want)
		}
	}
	if _, err := m.CompactStep(50); err != nil {
		t.Fatal(err)
	}
	check("in the middle")
	m.finish(50)
	check("at the end")
	m.reopen()
	check("after a restart")
}

func FuzzHashSection(f *testing.F) {
	h := newHashCache(nil, []KVHash{{1, -1, 5}, {2, 5, 9}})
	f.Add(h.encode())
	f.Add([]byte{})
	f.Add([]byte{hashSectionVersion})
	f.Add([]byte{9, 1, 2})
	f.Add(bytes.Repeat([]byte{1}, 1+2*hashEntryBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		hs, err := decodeHashes(b)
		if err != nil {
			return
		}
		again, err := decodeHashes(newHashCache(nil, hs).encode())
		if err != nil || !slices.Equal(again, hs) {
			t.Errorf("%v became %v, %v", hs, again, err)
		}
	})
}
