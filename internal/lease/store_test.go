package lease

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"keelson/internal/base"
	"keelson/internal/errs"
)

func TestGrantRules(t *testing.T) {
	s := NewStore(2)
	for _, c := range []struct {
		id   base.LeaseID
		ttl  int64
		want int64
		err  error
	}{
		{1, 60, 60, nil},
		{2, 2, 2, nil},
		{3, 1, 2, nil},     // raised to the shortest
		{4, 0, 2, nil},     // zero too
		{-5, -100, 2, nil}, // a negative TTL, and a negative ID, which is used as it is
		{6, MaxTTL, MaxTTL, nil},
		{7, MaxTTL + 1, 0, errs.ErrLeaseTTLTooLarge},
		{1, 60, 0, errs.ErrLeaseExist},
		{1, MaxTTL + 1, 0, errs.ErrLeaseTTLTooLarge}, // looked at before the ID
		{0, 60, 0, errs.ErrLeaseNotFound},
	} {
		in, err := s.Grant(c.id, c.ttl)
		if !errors.Is(err, c.err) || in.TTL != c.want || in.Remaining != 0 {
			t.Errorf("Grant(%d, %d) = %+v, %v; want TTL %d, %v", c.id, c.ttl, in, err, c.want, c.err)
		}
	}
	if s.Len() != 6 {
		t.Errorf("%d leases, want 6: a refused grant must leave nothing", s.Len())
	}
	if seconds(MaxTTL) <= 0 {
		t.Error("the longest TTL overflows a Duration")
	}
}

func TestMoveAttachesAndDetaches(t *testing.T) {
	s := NewStore(1)
	for id := range base.LeaseID(3) {
		if _, err := s.Grant(id+1, 10); err != nil {
			t.Fatal(err)
		}
	}
	keys := func(id base.LeaseID) []string {
		k, ok := s.Keys(id)
		if !ok {
			t.Fatalf("lease %d is gone", id)
		}
		return k
	}
	for _, k := range []string{"b", "a\x00", "a", "\xff", "c"} {
		s.Move([]byte(k), 0, 1)
	}
	if got := keys(1); !reflect.DeepEqual(got, []string{"a", "a\x00", "b", "c", "\xff"}) {
		t.Fatalf("keys %q are not in byte order", got)
	}
	s.Move([]byte("b"), 1, 2)    // to another lease
	s.Move([]byte("c"), 1, 0)    // to none
	s.Move([]byte("a"), 1, 1)    // stays
	s.Move([]byte("x"), 9, 3)    // from one that is gone
	s.Move([]byte("\xff"), 1, 9) // to one that does not exist
	if got := keys(1); !reflect.DeepEqual(got, []string{"a", "a\x00"}) {
		t.Fatalf("lease 1 holds %q", got)
	}
	if !reflect.DeepEqual(keys(2), []string{"b"}) || !reflect.DeepEqual(keys(3), []string{"x"}) {
		t.Fatalf("lease 2 holds %q, lease 3 %q", keys(2), keys(3))
	}
	s.Move([]byte("b"), 2, 1)
	if err := s.Revoke(2); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(keys(1), []string{"a", "a\x00", "b"}) {
		t.Fatalf("revoking the former lease took a key away: %q", keys(1))
	}
}

func TestKeyBytesAreCopied(t *testing.T) {
	s := NewStore(1)
	if _, err := s.Grant(1, 10); err != nil {
		t.Fatal(err)
	}
	key := []byte("key")
	s.Move(key, 0, 1)
	key[0] = 'X' // the entry's buffer is used again
	if got, _ := s.Keys(1); !reflect.DeepEqual(got, []string{"key"}) {
		t.Fatalf("the store kept the caller's bytes: %q", got)
	}
}

func TestRevoke(t *testing.T) {
	s := NewStore(1)
	if _, err := s.Grant(1, 10); err != nil {
		t.Fatal(err)
	}
	gone, ok := s.Gone(1)
	if !ok {
		t.Fatal("the lease is not there")
	}
	select {
	case <-gone:
		t.Fatal("gone too early")
	default:
	}
	if err := s.Revoke(1); err != nil {
		t.Fatal(err)
	}
	<-gone
	if err := s.Revoke(1); !errors.Is(err, errs.ErrLeaseNotFound) {
		t.Fatalf("second revoke: %v", err)
	}
	if _, ok := s.Gone(1); ok {
		t.Fatal("a revoked lease is still there")
	}
	if _, ok := s.Keys(1); ok {
		t.Fatal("a revoked lease has keys")
	}
	// The same ID again is another lease, whose own end is still to come.
	if _, err := s.Grant(1, 10); err != nil {
		t.Fatal(err)
	}
	if again, _ := s.Gone(1); again == gone {
		t.Fatal("the new lease shares the old one's end")
	}
}

func TestCheckpoint(t *testing.T) {
	s := NewStore(1)
	in, err := s.Grant(1, 100)
	if err != nil {
		t.Fatal(err)
	}
	if in.Left() != 100 {
		t.Fatalf("left %d of a fresh lease", in.Left())
	}
	s.Checkpoint(1, 40)
	s.Checkpoint(2, 40) // unknown: ignored
	if in, _ := s.Lookup(1); in.Remaining != 40 || in.Left() != 40 || in.TTL != 100 {
		t.Fatalf("%+v", in)
	}
	s.Checkpoint(1, -7)
	if in, _ := s.Lookup(1); in.Remaining != 0 || in.Left() != 100 {
		t.Fatalf("a negative remaining TTL is none: %+v", in)
	}
	if s.Len() != 1 {
		t.Fatal("checkpointing an unknown lease made one")
	}
}

// sample is a store with leases of all sorts.
func sample(t testing.TB, n int, seed uint64) *Store {
	s := NewStore(2)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range n {
		id := base.LeaseID(rng.Uint64())
		if _, err := s.Grant(id, rng.Int64N(MaxTTL+1)); err != nil {
			t.Fatal(err)
		}
		if rng.IntN(3) == 0 {
			s.Checkpoint(id, rng.Int64N(1000))
		}
	}
	return s
}

func TestEncodeRestore(t *testing.T) {
	for _, n := range []int{0, 1, 2, 100} {
		s := sample(t, n, uint64(n))
		enc := s.AppendTo([]byte("before"))
		if string(enc[:6]) != "before" {
			t.Fatal("AppendTo overwrote what was there")
		}
		enc = enc[6:]
		got := sample(t, 3, 99) // what was there must be gone
		if err := got.Restore(enc); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.All(), s.All()) {
			t.Fatalf("%d leases: read back %v, want %v", n, got.All(), s.All())
		}
		if again := got.AppendTo(nil); !slices.Equal(again, enc) {
			t.Fatal("the encoding of an equal store differs")
		}
	}
}

// TestRestoreCut: a section cut anywhere, or with something behind it, is an
// error and changes nothing.
func TestRestoreCut(t *testing.T) {
	enc := sample(t, 20, 7).AppendTo(nil)
	for cut := range len(enc) {
		s := sample(t, 2, 3)
		before := s.All()
		if err := s.Restore(enc[:cut]); err == nil {
			t.Fatalf("cut at %d of %d was accepted", cut, len(enc))
		}
		if !slices.Equal(s.All(), before) {
			t.Fatalf("a refused section changed the store")
		}
	}
	if err := NewStore(1).Restore(append(enc, 0)); err == nil {
		t.Fatal("a byte too many was accepted")
	}
}

func FuzzRestore(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{1, 2, 120, 0})
	f.Add([]byte{2, 2, 120, 0, 2, 120, 0}) // the same lease twice
	f.Add([]byte{1, 0, 120, 0})            // lease 0
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add(sample(f, 5, 1).AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewStore(1)
		if s.Restore(b) != nil {
			return
		}
		again := NewStore(1)
		if err := again.Restore(s.AppendTo(nil)); err != nil {
			t.Fatalf("what was read is not written readably: %v", err)
		}
		if !slices.Equal(again.All(), s.All()) {
			t.Fatalf("%v became %v", s.All(), again.All())
		}
	})
}
