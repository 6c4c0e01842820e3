package watch

import (
	"bytes"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
)

// FuzzAppendEvent compares the hand-made bytes with what protobuf makes.
func FuzzAppendEvent(f *testing.F) {
	f.Add(false, int64(2), []byte("k"), []byte("v"), []byte("old"), false)
	f.Add(true, int64(1)<<62, []byte("k"), []byte(nil), []byte("old"), true)
	f.Add(true, int64(127), bytes.Repeat([]byte("k"), 200), []byte(nil), []byte(nil), true)
	f.Add(false, int64(128), []byte("k"), bytes.Repeat([]byte("v"), 70_000), []byte(nil), true)
	f.Fuzz(func(t *testing.T, del bool, rev int64, key, value, old []byte, hasPrev bool) {
		kv := &mvccpb.KeyValue{Key: key, Value: value, ModRevision: rev, CreateRevision: 1, Version: 3, Lease: -5}
		want := &mvccpb.Event{Kv: kv}
		ev := Event{Delete: del, Rev: base.Revision{Main: rev}, Key: key, KV: mustMarshal(kv)}
		if del {
			want.Type, want.Kv = mvccpb.Event_DELETE, &mvccpb.KeyValue{Key: key, ModRevision: rev}
		}
		var prev []byte
		if hasPrev {
			want.PrevKv = &mvccpb.KeyValue{Key: []byte("k"), Value: old, ModRevision: 1}
			prev = mustMarshal(want.PrevKv)
		}
		got := &mvccpb.Event{}
		raw := appendEvent(nil, &ev, prev)
		if err := proto.Unmarshal(raw, got); err != nil {
			t.Fatal(err)
		}
		// A delete writes its key and revision even where they are zero values,
		// so messages are compared, not bytes.
		if !proto.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
