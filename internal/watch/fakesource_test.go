package watch

import (
	"errors"
	"fmt"
	"sort"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/errs"
)

// change is one key change of a fake transaction.
type change struct {
	key    string
	value  string
	delete bool
}

func put(key, value string) change { return change{key: key, value: value} }
func del(key string) change        { return change{key: key, delete: true} }

// fakeStore is an in-memory multi-version store. Like the real one it makes
// changes visible in a view first (apply) and leaves it to the test when the
// hub hears of them.
type fakeStore struct {
	mu        sync.Mutex
	revision  int64
	compacted int64
	history   []Event // all of it, ascending; a view shows a prefix
	latest    map[string]*mvccpb.KeyValue
	values    map[base.Revision][]byte
	unread    map[base.Revision]error // reading these fails
	onScan    func(rev int64)         // called, unlocked, before each event a scan yields
	views     int                     // acquired and not released
	scans     int
}

func newFakeStore() *fakeStore {
	return &fakeStore{
		revision:  1,
		compacted: -1,
		latest:    make(map[string]*mvccpb.KeyValue),
		values:    make(map[base.Revision][]byte),
		unread:    make(map[base.Revision]error),
	}
}

// apply makes one revision of the changes and returns its batch.
func (f *fakeStore) apply(changes ...change) Batch {
	f.mu.Lock()
	defer f.mu.Unlock()
	main := f.revision + 1
	var events []Event
	for i, c := range changes {
		ev := Event{Delete: c.delete, Key: []byte(c.key), Rev: base.Revision{Main: main, Sub: int64(i)}}
		old := f.latest[c.key]
		if old != nil {
			ev.Prev = f.revisionOf(c.key)
		}
		if c.delete {
			if old == nil {
				panic("delete of absent key " + c.key)
			}
			delete(f.latest, c.key)
			ev.KV = mustMarshal(&mvccpb.KeyValue{Key: ev.Key})
		} else {
			kv := &mvccpb.KeyValue{Key: ev.Key, Value: []byte(c.value), CreateRevision: main, ModRevision: main, Version: 1}
			if old != nil {
				kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
			}
			f.latest[c.key] = kv
			ev.KV = mustMarshal(kv)
			f.values[ev.Rev] = ev.KV
		}
		events = append(events, ev)
	}
	f.history = append(f.history, events...)
	f.revision = main
	return Batch{Revision: main, Events: append([]Event(nil), events...)}
}

func (f *fakeStore) revisionOf(key string) base.Revision {
	for i := len(f.history) - 1; ; i-- {
		if string(f.history[i].Key) == key {
			return f.history[i].Rev
		}
	}
}

func (f *fakeStore) compact(rev int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.compacted = rev
}

func (f *fakeStore) current() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revision
}

func (f *fakeStore) openViews() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.views
}

// breakAt makes reading the record at rev fail.
func (f *fakeStore) breakAt(main, sub int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unread[base.Revision{Main: main, Sub: sub}] = err
}

func (f *fakeStore) Acquire() SourceView {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.views++
	return &fakeView{store: f, revision: f.revision, compacted: f.compacted, history: f.history}
}

type fakeView struct {
	store     *fakeStore
	revision  int64
	compacted int64
	history   []Event
	released  bool
}

func (v *fakeView) Revision() int64        { return v.revision }
func (v *fakeView) CompactRevision() int64 { return v.compacted }

func (v *fakeView) Scan(from, to int64, yield func(Event) bool) error {
	if v.released {
		panic("scan of a released view")
	}
	if from < v.compacted {
		return fmt.Errorf("scan from %d: %w", from, errs.ErrCompacted)
	}
	v.store.mu.Lock()
	hook := v.store.onScan
	v.store.scans++
	v.store.mu.Unlock()
	first := sort.Search(len(v.history), func(i int) bool { return v.history[i].Rev.Main >= from })
	for i := first; i < len(v.history) && v.history[i].Rev.Main <= to; i++ {
		ev := v.history[i]
		if hook != nil {
			hook(ev.Rev.Main)
		}
		v.store.mu.Lock()
		err := v.store.unread[ev.Rev]
		v.store.mu.Unlock()
		if err != nil {
			return err
		}
		// The bytes are good for this call only; what keeps them sees garbage.
		scratch := append([]byte(nil), ev.KV...)
		key := append([]byte(nil), ev.Key...)
		ev.KV, ev.Key = scratch, key
		more := yield(ev)
		for i := range scratch {
			scratch[i] = 0xee
		}
		for i := range key {
			key[i] = 0xee
		}
		if !more {
			return nil
		}
	}
	return nil
}

func (v *fakeView) KVAt(rev base.Revision) ([]byte, bool, error) {
	if v.released {
		panic("read of a released view")
	}
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	if err := v.store.unread[rev]; err != nil {
		return nil, false, err
	}
	kv, ok := v.store.values[rev]
	return kv, ok, nil
}

func (v *fakeView) Release() {
	if v.released {
		panic("view released twice")
	}
	v.released = true
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	v.store.views--
}

var errBroken = errors.New("revlog: segment 7 at offset 4096: checksum mismatch")

func mustMarshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}
