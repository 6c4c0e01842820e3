package mvcc

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"keelson/internal/base"
	"keelson/internal/revlog"
	"keelson/internal/vfs"
)

var everything = base.KeyRange{Key: []byte{0}, End: []byte{0}}

// TestCorruptRecord: a damaged record is an error that names the file, from
// every path that reads it, and never wrong bytes. What needs only the index
// goes on.
func TestCorruptRecord(t *testing.T) {
	fs := vfs.NewMem()
	m := newMemberOpts(t, revlog.Options{FS: fs, SegmentBytes: 4 << 10, TailBytes: 512})
	m.put("a", "first")
	m.put("a", strings.Repeat("damaged", 20))
	m.put("b", "fine")
	for range 40 {
		m.put("c", strings.Repeat("filler", 20))
	}
	c := m.checkpoint()
	m.close()
	if !flip(t, fs, []byte("damageddamaged")) {
		t.Fatal("the value is in no segment")
	}
	m.restart(c)

	v := m.View()
	defer v.Release()
	check := func(what string, err error) {
		t.Helper()
		var damage *revlog.CorruptError
		if !errors.As(err, &damage) || damage.File == "" {
			t.Errorf("%s: %v, want a *revlog.CorruptError", what, err)
		}
	}
	ctx := context.Background()
	_, err := v.Range(ctx, RangeOptions{KeyRange: base.KeyRange{Key: []byte("a")}})
	check("Range of one key", err)
	_, err = v.Range(ctx, RangeOptions{KeyRange: everything})
	check("Range", err)
	_, err = v.Range(ctx, RangeOptions{KeyRange: everything, SortTarget: TargetValue})
	check("Range by value", err)
	_, err = v.Range(ctx, RangeOptions{KeyRange: everything, SortTarget: TargetMod, SortOrder: SortDescend})
	check("Range by mod revision", err)
	_, err = v.Range(ctx, RangeOptions{KeyRange: everything, Revision: 4, KeysOnly: true})
	check("Range of old keys", err)
	_, _, err = v.KV([]byte("a"))
	check("KV", err)
	_, _, err = v.KVAt(base.Revision{Main: 3})
	check("KVAt", err)
	check("Scan", v.Scan(0, 100, func(Event) bool { return true }))
	_, _, err = m.HashKV(ctx, 0)
	check("HashKV", err)
	st := m.Stream(RangeOptions{KeyRange: everything})
	defer st.Close()
	_, err = st.Next(ctx, 10)
	check("Stream", err)

	if res, err := v.Range(ctx, RangeOptions{KeyRange: everything, KeysOnly: true}); err != nil || len(res.KVs) != 3 {
		t.Errorf("keys only: %d keys, %v", len(res.KVs), err)
	}
	tx := m.Begin()
	if err := tx.Put([]byte("a"), []byte("new"), 0); err != nil {
		t.Errorf("put over the damaged record: %v", err)
	}
	tx.End()
	m.Publish()
	if err := m.Compact(m.Revision()); err != nil {
		t.Fatal(err)
	}
	m.Publish()
	_, err = m.CompactStep(1000)
	check("CompactStep", err)
	m.hashes.idle.Wait()
	if _, ok := m.hashes.get(m.Revision()); ok {
		t.Error("a compaction with a damaged record was hashed")
	}
}

// flip inverts a bit in the first segment that holds the bytes.
func flip(t *testing.T, fs vfs.FS, what []byte) bool {
	t.Helper()
	names, err := fs.List("revlog")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := fs.OpenReadWrite("revlog/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		size, err := f.Size()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, size)
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, what); at >= 0 && strings.HasSuffix(name, ".seg") {
			if _, err := f.WriteAt([]byte{b[at] ^ 1}, int64(at)); err != nil {
				t.Fatal(err)
			}
			return true
		}
	}
	return false
}

// TestFailedAppend: the first write error comes back from the change that met
// it and from every later one.
func TestFailedAppend(t *testing.T) {
	fs := vfs.NewFaulty(vfs.NewMem())
	m := newMemberOpts(t, revlog.Options{FS: fs, SegmentBytes: 64 << 10, TailBytes: 256})
	m.put("a", "1")
	broken := errors.New("the disk is on fire")
	fs.Inject(vfs.Rule{Op: vfs.OpWrite, Name: "*.seg", Err: broken})
	tx := m.Begin()
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = tx.Put([]byte("a"), bytes.Repeat([]byte("x"), 100), 0)
	}
	if !errors.Is(err, broken) {
		t.Fatalf("put: %v", err)
	}
	if _, err := tx.Delete([]byte("a")); !errors.Is(err, broken) {
		t.Errorf("delete: %v", err)
	}
	if _, err := tx.DeleteRange(everything); !errors.Is(err, broken) {
		t.Errorf("delete range: %v", err)
	}
	tx.End()
	m.Store.Close()
	m.Store = nil
	if err := m.log.Close(); err == nil {
		t.Log("the log closes without an error after it has failed")
	}
}

func TestOpenRefuses(t *testing.T) {
	m := newMember(t)
	for name, p := range map[string]Position{
		"revision 0":       {CompactRev: NeverCompacted, Scheduled: NeverCompacted},
		"compact below -1": {Revision: 5, CompactRev: -2},
		"bad hash cache":   {Revision: 5, CompactRev: NeverCompacted, Scheduled: NeverCompacted, HashCache: []byte{hashSectionVersion, 1}},
	} {
		if s, err := Open(m.cfg, p); err == nil {
			s.Close()
			t.Errorf("%s was accepted", name)
		}
	}
}

// TestMisusePanics: calls out of order are bugs and show at once.
func TestMisusePanics(t *testing.T) {
	must := func(what string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s did not panic", what)
			}
		}()
		f()
	}
	m := newMember(t)
	m.put("a", "1")
	tx := m.Begin()
	must("a second Begin", func() { m.Begin() })
	must("Publish inside a transaction", func() { m.Publish() })
	must("Compact inside a transaction", func() { _ = m.Compact(1) })
	if err := tx.Put([]byte("a"), nil, 0); err != nil {
		t.Fatal(err)
	}
	tx.End()
	must("Put after End", func() { _ = tx.Put([]byte("a"), nil, 0) })
	must("Capture before Publish", func() { m.Capture() })
	must("CompactStep before Publish", func() { _, _ = m.CompactStep(1) })
	m.Publish()
	v := m.View()
	v.Release()
	m.Store.Close()
	must("View after Close", func() { m.View() })
	must("Release twice", func() { v.Release() })
	m.Store = nil
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
}
