package revlog

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"testing"

	"keelson/internal/base"
)

func TestManifestEncoding(t *testing.T) {
	m := Manifest{NextID: 9, Segments: []SegmentInfo{
		{ID: 7, Bytes: 4000, Records: 3, Sealed: true, First: base.Revision{Main: 2}, Last: base.Revision{Main: 2, Sub: 5}},
		{ID: 3, Bytes: 100, Records: 1, Sealed: true, First: base.Revision{Main: 2, Sub: 7}, Last: base.Revision{Main: 2, Sub: 7}},
		{ID: 8, Bytes: headerBytes},
	}}
	b := m.AppendTo([]byte("before"))[len("before"):]
	got, err := ParseManifest(b)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := range b {
		if _, err := ParseManifest(b[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a manifest", n, len(b))
		}
	}
	if _, err := ParseManifest(append(b, 0)); err == nil {
		t.Fatal("a manifest with a byte too many is accepted")
	}
	for what, change := range map[string]func(m *Manifest){
		"same ID twice":         func(m *Manifest) { m.Segments[1].ID = 7 },
		"ID above NextID":       func(m *Manifest) { m.NextID = 8 },
		"two active segments":   func(m *Manifest) { m.Segments[1].Sealed = false },
		"no active segment":     func(m *Manifest) { m.Segments = m.Segments[:2] },
		"no segment":            func(m *Manifest) { m.Segments = nil },
		"revisions overlap":     func(m *Manifest) { m.Segments[1].First.Sub = 5 },
		"revisions backwards":   func(m *Manifest) { m.Segments[0].First.Sub = 6 },
		"shorter than a header": func(m *Manifest) { m.Segments[2].Bytes = 31 },
		"bytes without records": func(m *Manifest) { m.Segments[2].Bytes = 33 },
		"records without bytes": func(m *Manifest) { m.Segments[2].Records = 1 },
		"too many records":      func(m *Manifest) { m.Segments[1].Records = 7 },
		"more dead than there":  func(m *Manifest) { m.Segments[1].Dead = Dead{count: 2} },
	} {
		bad := m
		bad.Segments = append([]SegmentInfo(nil), m.Segments...)
		change(&bad)
		if _, err := ParseManifest(bad.AppendTo(nil)); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(Manifest{NextID: 2, Segments: []SegmentInfo{{ID: 1, Bytes: headerBytes}}}.AppendTo(nil))
	f.Add(Manifest{NextID: 9, Segments: []SegmentInfo{
		{ID: 7, Bytes: 4000, Records: 40, Sealed: true, First: base.Revision{Main: 2}, Last: base.Revision{Main: 2, Sub: 40}, Dead: deadOf(upTo(3, 30, 1)...)},
		{ID: 3, Bytes: 1000, Records: 20, Sealed: true, First: base.Revision{Main: 3}, Last: base.Revision{Main: 30}, Dead: deadOf(upTo(1, 20, 2)...)},
		{ID: 8, Bytes: 100, Records: 1, First: base.Revision{Main: 40}, Last: base.Revision{Main: 40}, Dead: deadOf(0)},
	}}.AppendTo(nil))
	f.Add([]byte{2, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		again, err := ParseManifest(m.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%+v becomes %+v, %v", m, again, err)
		}
	})
}

// FuzzRecord feeds the record decoder. Most inputs get a checksum that
// matches, or the fuzzer would never see what is behind it.
func FuzzRecord(f *testing.F) {
	seal := func(m Meta, kv []byte) []byte {
		b, _ := sealRecord(make([]byte, 0, recordBound(&m, kv)), &m, kv)
		return b
	}
	f.Add(seal(Meta{Rev: base.Revision{Main: 7, Sub: 1}, Prev: base.Revision{Main: 3}, Create: 2, Version: 3, Lease: -4, Key: []byte("abc")}, []byte("\x0a\x03abcd")), true)
	f.Add(seal(Meta{Rev: base.Revision{Main: 7}, Tombstone: true, Key: []byte("abc")}, nil), false)
	f.Add([]byte{}, false)
	f.Add([]byte{1, 2, 3, 4, 5, 0, 0, 0, 0x40, 1, 9, 9, 9}, true)
	f.Fuzz(func(t *testing.T, b []byte, fix bool) {
		if fix && len(b) >= recordPrefixBytes {
			fixRecord(b)
		}
		var r Record
		if openRecord(b, &r) != nil {
			return
		}
		var again Record
		if err := openRecord(seal(r.Meta, r.KV), &again); err != nil {
			t.Fatal(err)
		}
		if again.KV == nil || !bytes.Equal(again.KV, r.KV) || !bytes.Equal(again.Key, r.Key) {
			t.Fatalf("%+v becomes %+v", r, again)
		}
		r.Key, again.Key = nil, nil
		if !reflect.DeepEqual(r.Meta, again.Meta) {
			t.Fatalf("%+v becomes %+v", r, again)
		}
	})
}

// FuzzSidecar feeds the sidecar decoder in the same way: what it accepts must
// be a table that can be used.
func FuzzSidecar(f *testing.F) {
	side := newSidecarBuilder(3)
	for i := range int64(5) {
		side.add(&Meta{Rev: base.Revision{Main: 7 + i/2, Sub: i}, Prev: base.Revision{Main: i}, Key: bytes.Repeat([]byte("k"), int(i))}, 30+i)
	}
	info := SegmentInfo{ID: 3, Bytes: side.end, Records: 5}
	good := side.finish()
	f.Add(good, info.Bytes, info.Records)
	f.Add(good[:20], info.Bytes, info.Records)
	f.Add([]byte{}, int64(0), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, size, records int64) {
		if records < 0 || records > size || size > maxFileBytes || len(b) > int(min(1<<20, maxSidecarBytes(SegmentInfo{Bytes: size, Records: records}))) {
			return
		}
		fixSidecar(b)
		info := SegmentInfo{ID: 3, Bytes: size, Records: records}
		s, err := parseSidecar(b, info)
		if err != nil {
			return
		}
		tab, err := s.table()
		if err != nil {
			return
		}
		src := source{tab: tab, end: size}
		for i := range tab.pos {
			from, to := src.extent(i)
			if k, ok := tab.find(tab.rev(i)); !ok || k != i || from < headerBytes || to-from < recordPrefixBytes || to > size {
				t.Fatalf("record %d of %v lies at [%d, %d) of %d", i, tab.rev(i), from, to, size)
			}
		}
	})
}

// fixRecord makes length and checksum of a record match its bytes.
func fixRecord(b []byte) {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-recordPrefixBytes))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], crcTable))
}

// fixSidecar makes the checksum of a sidecar match its bytes.
func fixSidecar(b []byte) {
	if n := len(b) - sidecarCRCBytes; n >= 0 {
		binary.LittleEndian.PutUint32(b[n:], crc32.Checksum(b[:n], crcTable))
	}
}
