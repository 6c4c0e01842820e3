package alarm

import (
	"slices"
	"testing"
)

func TestAlarms(t *testing.T) {
	s := NewStore()
	a, b := Alarm{2, NoSpace}, Alarm{1, Corrupt}
	if !s.Activate(a) || s.Activate(a) || !s.Activate(b) {
		t.Fatal("Activate does not tell new from old")
	}
	if got := s.List(None); !slices.Equal(got, []Alarm{b, a}) {
		t.Fatalf("all: %v", got)
	}
	if got := s.List(NoSpace); !slices.Equal(got, []Alarm{a}) {
		t.Fatalf("NOSPACE: %v", got)
	}
	sec := s.AppendTo(nil)
	r := NewStore()
	if err := r.Restore(sec); err != nil || !slices.Equal(r.List(None), s.List(None)) {
		t.Fatalf("restored %v, %v", r.List(None), err)
	}
	for n := range len(sec) {
		if err := NewStore().Restore(sec[:n]); err == nil {
			t.Errorf("a section cut to %d of %d bytes was accepted", n, len(sec))
		}
	}
	if s.Deactivate(Alarm{9, NoSpace}) || !s.Deactivate(a) || s.Active(NoSpace) || !s.Active(Corrupt) {
		t.Fatal("Deactivate does not match exactly")
	}
}
