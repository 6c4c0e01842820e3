package snap

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"keelson/internal/base"
)

// sample is a checkpoint with every part filled.
func sample(applied base.Index) *Checkpoint {
	return &Checkpoint{
		Applied: applied, AppliedTerm: 7,
		Revision: 1 << 40, CompactRev: NeverCompacted, ScheduledCompact: 12,
		ConfState: []byte{0x0a, 1, 2},
		Log:       bytes.Repeat([]byte("manifest"), 100),
		Sections: []Section{
			{Name: "leases", Data: []byte("some leases")},
			{Name: "auth", Data: []byte{}},
		},
	}
}

func mustEncode(t testing.TB, c *Checkpoint) []byte {
	t.Helper()
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEncodeDecode(t *testing.T) {
	for _, c := range []*Checkpoint{{}, sample(1 << 50)} {
		got, err := Decode(mustEncode(t, c))
		if err != nil {
			t.Fatal(err)
		}
		if !got.Equal(c) {
			t.Fatalf("got %+v, want %+v", got, c)
		}
	}
	got, err := Decode(mustEncode(t, sample(1)))
	if err != nil {
		t.Fatal(err)
	}
	if data, ok := got.Section("leases"); !ok || string(data) != "some leases" {
		t.Fatalf("section: %q %v", data, ok)
	}
	if _, ok := got.Section("none"); ok {
		t.Fatal("a section that is not there was found")
	}
}

// The bytes are a promise to files on disk: when this changes, the format
// version changes.
func TestFormatIsFixed(t *testing.T) {
	c := &Checkpoint{Applied: 0x11, AppliedTerm: 2, Revision: 3, CompactRev: -1, ScheduledCompact: 5,
		ConfState: []byte("C"), Log: []byte("L"), Sections: []Section{{Name: "x", Data: []byte("X")}}}
	want := strings.Join([]string{
		"4b45454c434b50540100000000000000a10000000000000004000000", "2ff2351b",
		"0500000028000000000000007374617465110000000000000002000000000000000300000000000000ffffffffffffffff0500000000000000", "fecb5558",
		"090000000100000000000000636f6e66737461746543", "a3b8adbb",
		"0300000001000000000000006c6f674c", "1e28550d",
		"0100000001000000000000007858", "318c8b10",
		"f38044dc",
	}, "")
	if got := hex.EncodeToString(mustEncode(t, c)); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEncodeRefusesBadNames(t *testing.T) {
	for _, sections := range [][]Section{
		{{Name: ""}},
		{{Name: "state"}},
		{{Name: "log"}},
		{{Name: strings.Repeat("x", 256)}},
		{{Name: "a"}, {Name: "a"}},
	} {
		if _, err := (&Checkpoint{Sections: sections}).Encode(); err == nil {
			t.Errorf("sections %v were encoded", sections)
		}
	}
}

// Any changed byte and any lost end is found.
func TestDecodeFindsEveryDamage(t *testing.T) {
	good := mustEncode(t, sample(9))
	for i := range good {
		for _, mask := range []byte{1, 0x80, 0xff} {
			b := slices.Clone(good)
			b[i] ^= mask
			var damaged *CorruptError
			if _, err := Decode(b); !errors.As(err, &damaged) {
				t.Fatalf("byte %d changed by %#x: %v", i, mask, err)
			} else if damaged.Offset < 0 || damaged.Offset > int64(i)+32 {
				t.Fatalf("byte %d changed, reported at %d", i, damaged.Offset)
			}
		}
		if _, err := Decode(good[:i]); err == nil {
			t.Fatalf("%d bytes of %d were taken", i, len(good))
		}
	}
	if _, err := Decode(append(slices.Clone(good), 0)); err == nil {
		t.Fatal("a byte too many was taken")
	}
	// A torn write: any sector still holds zeros.
	for at := 0; at < len(good); at += 512 {
		b := slices.Clone(good)
		clear(b[at:min(at+512, len(b))])
		if _, err := Decode(b); err == nil {
			t.Fatalf("a file without the sector at %d was taken", at)
		}
	}
}

// Two intact files of the same shape: no mixture of their pieces passes, though
// each piece has a checksum of its own that agrees.
func TestDecodeRefusesAMixture(t *testing.T) {
	one, two := sample(1), sample(2)
	two.Log = bytes.Repeat([]byte("MANIFEST"), 100)
	two.Sections[0].Data = []byte("SOME LEASES")
	a, b := mustEncode(t, one), mustEncode(t, two)
	cuts := []int{headerBytes}
	for _, s := range []Section{
		{stateSection, make([]byte, stateBytes)}, {confSection, one.ConfState}, {logSection, one.Log},
		one.Sections[0], one.Sections[1],
	} {
		cuts = append(cuts, cuts[len(cuts)-1]+sectionBytes(s.Name, len(s.Data)))
	}
	for i, from := range cuts[:len(cuts)-1] {
		to := cuts[i+1]
		if bytes.Equal(a[from:to], b[from:to]) {
			continue
		}
		mixed := slices.Concat(a[:from], b[from:to], a[to:])
		var damaged *CorruptError
		if _, err := Decode(mixed); !errors.As(err, &damaged) || damaged.Offset != int64(len(mixed)-crcBytes) {
			t.Errorf("piece at %d from another file: %v", from, err)
		}
	}
}

// reseal makes all checksums and the length agree with whatever else the bytes
// say, so that the checks behind them are reached.
func reseal(b []byte) {
	if len(b) < minFileBytes {
		return
	}
	copy(b, magic)
	binary.LittleEndian.PutUint64(b[16:], uint64(len(b)))
	binary.LittleEndian.PutUint32(b[28:], checksum(b[:28]))
	sums := slices.Clone(b[28:headerBytes])
	for at, end := headerBytes, len(b)-crcBytes; at+sectionHeaderBytes+crcBytes <= end; {
		room := uint64(end - at - sectionHeaderBytes - crcBytes)
		name, data := uint64(binary.LittleEndian.Uint32(b[at:])), binary.LittleEndian.Uint64(b[at+4:])
		if name > room || data > room-name {
			break
		}
		sum := at + sectionHeaderBytes + int(name+data)
		binary.LittleEndian.PutUint32(b[sum:], checksum(b[at:sum]))
		at = sum + crcBytes
		sums = append(sums, b[sum:at]...)
	}
	binary.LittleEndian.PutUint32(b[len(b)-crcBytes:], checksum(sums))
}

// Lies that agree with their checksums.
func TestDecodeTrustsNoLength(t *testing.T) {
	stateAt, confAt := headerBytes, headerBytes+sectionBytes(stateSection, stateBytes)
	for name, change := range map[string]func(b []byte){
		"many sections":    func(b []byte) { binary.LittleEndian.PutUint32(b[24:], 1<<32-1) },
		"few sections":     func(b []byte) { binary.LittleEndian.PutUint32(b[24:], 3) },
		"no sections":      func(b []byte) { binary.LittleEndian.PutUint32(b[24:], 0) },
		"endless data":     func(b []byte) { binary.LittleEndian.PutUint64(b[confAt+4:], 1<<64-1) },
		"endless name":     func(b []byte) { binary.LittleEndian.PutUint32(b[confAt:], 1<<32-1) },
		"no name":          func(b []byte) { binary.LittleEndian.PutUint32(b[confAt:], 0) },
		"data to the end":  func(b []byte) { binary.LittleEndian.PutUint64(b[confAt+4:], uint64(len(b)-confAt)) },
		"state renamed":    func(b []byte) { b[stateAt+sectionHeaderBytes] = 'S' },
		"conf named state": func(b []byte) { copy(b[confAt:], b[stateAt:confAt]) },
	} {
		b := mustEncode(t, sample(9))
		change(b)
		reseal(b)
		var damaged *CorruptError
		if _, err := Decode(b); !errors.As(err, &damaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeRefusesOtherVersions(t *testing.T) {
	for _, at := range []int{8, 12} {
		b := mustEncode(t, sample(9))
		b[at] = 2
		reseal(b)
		var foreign *VersionError
		if _, err := Decode(b); !errors.As(err, &foreign) {
			t.Fatalf("got %v", err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(mustEncode(f, sample(9)), false)
	f.Add(mustEncode(f, &Checkpoint{}), true)
	f.Add([]byte(magic), false)
	f.Add(bytes.Repeat([]byte{0xff}, 200), true)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed {
			b = slices.Clone(b)
			reseal(b)
		}
		c, err := Decode(b)
		var damaged *CorruptError
		var foreign *VersionError
		if err != nil {
			if !errors.As(err, &damaged) && !errors.As(err, &foreign) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		// Nothing is accepted that we would not have written.
		if again := mustEncode(t, c); !bytes.Equal(again, b) {
			t.Fatalf("decoded and encoded again:\n%x\nwas\n%x", again, b)
		}
	})
}

func BenchmarkEncodeDecode(b *testing.B) {
	c := sample(9)
	c.Sections[0].Data = make([]byte, 8<<20)
	size := len(mustEncode(b, c))
	b.SetBytes(int64(size))
	for b.Loop() {
		if _, err := Decode(mustEncode(b, c)); err != nil {
			b.Fatal(err)
		}
	}
}
