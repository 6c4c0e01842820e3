package wal

import (
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// crashModel is what a correct log may hold at one moment: everything that was
// acknowledged, and of the batch in flight any prefix.
type crashModel struct {
	mu       sync.Mutex
	exists   bool // Create returned
	entries  []*raftpb.Entry
	durable  hardState // synced
	newest   hardState // written, maybe not synced
	inFlight []*raftpb.Entry
}

func (m *crashModel) begin(hs hardState, ents []*raftpb.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.newest, m.inFlight = hs, ents
}

func (m *crashModel) acknowledge(synced bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries, m.inFlight = override(m.entries, m.inFlight), nil
	if synced {
		m.durable = m.newest
	}
}

func override(log, ents []*raftpb.Entry) []*raftpb.Entry {
	if len(ents) == 0 {
		return log
	}
	keep := ents[0].GetIndex() - 1
	return append(append([]*raftpb.Entry(nil), log[:keep]...), ents...)
}

// check opens the disk a crash left and compares. It then goes on with the
// log, crashes once more and looks again: a repair must hold.
func (m *crashModel) check(disk *vfs.Mem, seed uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !Exist(disk, testDir) {
		if m.exists {
			return fmt.Errorf("the log is gone")
		}
		return nil
	}
	opts := testOptions(disk)
	w, r, err := Open(opts, Position{})
	if err != nil {
		return err
	}
	if err := m.compare(r); err != nil {
		return err
	}
	next := entry(w.LastIndex()+1, 99, 700)
	if err := w.Append(state(99, 1, uint64(w.LastIndex())), []*raftpb.Entry{next}, true); err != nil {
		return err
	}
	again := disk.Crash(vfs.CrashRandom, seed)
	_ = w.Close() // without power
	opts.FS = again
	w, second, err := Open(opts, Position{})
	if err != nil {
		return fmt.Errorf("after the second crash: %w", err)
	}
	defer func() { _ = w.Close() }()
	if want := len(r.Entries) + 1; len(second.Entries) != want || !sameEntry(second.Entries[want-1], next) {
		return fmt.Errorf("%d entries after the second crash, want %d", len(second.Entries), want)
	}
	if second.HardState.GetTerm() != 99 {
		return fmt.Errorf("hard state %v after the second crash", second.HardState)
	}
	return nil
}

func (m *crashModel) compare(r Replay) error {
	found := false
	for k := 0; k <= len(m.inFlight); k++ {
		found = found || sameEntries(r.Entries, override(m.entries, m.inFlight[:k]))
	}
	if !found {
		return fmt.Errorf("%d entries are neither the %d acknowledged ones nor those with a part of the %d in flight",
			len(r.Entries), len(m.entries), len(m.inFlight))
	}
	got := hardState{r.HardState.GetTerm(), r.HardState.GetVote(), r.HardState.GetCommit()}
	if got.term < m.durable.term || got.term > m.newest.term ||
		got.commit < m.durable.commit || got.commit > m.newest.commit {
		return fmt.Errorf("hard state %v is not between %v and %v", got, m.durable, m.newest)
	}
	return nil
}

func sameEntries(a, b []*raftpb.Entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameEntry(a[i], b[i]) {
			return false
		}
	}
	return true
}

// TestCrashAtEveryStep takes the power away before every call that changes the
// disk, in several ways, and opens what is left.
func TestCrashAtEveryStep(t *testing.T) {
	disk := newDisk(t)
	model := &crashModel{}
	var mu sync.Mutex // the spare maker's calls come from another goroutine
	checks := 0
	disk.OnOp(func(n int, op vfs.Op, name string) {
		mu.Lock()
		defer mu.Unlock()
		for seed := range uint64(8) {
			mode := vfs.CrashRandom
			switch seed {
			case 0:
				mode = vfs.CrashLose
			case 1:
				mode = vfs.CrashKeep
			}
			checks++
			if err := model.check(disk.CrashClone(mode, seed+uint64(n)*64), seed); err != nil {
				t.Errorf("power lost before step %d (%v %s), mode %v, seed %d: %v", n, op, path.Base(name), mode, seed, err)
			}
		}
	})
	w := mustCreate(t, testOptions(disk))
	model.mu.Lock()
	model.exists = true
	model.mu.Unlock()
	append1 := func(hs hardState, ents []*raftpb.Entry) {
		t.Helper()
		votes := hs.term != model.durable.term
		model.begin(hs, ents)
		must(t, w.Append(hs.message(), ents, false))
		model.acknowledge(votes || len(ents) > 0)
	}
	last, commit := base.Index(0), uint64(0)
	for i := range 24 {
		term := uint64(1 + i/6)
		n := base.Index(1 + i%5)
		if i%6 == 0 && last > 3 { // a new leader overrides the end
			last -= 2
		}
		append1(hardState{term, 1, commit}, entriesOf(last+1, last+n, base.Term(term), 30+i%4*330))
		last += n
		commit = uint64(max(last, 3) - 3)
		append1(hardState{term, 1, commit}, nil)
	}
	must(t, w.Close())
	disk.OnOp(nil)
	infos, err := Segments(disk, testDir)
	must(t, err)
	if len(infos) < 4 {
		t.Fatalf("only %d segments were written", len(infos))
	}
	t.Logf("%d crashes in %d steps", checks, disk.Ops())
}

// TestEveryCutOfTheTail cuts the last segment at every length. Whatever the
// length, the log opens with a prefix of what was written.
func TestEveryCutOfTheTail(t *testing.T) {
	for _, zeros := range []bool{false, true} {
		disk := newDisk(t)
		opts := testOptions(disk)
		w := mustCreate(t, opts)
		must(t, w.Append(state(1, 1, 0), entriesOf(1, 6, 1, 300), true))
		must(t, w.Append(state(1, 1, 3), entriesOf(7, 8, 1, 1), true))
		end := w.tail.off
		must(t, w.Close())
		name := path.Join(testDir, segmentName(0, 0))
		whole := readFile(t, disk, name)
		var head int64 = 80 // before the first entry
		step := int64(1)
		if zeros {
			step = sectorBytes // what was not written reads as zeros, sector by sector
			head = (head/step + 1) * step
		}
		for cut := head; cut <= end; cut += step {
			content := append([]byte(nil), whole[:cut]...)
			if zeros {
				content = append(content, make([]byte, int64(len(whole))-cut)...)
			}
			writeFile(t, disk, name, content)
			w, r, err := Open(opts, Position{})
			if err != nil {
				t.Fatalf("cut at %d of %d: %v", cut, end, err)
			}
			wantEntries(t, r.Entries, append(entriesOf(1, 6, 1, 300), entriesOf(7, 8, 1, 1)...)[:len(r.Entries)])
			must(t, w.Append(nil, entriesOf(w.LastIndex()+1, w.LastIndex()+1, 2, 5), true))
			must(t, w.Close())
			w, again := mustOpen(t, opts, Position{})
			if len(again.Entries) != len(r.Entries)+1 {
				t.Fatalf("cut at %d: %d entries, then %d", cut, len(r.Entries), len(again.Entries))
			}
			must(t, w.Close())
		}
	}
}

func TestTornTailIsKeptAside(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	w := mustCreate(t, opts)
	must(t, w.Append(state(1, 1, 0), entriesOf(1, 2, 1, 300), true))
	good := w.tail.off
	must(t, w.Append(state(1, 1, 1), entriesOf(3, 3, 1, 1500), true))
	must(t, w.Close())
	name := path.Join(testDir, segmentName(0, 0))
	content := readFile(t, disk, name)
	clear(content[1024:1536]) // one sector of the last write did not arrive
	writeFile(t, disk, name, content)

	sum, err := Verify(disk, testDir, nil)
	must(t, err)
	if sum.Torn == "" || sum.EndOffset != good || sum.LastIndex != 2 {
		t.Fatalf("%+v", sum)
	}
	w, r := mustOpen(t, opts, Position{})
	wantEntries(t, r.Entries, entriesOf(1, 2, 1, 300))
	broken := readFile(t, disk, name+".broken")
	if !strings.HasPrefix(string(content), string(broken)) || len(broken) <= int(good) {
		t.Fatalf("the copy has %d bytes, or others", len(broken))
	}
	must(t, w.Close())
	after := readFile(t, disk, name)
	if len(after) != len(content) || !allZero(after[good:]) {
		t.Fatal("there is something behind the last record")
	}
}

// A full disk must not keep a member from starting: what is cut was never
// acknowledged, so the copy is optional.
func TestRepairOnAFullDisk(t *testing.T) {
	disk := newDisk(t)
	opts := testOptions(disk)
	w := mustCreate(t, opts)
	must(t, w.Append(state(1, 1, 0), entriesOf(1, 2, 1, 300), true))
	must(t, w.Append(state(1, 1, 1), entriesOf(3, 3, 1, 1500), true))
	must(t, w.Close())
	name := path.Join(testDir, segmentName(0, 0))
	f, err := disk.OpenReadWrite(name)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 512), 1024)
	must(t, err)
	must(t, f.Close())
	disk.SetQuota(disk.UsedBytes())
	w, r := mustOpen(t, opts, Position{})
	wantEntries(t, r.Entries, entriesOf(1, 2, 1, 300))
	must(t, w.Append(nil, entriesOf(3, 3, 2, 100), true))
}
