package wal

import (
	"bytes"
	"encoding/binary"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

func TestFramesAreAligned(t *testing.T) {
	for n := range 40 {
		data := bytes.Repeat([]byte{7}, n)
		for _, crc := range []chain{0, 1, 1 << 7, 1 << 14, 1 << 21, 1 << 28, 1<<32 - 1} {
			b := appendRecord(nil, KindEntry, crc, data[:n/2], data[n/2:])
			if len(b)%8 != 0 || len(b) > n+recordOverhead {
				t.Fatalf("data of %d bytes takes %d", n, len(b))
			}
			size, pad, ok := parseLengthWord(binary.LittleEndian.Uint64(b))
			if !ok || int(size)+pad+frameHeadBytes != len(b) {
				t.Fatalf("length word says %d+%d of %d", size, pad, len(b))
			}
			rec, reason := parseRecord(b[frameHeadBytes : frameHeadBytes+size])
			if reason != "" || rec.kind != KindEntry || rec.crc != uint32(crc) || !bytes.Equal(rec.data, data) {
				t.Fatalf("read back %+v, %s", rec, reason)
			}
		}
	}
}

// Our encoders agree with the protobuf library.
func TestPayloadsAreProtobuf(t *testing.T) {
	for _, e := range []*raftpb.Entry{
		entry(1, 1, 0), entry(300, 1<<40, 20), entry(1<<63, 7, 300),
		{Type: raftpb.EntryConfChange.Enum(), Term: ptr(uint64(3)), Index: ptr(uint64(9)), Data: []byte("x")},
	} {
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
		must(t, err)
		got := append(appendEntryHead(nil, e), e.Data...)
		if !bytes.Equal(got, want) {
			t.Errorf("%v: %x, the library says %x", e, got, want)
		}
		if len(got)-len(e.Data) > entryHeadBytes {
			t.Errorf("%v: head of %d bytes", e, len(got)-len(e.Data))
		}
		view, err := parseEntry(got)
		must(t, err)
		if back := view.message(); !proto.Equal(back, e) {
			t.Errorf("%v came back as %v", e, back)
		}
	}
	hs := hardState{1 << 40, 0, 99}
	want, err := proto.Marshal(hs.message())
	must(t, err)
	if got := hs.append(nil); !bytes.Equal(got, want) {
		t.Errorf("hard state %x, the library says %x", got, want)
	}
	snap := Snapshot{Index: 5, Term: 2, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2}, Learners: []uint64{9}, AutoLeave: ptr(false)}}
	b, err := snap.append(nil)
	must(t, err)
	back, err := parseSnapshot(b)
	must(t, err)
	if back.Index != 5 || back.Term != 2 || !proto.Equal(back.ConfState, snap.ConfState) {
		t.Errorf("snapshot came back as %+v", back)
	}
}

// What older etcd writes: every scalar present, also zero ones.
func TestEntryOfOlderEtcd(t *testing.T) {
	e, err := parseEntry([]byte{0x08, 0, 0x10, 2, 0x18, 5, 0x22, 1, 'x'})
	if err != nil || e.kind != raftpb.EntryNormal || e.term != 2 || e.index != 5 || string(e.data) != "x" {
		t.Fatalf("%+v, %v", e, err)
	}
	if e.message().Type != nil {
		t.Fatal("a normal entry has a type")
	}
}

func TestBadPayloadsAreRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty": {}, "no index": {0x10, 1}, "no term": {0x18, 1}, "torn": {0x10, 1, 0x18, 1, 0x22, 9, 1},
		"future type": {0x08, 3, 0x10, 1, 0x18, 1, 0x22, 1, 1}, "hard state": hardState{1, 2, 3}.append(nil),
	} {
		if e, err := parseEntry(b); err == nil {
			t.Errorf("entry, %s: %+v", name, e)
		}
	}
	for name, b := range map[string][]byte{
		"empty": {}, "torn": {0x08}, "an entry": append(appendEntryHead(nil, entry(1, 1, 3)), 1, 2, 3),
		"an empty entry": appendEntryHead(nil, entry(1, 1, 0)),
	} {
		if s, err := parseHardState(b); err == nil {
			t.Errorf("hard state, %s: %+v", name, s)
		}
	}
	for name, b := range map[string][]byte{"empty": {}, "torn": {0x08, 1, 0x10}, "no term": {0x08, 1}, "bad conf state": {0x08, 1, 0x10, 1, 0x1a, 1, 0xff}} {
		if s, err := parseSnapshot(b); err == nil {
			t.Errorf("snapshot, %s: %+v", name, s)
		}
	}
	if _, _, err := ParseMetadata([]byte{0x08}); err == nil {
		t.Error("torn metadata")
	}
}

func TestSegmentNames(t *testing.T) {
	name := segmentName(0x1f, 0xabc)
	if name != "000000000000001f-0000000000000abc.wal" {
		t.Fatal(name)
	}
	if seq, first, ok := parseSegmentName(name); !ok || seq != 0x1f || first != 0xabc {
		t.Fatal(seq, first, ok)
	}
	for _, bad := range []string{"", "0.tmp", name + ".broken", "1f-abc.wal", "000000000000001F-0000000000000abc.wal", "00000000000000+f-0000000000000abc.wal"} {
		if _, _, ok := parseSegmentName(bad); ok {
			t.Error(bad)
		}
	}
}

// FuzzRecord: what the record decoder accepts is what the encoder writes, so
// no byte of a record is without a meaning that is checked.
func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, KindEntry, 77, appendEntryHead(nil, entry(1, 1, 3)), []byte("abc"))[8:])
	f.Add(appendRecord(nil, KindCRC, 1<<31, nil, nil)[8:])
	f.Add([]byte{8, 4, 16, 0, 0, 0, 0, 0})
	f.Add([]byte{8, 2, 16, 1, 26, 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, n, reason := parseRecordPrefix(b)
		if reason != "" {
			return
		}
		again := appendRecord(nil, rec.kind, chain(rec.crc), rec.data, nil)
		if !bytes.Equal(again[frameHeadBytes:frameHeadBytes+n], b[:n]) {
			t.Fatalf("%x is accepted, but written as %x", b[:n], again)
		}
		_, _ = parseEntry(rec.data)
		_, _ = parseHardState(rec.data)
		_, _ = parseSnapshot(rec.data)
		_, _, _ = ParseMetadata(rec.data)
	})
}

// FuzzSegment feeds arbitrary bytes to Open: it accepts or refuses, and what
// it accepts it opens again with the same content.
func FuzzSegment(f *testing.F) {
	f.Add(hexFixture(f, "etcd-head.hex"))
	f.Add(hexFixture(f, "etcd-default-head.hex"))
	f.Add(hexFixture(f, "etcd-head.hex")[:300])
	disk := newDisk(f)
	flipLog(f, disk)
	f.Add(readFile(f, disk, testDir+"/"+segmentName(0, 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		disk := newDisk(t)
		must(t, disk.MkdirAll(testDir))
		writeFile(t, disk, testDir+"/"+segmentName(0, 0), b)
		opts := testOptions(disk)
		w, r, err := Open(opts, Position{})
		if err != nil {
			return
		}
		last := w.LastIndex()
		must(t, w.Append(nil, entriesOf(last+1, last+1, 1<<40, 9), true))
		must(t, w.Close())
		w, again, err := Open(opts, Position{})
		must(t, err)
		must(t, w.Close())
		wantEntries(t, again.Entries, append(r.Entries, entry(last+1, 1<<40, 9)))
	})
}

func TestVerifyYieldsEveryRecord(t *testing.T) {
	disk := newDisk(t)
	all := flipLog(t, disk)
	kinds := map[Kind]int{}
	var got []*raftpb.Entry
	file, end := "", int64(0)
	sum, err := Verify(disk, testDir, func(r Record) error {
		kinds[r.Kind]++
		if r.File != file {
			file, end = r.File, 0
		}
		if r.Offset != end || r.Bytes%8 != 0 {
			t.Fatalf("record at %d+%d in %s, expected at %d", r.Offset, r.Bytes, r.File, end)
		}
		end += r.Bytes
		if r.Kind == KindEntry {
			got = append(got, r.Entry)
		}
		if (r.Kind == KindState) != (r.State != nil) || (r.Kind == KindSnapshot) != (r.Snapshot != nil) {
			t.Fatalf("%+v", r)
		}
		return nil
	})
	must(t, err)
	wantEntries(t, got, all)
	if kinds[KindCRC] != 3 || kinds[KindMetadata] != 3 || kinds[KindSnapshot] != 2 || kinds[KindState] == 0 {
		t.Fatalf("%v", kinds)
	}
	if sum.EndOffset != end || sum.FirstIndex != 1 || sum.LastIndex != base.Index(len(all)) || sum.LastTerm != 2 || len(sum.Valid()) != 2 {
		t.Fatalf("%+v", sum)
	}
	if _, err := Verify(vfs.NewMem(), testDir, nil); err == nil {
		t.Fatal("verified nothing")
	}
}
