package compat

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// watchSide is one server's end of a watch stream, read by its own goroutine.
type watchSide struct {
	stream grpc.ClientStream
	cancel context.CancelFunc

	mu sync.Mutex // guards what follows
	// items is what each watcher was told, as comparable texts in order.
	items    map[int64][]string
	answers  []*pb.WatchResponse // to create requests
	canceled map[int64]int       // cancel responses by watcher
	progress []int64             // header revisions of progress answers
	open     map[int64]bool      // a fragmented response is being received
	last     map[int64]int64     // revision of the last event by watcher
	broken   string              // a rule of the protocol that was violated
	ended    error
	changed  chan struct{} // closed and replaced at every change
}

// receive reads until the stream ends.
func (w *watchSide) receive() {
	for {
		var body []byte
		err := w.stream.RecvMsg(&body)
		response := &pb.WatchResponse{}
		if err == nil {
			err = proto.Unmarshal(body, response)
		}
		w.mu.Lock()
		if err != nil {
			w.ended = err
		} else {
			w.take(response)
		}
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// take files a response. The caller holds mu.
func (w *watchSide) take(m *pb.WatchResponse) {
	normaliseHeader(m.Header)
	id := m.WatchId
	switch {
	case m.Created:
		w.answers = append(w.answers, m)
		w.items[id] = append(w.items[id], "created: "+messageText(m))
		w.last[id] = 0
	case m.Canceled:
		w.canceled[id]++
		w.items[id] = append(w.items[id], "canceled: "+messageText(m))
	case len(m.Events) == 0 && m.CompactRevision == 0:
		if id == broadcast {
			w.progress = append(w.progress, m.Header.GetRevision())
		}
	default:
		w.takeEvents(id, m)
	}
}

// takeEvents also checks what does not need the other server: revisions rise,
// none is split except within fragments, the header is not behind the events.
func (w *watchSide) takeEvents(id int64, m *pb.WatchResponse) {
	for i, event := range m.Events {
		revision := event.GetKv().GetModRevision()
		if revision < w.last[id] || revision == w.last[id] && i == 0 && !w.open[id] {
			w.broken = fmt.Sprintf("watcher %d: event of revision %d after %d", id, revision, w.last[id])
		}
		w.last[id] = revision
		w.items[id] = append(w.items[id], eventText(event))
	}
	if m.Header.GetRevision() < w.last[id] {
		w.broken = fmt.Sprintf("watcher %d: header revision %d with an event of %d", id, m.Header.GetRevision(), w.last[id])
	}
	w.open[id] = m.Fragment
}

// eventText is a comparable, short form of an event.
func eventText(e *mvccpb.Event) string {
	text := messageText(e)
	if len(text) > 400 {
		return fmt.Sprintf("%s key %q rev %d sha256 %x", e.Type, e.GetKv().GetKey(), e.GetKv().GetModRevision(), sha256.Sum256([]byte(text)))
	}
	return text
}

// wait returns when done is true or the time is up. done is called with mu held.
func (w *watchSide) wait(limit time.Duration, done func() bool) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		w.mu.Lock()
		ok, ended, changed := done(), w.ended, w.changed
		w.mu.Unlock()
		if ok || ended != nil {
			return ok
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		}
	}
}

func (w *watchSide) end() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended != nil {
		return w.ended
	}
	return fmt.Errorf("not within %v", patience)
}

func (w *watchSide) eventCount() (n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, items := range w.items {
		for _, item := range items {
			if !strings.HasPrefix(item, "created: ") && !strings.HasPrefix(item, "canceled: ") {
				n++
			}
		}
	}
	return n
}
