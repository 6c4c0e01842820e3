package state

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/member"
	"keelson/internal/wire"
)

// hashed is dump with the hash of the history.
func (f *feed) hashed() string {
	text := f.dump()
	h, _, err := f.KV.HashKV(f.t.Context(), 0)
	must(f.t, err)
	b, err := json.Marshal(h)
	must(f.t, err)
	return text + string(b)
}

// entryBytes are entries of all kinds, well formed and not.
func entryBytes(rng *rand.Rand) []byte {
	key := func() []byte { return []byte{'a' + byte(rng.IntN(8))} }
	var m proto.Message
	var kind wire.Kind
	switch rng.IntN(8) {
	case 0, 1, 2:
		kind, m = wire.KindPut, &etcdserverpb.PutRequest{Key: key(), Value: key(), Lease: rng.Int64N(3), PrevKv: rng.IntN(2) == 0}
	case 3:
		kind, m = wire.KindDeleteRange, &etcdserverpb.DeleteRangeRequest{Key: key(), RangeEnd: key(), PrevKv: rng.IntN(2) == 0}
	case 4:
		put := &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestPut{RequestPut: &etcdserverpb.PutRequest{Key: key(), Lease: rng.Int64N(3)}}}
		del := &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestDeleteRange{RequestDeleteRange: &etcdserverpb.DeleteRangeRequest{Key: key(), RangeEnd: []byte{0}}}}
		kind, m = wire.KindTxn, &etcdserverpb.TxnRequest{
			Compare: []*etcdserverpb.Compare{{Key: key(), Target: etcdserverpb.Compare_CompareTarget(rng.IntN(5)), Result: etcdserverpb.Compare_CompareResult(rng.IntN(4))}},
			Success: []*etcdserverpb.RequestOp{put}, Failure: []*etcdserverpb.RequestOp{del, put},
		}
	case 5:
		kind, m = wire.KindLeaseGrant, &etcdserverpb.LeaseGrantRequest{ID: rng.Int64N(3), TTL: rng.Int64N(100)}
	case 6:
		kind, m = wire.KindLeaseRevoke, &etcdserverpb.LeaseRevokeRequest{ID: rng.Int64N(3)}
	case 7:
		kind, m = wire.KindCompaction, &etcdserverpb.CompactionRequest{Revision: rng.Int64N(40)}
	}
	body, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return wire.AppendRaftRequest(nil, wire.RequestHeader{ID: 1 + rng.Uint64N(100)}, kind, body)
}

// TestEqualMembers: members that apply the same entries are equal, whoever
// wants the answers, however the entries are batched, and however far each is
// with the physical work of a compaction.
func TestEqualMembers(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 4))
		proposer, follower := newFeed(t), newFeed(t)
		for i := range 400 {
			data := entryBytes(rng)
			a, errA := proposer.entry(raftpb.EntryNormal, data)
			follower.index++
			e := &raftpb.Entry{Index: proto.Uint64(follower.index), Term: proto.Uint64(1), Data: slices.Clone(data)}
			b, errB := follower.Apply(e, func(uint64) bool { return false })
			if (errA == nil) != (errB == nil) || a.Revision != b.Revision || (a.Err == nil) != (b.Err == nil) {
				t.Fatalf("seed %d entry %d: %v %v %d, %v %v %d", seed, i, errA, a.Err, a.Revision, errB, b.Err, b.Revision)
			}
			proposer.KV.Publish()
			if rng.IntN(5) == 0 { // the end of a batch, then a little work
				follower.KV.Publish()
				_, err := follower.KV.CompactStep(1 + rng.IntN(5))
				must(t, err)
			}
		}
		if a, b := proposer.hashed(), follower.hashed(); a != b {
			t.Fatalf("seed %d:\n%s\nand\n%s", seed, a, b)
		}
	}
}

// TestRefusedChangesNothing: an entry that is refused or broken leaves the
// state as it was.
func TestRefusedChangesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	f := newFeed(t)
	refused := 0
	for i := range 1500 {
		before := f.hashed()
		res, err := f.entry(raftpb.EntryNormal, entryBytes(rng))
		must(t, err)
		if res.Err == nil {
			continue
		}
		refused++
		if after := f.hashed(); after != before {
			t.Fatalf("entry %d was refused (%v) and changed\n%s\nto\n%s", i, res.Err, before, after)
		}
	}
	if refused < 100 {
		t.Fatalf("only %d were refused", refused)
	}
}

// TestMalformedEntries are errors that name the entry, never panics: the
// member stops and says why.
func TestMalformedEntries(t *testing.T) {
	f := newFeed(t)
	id := wire.RequestHeader{ID: 7}
	for name, c := range map[string]struct {
		typ  raftpb.EntryType
		data []byte
	}{
		"rubbish":             {raftpb.EntryNormal, []byte{0xff, 0xff, 0xff}},
		"no request":          {raftpb.EntryNormal, wire.AppendRaftRequest(nil, id, 0, nil)[:0:0]},
		"no ID":               {raftpb.EntryNormal, wire.AppendRaftRequest(nil, wire.RequestHeader{}, wire.KindPut, []byte{0x0a, 1, 'k'})},
		"broken put":          {raftpb.EntryNormal, wire.AppendRaftRequest(nil, id, wire.KindPut, []byte{0x0a, 99})},
		"broken txn":          {raftpb.EntryNormal, wire.AppendRaftRequest(nil, id, wire.KindTxn, []byte{0x12, 1, 0xff})},
		"broken delete":       {raftpb.EntryNormal, wire.AppendRaftRequest(nil, id, wire.KindDeleteRange, []byte{0xff})},
		"broken alarm":        {raftpb.EntryNormal, wire.AppendRaftRequest(nil, id, wire.KindAlarm, []byte{0xff})},
		"broken checkpoint":   {raftpb.EntryNormal, wire.AppendRaftRequest(nil, id, wire.KindLeaseCheckpoint, []byte{0x0a, 9})},
		"broken conf":         {raftpb.EntryConfChange, []byte{0xff}},
		"conf of another":     {raftpb.EntryConfChange, confBytes(t, 5, member.Change{Member: member.Member{ID: 6}})},
		"unknown entry type":  {raftpb.EntryConfChangeV2, nil},
		"unknown entry type9": {raftpb.EntryType(9), nil},
	} {
		before := f.hashed()
		_, err := f.entry(c.typ, c.data)
		if len(c.data) == 0 && c.typ == raftpb.EntryNormal {
			must(t, err) // an empty entry is what a new leader writes
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "apply entry") {
			t.Errorf("%s: %v", name, err)
		}
		if f.hashed() != before {
			t.Errorf("%s changed the state", name)
		}
	}
}

func confBytes(t testing.TB, id uint64, ch member.Change) []byte {
	ctx, err := json.Marshal(ch)
	must(t, err)
	b, err := proto.Marshal(&raftpb.ConfChange{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: &id, Context: ctx})
	must(t, err)
	return b
}

// FuzzApply: whatever the log holds, Apply ends with a result or an error, and
// two members agree on it.
func FuzzApply(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		f.Add(entryBytes(rng), false)
	}
	f.Add([]byte{0x22, 2, 0x0a, 0, 0xa2, 0x06, 2, 8, 1}, false)
	f.Add(confBytes(f, 5, member.Change{Member: member.Member{ID: 5, PeerURLs: []string{"http://x"}}}), true)
	f.Fuzz(func(t *testing.T, data []byte, conf bool) {
		typ := raftpb.EntryNormal
		if conf {
			typ = raftpb.EntryConfChange
		}
		a, b := newFeed(t), newFeed(t)
		for _, m := range []*feed{a, b} {
			_, err := m.request(wire.KindPut, &etcdserverpb.PutRequest{Key: []byte("a"), Value: []byte("1")})
			must(t, err)
			_, err = m.request(wire.KindLeaseGrant, &etcdserverpb.LeaseGrantRequest{ID: 1, TTL: 10})
			must(t, err)
		}
		before := a.hashed()
		ra, errA := a.entry(typ, data)
		b.index++
		e := &raftpb.Entry{Index: proto.Uint64(b.index), Term: proto.Uint64(1), Data: data, Type: typ.Enum()}
		rb, errB := b.Apply(e, func(uint64) bool { return false })
		if (errA == nil) != (errB == nil) || ra.Revision != rb.Revision || (ra.Err == nil) != (rb.Err == nil) {
			t.Fatalf("%+v %v\n%+v %v", ra, errA, rb, errB)
		}
		after := a.hashed()
		if after != b.hashed() {
			t.Fatalf("two members differ:\n%s\n%s", after, b.hashed())
		}
		if (ra.Err != nil) && after != before {
			t.Fatalf("refused with %v, and changed:\n%s\n%s", ra.Err, before, after)
		}
	})
}
