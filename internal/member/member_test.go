package member

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
	"keelson/internal/errs"
)

// TestKnownIDs: a member started without flags has these IDs in every etcd.
func TestKnownIDs(t *testing.T) {
	id := NewID([]string{"http://localhost:2380"}, "etcd-cluster", nil)
	if id.String() != "8e9e05c52164694d" {
		t.Errorf("member ID %s, want 8e9e05c52164694d", id)
	}
	if c := NewClusterID([]base.MemberID{id}); c.String() != "cdf818194e3a8c32" {
		t.Errorf("cluster ID %s, want cdf818194e3a8c32", c)
	}
	now := time.Unix(1700000000, 0)
	if NewID([]string{"http://localhost:2380"}, "", &now) == NewID([]string{"http://localhost:2380"}, "", nil) {
		t.Error("the time of a MemberAdd does not change the ID")
	}
	if NewID([]string{"b", "a"}, "t", nil) != NewID([]string{"a", "b"}, "t", nil) {
		t.Error("the order of the URLs changes the ID")
	}
}

func change(t *testing.T, typ pb.ConfChangeType, ch Change) *pb.ConfChange {
	t.Helper()
	ctx, err := json.Marshal(ch)
	if err != nil {
		t.Fatal(err)
	}
	id := uint64(ch.ID)
	return &pb.ConfChange{Type: typ.Enum(), NodeId: &id, Context: ctx}
}

func learner(id base.MemberID, url string) Change {
	return Change{Member: Member{ID: id, PeerURLs: []string{url}, IsLearner: true}}
}

func voter(id base.MemberID, url string) Change {
	return Change{Member: Member{ID: id, PeerURLs: []string{url}}}
}

func TestConfChangeRules(t *testing.T) {
	s := NewStore(1)
	steps := []struct {
		name string
		typ  pb.ConfChangeType
		ch   Change
		want error
	}{
		{"first member", pb.ConfChangeAddNode, voter(1, "http://a:1"), nil},
		{"same ID", pb.ConfChangeAddNode, voter(1, "http://b:1"), errs.ErrMemberExist},
		{"same URL", pb.ConfChangeAddNode, voter(2, "http://a:1"), errs.ErrPeerURLExist},
		{"learner", pb.ConfChangeAddLearnerNode, learner(2, "http://b:1"), nil},
		{"second learner", pb.ConfChangeAddLearnerNode, learner(3, "http://c:1"), errs.ErrTooManyLearners},
		{"promote a voter", pb.ConfChangeAddNode, Change{Member: Member{ID: 1}, IsPromote: true}, errs.ErrMemberNotLearner},
		{"promote nobody", pb.ConfChangeAddNode, Change{Member: Member{ID: 9}, IsPromote: true}, errs.ErrMemberNotFound},
		{"promote", pb.ConfChangeAddNode, Change{Member: Member{ID: 2}, IsPromote: true}, nil},
		{"update to a taken URL", pb.ConfChangeUpdateNode, voter(2, "http://a:1"), errs.ErrPeerURLExist},
		{"update", pb.ConfChangeUpdateNode, voter(2, "http://d:1"), nil},
		{"update nobody", pb.ConfChangeUpdateNode, voter(9, "http://e:1"), errs.ErrMemberNotFound},
		{"remove nobody", pb.ConfChangeRemoveNode, voter(9, ""), errs.ErrMemberNotFound},
		{"remove", pb.ConfChangeRemoveNode, voter(2, ""), nil},
		{"come back", pb.ConfChangeAddNode, voter(2, "http://f:1"), errs.ErrMemberNotFound},
	}
	for _, st := range steps {
		cc := change(t, st.typ, st.ch)
		ch, err := s.Validate(cc)
		if !errors.Is(err, st.want) || (err == nil) != (st.want == nil) {
			t.Fatalf("%s: %v, want %v", st.name, err, st.want)
		}
		if err == nil {
			s.Apply(st.typ, ch)
		}
	}
	if got := s.ConfState().Voters; !slices.Equal(got, []uint64{1}) {
		t.Fatalf("voters %v", got)
	}

	sec, err := s.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := NewStore(1)
	if err := r.Restore(sec); err != nil {
		t.Fatal(err)
	}
	again, _ := r.AppendTo(nil)
	if string(again) != string(sec) || !r.IsRemoved(2) {
		t.Fatalf("restored %s, want %s", again, sec)
	}
}

// TestContextJSON holds the contexts against what etcd 3.7 writes.
func TestContextJSON(t *testing.T) {
	for want, ch := range map[string]Change{
		`{"id":18446744073709551615,"peerURLs":["http://h:2380"]}`:             voter(1<<64-1, "http://h:2380"),
		`{"id":5,"peerURLs":null,"isPromote":true}`:                            {Member: Member{ID: 5}, IsPromote: true},
		`{"id":5,"peerURLs":["http://h:1"],"isLearner":true}`:                  learner(5, "http://h:1"),
		`{"id":1,"peerURLs":["u"],"name":"m1","clientURLs":["http://c:2379"]}`: {Member: Member{ID: 1, PeerURLs: []string{"u"}, Name: "m1", ClientURLs: []string{"http://c:2379"}}},
	} {
		got, err := json.Marshal(ch)
		if err != nil || string(got) != want {
			t.Errorf("%s, want %s (%v)", got, want, err)
		}
	}
}

func TestMalformedContextIsAnError(t *testing.T) {
	s := NewStore(1)
	id := uint64(7)
	for _, ctx := range []string{"", "{", `{"id":8,"peerURLs":["u"]}`} {
		if _, err := s.Validate(&pb.ConfChange{Type: pb.ConfChangeAddNode.Enum(), NodeId: &id, Context: []byte(ctx)}); err == nil {
			t.Errorf("context %q was accepted", ctx)
		}
	}
}
