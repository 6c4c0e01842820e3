package vfs

import (
	"errors"
	"io/fs"
	"sync"
	"testing"
)

var errInjected = errors.New("injected")

func TestFaultyActsOnTheNthMatchingCall(t *testing.T) {
	f := NewFaulty(NewMem())
	rule := f.Inject(Rule{Op: OpCreate | OpRename, Name: "*.tmp", Nth: 2, Times: 1, Err: errInjected})
	must(t, WriteFile(f, "dir.txt", nil)) // another name
	must(t, WriteFile(f, "1.tmp", nil))
	err := WriteFile(f, "2.tmp", nil)
	wantErr(t, err, errInjected)
	var p *fs.PathError
	if !errors.As(err, &p) || p.Path != "2.tmp" || p.Op != "create" {
		t.Fatalf("error says %v", err)
	}
	must(t, WriteFile(f, "2.tmp", nil))
	if rule.Hits() != 1 {
		t.Fatalf("%d hits", rule.Hits())
	}
}

func TestFaultyEveryKindCanFail(t *testing.T) {
	f := NewFaulty(NewMem())
	must(t, WriteFile(f, "a", []byte("abc")))
	file, err := f.OpenReadWrite("a")
	must(t, err)
	f.Inject(Rule{Err: errInjected})
	for kind, call := range map[string]func() error{
		"create":      func() error { _, err := f.Create("b"); return err },
		"open":        func() error { _, err := f.Open("a"); return err },
		"open rw":     func() error { _, err := f.OpenReadWrite("a"); return err },
		"remove":      func() error { return f.Remove("a") },
		"remove all":  func() error { return f.RemoveAll("a") },
		"rename":      func() error { return f.Rename("a", "b") },
		"mkdir":       func() error { return f.MkdirAll("d") },
		"list":        func() error { _, err := f.List("/"); return err },
		"stat":        func() error { _, err := f.Stat("a"); return err },
		"size":        func() error { _, err := file.Size(); return err },
		"syncdir":     func() error { return f.SyncDir("/") },
		"lock":        func() error { _, err := f.Lock("a"); return err },
		"trylock":     func() error { return file.TryLock() },
		"free":        func() error { _, err := f.FreeBytes("/"); return err },
		"read":        func() error { _, err := file.ReadAt(make([]byte, 1), 0); return err },
		"write":       func() error { _, err := file.WriteAt([]byte("x"), 0); return err },
		"truncate":    func() error { return file.Truncate(0) },
		"sync":        func() error { return file.Sync() },
		"syncdata":    func() error { return file.SyncData() },
		"preallocate": func() error { return file.Preallocate(1 << 20) },
		"map":         func() error { _, _, _, err := file.Map(1); return err },
	} {
		if err := call(); !errors.Is(err, errInjected) {
			t.Errorf("%s: got %v", kind, err)
		}
	}
	f.Clear()
	if got := mustRead(t, f, "a"); string(got) != "abc" {
		t.Fatalf("a failed call changed the file: %q", got)
	}
	must(t, file.Close())
}

func TestFaultyShortWrite(t *testing.T) {
	f := NewFaulty(NewMem())
	file, err := f.Create("a")
	must(t, err)
	rule := f.Inject(Rule{Op: OpWrite, Short: 2, Err: ErrNoSpace})
	n, err := file.WriteAt([]byte("abcd"), 0)
	wantErr(t, err, ErrNoSpace)
	if n != 2 {
		t.Fatalf("%d bytes written", n)
	}
	rule.Remove()
	if got := mustRead(t, f, "a"); string(got) != "ab" {
		t.Fatalf("file holds %q", got)
	}
	must(t, file.Close())
}

func TestFaultyFlipBit(t *testing.T) {
	f := NewFaulty(NewMem())
	must(t, WriteFile(f, "a", []byte{0, 0, 0}))
	rule := f.Inject(Rule{Op: OpRead | OpMap, FlipBit: 10, Times: 2})
	if got := mustRead(t, f, "a"); got[0] != 0 || got[1] != 2 || got[2] != 0 {
		t.Fatalf("read %v", got)
	}
	file, err := f.Open("a")
	must(t, err)
	data, unmap, ok, err := file.Map(3)
	if err != nil || !ok || data[1] != 2 {
		t.Fatalf("mapped %v %v %v", data, ok, err)
	}
	must(t, unmap())
	if got := mustRead(t, f, "a"); got[1] != 0 || rule.Hits() != 2 {
		t.Fatalf("read %v after %d hits", got, rule.Hits())
	}
	must(t, file.Close())
}

// The reason why a failed sync must never be tried again.
func TestFaultySyncLiesAfterAFailure(t *testing.T) {
	m := NewMem()
	f := NewFaulty(m)
	must(t, WriteFile(f, "a", []byte("old")))
	must(t, f.SyncDir("/"))
	file, err := f.OpenReadWrite("a")
	must(t, err)
	mustWrite(t, file, []byte("new"), 0)
	f.Inject(Rule{Op: OpSync, Times: 1, Err: errInjected})
	wantErr(t, file.SyncData(), errInjected)
	must(t, file.SyncData())
	if got := mustRead(t, m.CrashClone(CrashLose, 0), "a"); string(got) != "old" {
		t.Fatalf("after the crash: %q", got)
	}
	// A new file of the name is as good as any.
	must(t, WriteFile(f, "a", []byte("fresh")))
	if got := mustRead(t, m.CrashClone(CrashLose, 0), "a"); string(got) != "fresh" {
		t.Fatalf("after the crash: %q", got)
	}
}

func TestFaultyRefusesABadPattern(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("a rule that can never match was taken")
		}
	}()
	NewFaulty(NewMem()).Inject(Rule{Name: "["})
}

func TestFaultyCountsConcurrentCalls(t *testing.T) {
	const callers, calls = 8, 100
	f := NewFaulty(NewMem())
	must(t, WriteFile(f, "a", []byte("x")))
	rule := f.Inject(Rule{Op: OpStat, Nth: 101, Times: 50, Err: errInjected})
	var wg sync.WaitGroup
	failed := make(chan struct{}, callers*calls)
	for range callers {
		wg.Go(func() {
			for range calls {
				if _, err := f.Stat("a"); err != nil {
					failed <- struct{}{}
				}
			}
		})
	}
	wg.Wait()
	if len(failed) != 50 || rule.Hits() != 50 {
		t.Fatalf("%d calls failed, %d hits, want 50", len(failed), rule.Hits())
	}
}
