package app

import (
	"fmt"
	"testing"

	"keelson/internal/vfs"
)

// TestRestart: what was acknowledged is there after an orderly stop and after
// a stop without one, at the same revisions; IDs are those of a member started
// without flags.
func TestRestart(t *testing.T) {
	fs := vfs.NewMem()
	m := startMember(t, fs)
	if m.ID().String() != "8e9e05c52164694d" {
		t.Fatalf("member ID %s", m.ID())
	}
	for i := range 100 {
		if rev := put(t, m, fmt.Sprintf("k%02d", i%10), fmt.Sprint(i)); rev != int64(i+2) {
			t.Fatalf("put %d got revision %d", i, rev)
		}
	}
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}

	m = startMember(t, fs)
	if got := get(t, m, "k07"); len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "97" || got.Header.Revision != 101 {
		t.Fatalf("after an orderly stop: %v", got)
	}
	put(t, m, "k07", "after")
	crashed := fs.CrashClone(vfs.CrashLose, 1)
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}

	m = startMember(t, crashed)
	if got := get(t, m, "k07"); len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "after" || got.Header.Revision != 102 {
		t.Fatalf("after a power cut: %v", got)
	}
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
}
