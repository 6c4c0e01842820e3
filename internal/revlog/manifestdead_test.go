package revlog

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

// deadOf makes the marks of the given records.
func deadOf(is ...int) Dead {
	var d deadSet
	for _, i := range is {
		d.mark(i, 1)
	}
	return Dead{count: d.count, words: d.words}
}

func upTo(from, to, step int) (is []int) {
	for i := from; i < to; i += step {
		is = append(is, i)
	}
	return is
}

// indexes lists the records of d.
func indexes(d Dead, records int) (is []int) {
	for from, to := range d.runs(records) {
		is = append(is, upTo(from, to, 1)...)
	}
	return is
}

// TestDeadForms: each pattern survives the way to the disk and back, at the
// size it should have.
func TestDeadForms(t *testing.T) {
	for _, c := range []struct {
		what    string
		records int
		dead    []int
		bytes   int
	}{
		{"none", 1000, nil, 1},
		{"all", 1000, upTo(0, 1000, 1), 2},
		{"all of one", 1, upTo(0, 1, 1), 1},
		{"first", 1000, []int{0}, 1 + 1 + 2},
		{"last", 1000, []int{999}, 1 + 1 + 3},
		{"front half", 1000, upTo(0, 500, 1), 2 + 1 + 3},
		{"all but the last", 65, upTo(0, 64, 1), 1 + 1 + 2},
		{"across words", 1000, upTo(60, 200, 1), 2 + 1 + 3},
		{"word borders", 256, append(upTo(64, 128, 1), upTo(192, 256, 1)...), 2 + 1 + 4},
		{"every second", 1000, upTo(1, 1000, 2), 2 + 1 + 125},
		{"every second of few", 9, upTo(0, 9, 2), 1 + 1 + 2},
		{"scattered in front", 1000, upTo(0, 100, 2), 1 + 1 + 100},
		{"runs and bits alike", 16, []int{3}, 1 + 1 + 2},
	} {
		d := deadOf(c.dead...)
		b := appendDead(nil, d, int64(c.records))
		if len(b) != c.bytes {
			t.Errorf("%s: %d bytes, want %d", c.what, len(b), c.bytes)
		}
		parser := cursor{b: append(bytes.Clone(b), 7)}
		got, err := parser.dead(int64(c.records))
		if err != nil || len(parser.b) != 1 {
			t.Fatalf("%s: %v, %d bytes left", c.what, err, len(parser.b))
		}
		if !slices.Equal(indexes(got, c.records), c.dead) || !slices.Equal(indexes(d, c.records), c.dead) || got.Count() != int64(len(c.dead)) {
			t.Errorf("%s: reads as %v", c.what, indexes(got, c.records))
		}
		if again := appendDead(nil, got, int64(c.records)); !bytes.Equal(again, b) {
			t.Errorf("%s: % x is written again as % x", c.what, b, again)
		}
	}
}

// TestDeadFormsOfAnyPattern is the same for random patterns.
func TestDeadFormsOfAnyPattern(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		records := 1 + rng.IntN(400)
		var dead []int
		for i, on, stick := 0, false, 1+rng.IntN(40); i < records; i++ {
			if rng.IntN(stick) == 0 {
				on = !on
			}
			if on {
				dead = append(dead, i)
			}
		}
		b := appendDead(nil, deadOf(dead...), int64(records))
		if most := 3 + (records+7)/8; len(b) > most {
			t.Fatalf("%d bytes for %d records", len(b), records)
		}
		c := cursor{b: b}
		got, err := c.dead(int64(records))
		if err != nil || !slices.Equal(indexes(got, records), dead) {
			t.Fatalf("%v of %d: %v, %v", dead, records, indexes(got, records), err)
		}
	}
}

func TestDeadRefusesMalformed(t *testing.T) {
	for what, b := range map[string][]byte{
		"nothing":                   {},
		"more than there are":       {21},
		"no form":                   {3},
		"unknown form":              {3, 9, 1, 3},
		"runs: none":                {3, formRuns},
		"runs: no length":           {3, formRuns, 1},
		"runs: live of no length":   {3, formRuns, 1, 2, 0, 1},
		"runs: dead of no length":   {3, formRuns, 1, 0, 1, 3},
		"runs: too many dead":       {3, formRuns, 1, 4},
		"runs: beyond the end":      {3, formRuns, 18, 3},
		"runs: far beyond":          {3, formRuns, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 3},
		"runs: wraps around":        {3, formRuns, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2},
		"bits: too short":           {3, formBits, 7, 0},
		"bits: too few":             {3, formBits, 3, 0, 0},
		"bits: too many":            {3, formBits, 7, 1, 0},
		"bits: beyond the last one": {3, formBits, 3, 0, 0x10},
	} {
		c := cursor{b: b}
		if d, err := c.dead(20); err == nil {
			t.Errorf("%s: read as %v", what, indexes(d, 20))
		}
	}
}

func TestManifestOfAnotherVersion(t *testing.T) {
	b := Manifest{NextID: 2, Segments: []SegmentInfo{{ID: 1, Bytes: headerBytes}}}.AppendTo(nil)
	for _, version := range []byte{0, 1, 3} {
		b[0] = version
		if _, err := ParseManifest(b); err == nil || !strings.Contains(err.Error(), "version") {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

// TestCaptureIsOfItsMoment: marks made later, also those that move with a
// rewrite, do not show in a manifest.
func TestCaptureIsOfItsMoment(t *testing.T) {
	m := newModel(t, mustCreate(t, smallOptions(vfs.NewMem())), 30)
	fill := func() {
		t.Helper()
		for range 60 {
			if err := m.tx(200); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill()
	none := m.log.Capture()
	noneCoded := none.AppendTo(nil)
	m.killOld(m.main / 2)
	some := m.log.Capture()
	someCoded := some.AppendTo(nil)
	if bytes.Equal(noneCoded, someCoded) {
		t.Fatal("the marks are not in the manifest")
	}
	calls := 0
	_, err := m.log.Reclaim(context.Background(), 0.01, func(int) {
		if calls++; calls == 1 {
			m.killOld(m.main) // these arrive during the rewrite
		}
	})
	if err != nil || calls == 0 {
		t.Fatalf("reclaim: %d transfers, %v", calls, err)
	}
	fill()
	if !bytes.Equal(none.AppendTo(nil), noneCoded) || !bytes.Equal(some.AppendTo(nil), someCoded) {
		t.Fatal("a manifest changed after its capture")
	}
	dead := int64(0)
	for _, s := range m.log.Capture().Segments {
		dead += s.Dead.Count()
	}
	if st := m.log.Stats(); dead != st.DeadRecords || dead == 0 {
		t.Fatalf("the manifest has %d dead records, the log %d", dead, st.DeadRecords)
	}
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkCaptureMillion is what a checkpoint costs the applier with a million
// records of which every second is dead: the capture, the marks that copy
// after it, and the encoding.
func BenchmarkCaptureMillion(b *testing.B) {
	const records = 1_000_000
	l, _ := benchLog(b, records, 64)
	for rev := int64(2); rev < records; rev += 2 {
		l.MarkDead(base.Revision{Main: rev})
	}
	b.Run("capture", func(b *testing.B) {
		for b.Loop() {
			l.Capture()
		}
	})
	b.Run("capture and a mark in each segment", func(b *testing.B) {
		v := l.Publish()
		defer v.Release()
		b.ReportAllocs()
		for b.Loop() {
			l.Capture()
			for i, src := range v.sources() {
				d := l.mu.activeDead
				if i < len(v.set.sealed) {
					d = v.set.sealed[i].dead
				}
				before := d.marks
				l.MarkDead(src.tab.rev(1))
				d.marks = before // alive again, for the next round
			}
		}
	})
	man := l.Capture()
	var enc []byte
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			enc = man.AppendTo(enc[:0])
		}
		b.ReportMetric(float64(len(enc)), "B")
	})
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			if _, err := ParseManifest(enc); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
