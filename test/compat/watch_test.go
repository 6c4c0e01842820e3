package compat

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// streamCount is how many watch streams a sequence may use. On the last one all
// watchers begin in the present or the future.
const (
	streamCount  = 3
	futureStream = streamCount - 1
)

// patience is how long two servers may take to agree about events, which each
// delivers in its own time.
const patience = 10 * time.Second

// broadcast is the watch ID of answers to progress requests.
const broadcast = -1

// watchPair is a stream on both servers.
type watchPair struct {
	sides  [2]*watchSide
	live   map[int64]watcher
	closed bool // half-closed by us
}

// watcher is what was asked for.
type watcher struct {
	start    int64
	fragment bool
}

func (r *run) stream(n int) *watchPair {
	if r.streams[n] != nil {
		return r.streams[n]
	}
	p := &watchPair{live: map[int64]watcher{}}
	r.each(func(i int, s *side) {
		ctx, cancel := context.WithCancel(context.Background())
		w := &watchSide{cancel: cancel, items: map[int64][]string{}, canceled: map[int64]int{},
			open: map[int64]bool{}, last: map[int64]int64{}, changed: make(chan struct{})}
		w.stream, w.ended = openStream(ctx, s.conn, rpcWatch.path)
		p.sides[i] = w
		if w.ended == nil {
			go w.receive()
		}
	})
	r.streams[n] = p
	return p
}

func (w *watchSide) send(request *pb.WatchRequest) error {
	body, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	return w.stream.SendMsg(body)
}

func (r *run) send(p *watchPair, request *pb.WatchRequest) {
	r.requests++
	r.each(func(i int, _ *side) { p.sides[i].send(request) })
}

// watchRequest asks for anything on the first streams; on the last one only
// for what needs no history.
func (g *gen) watchRequest(stream int) *pb.WatchCreateRequest {
	q := &pb.WatchCreateRequest{Key: g.key(), RangeEnd: g.rangeEnd(), PrevKv: g.chance(3), Fragment: g.chance(4), ProgressNotify: g.chance(6)}
	if g.chance(3) {
		q.Key, q.RangeEnd = []byte{0}, []byte{0}
	}
	if g.IntN(5) < 2 {
		q.WatchId = pick[int64](g, 1, 2, 3, 7, -2, math.MaxInt64, math.MinInt64)
	}
	for range pick(g, 0, 0, 0, 1, 1, 2) {
		q.Filters = append(q.Filters, pick[pb.WatchCreateRequest_FilterType](g, 0, 1, 1, 5, -1))
	}
	if stream == futureStream {
		q.StartRevision = pick(g, 0, r0(g.r.current+1), r0(g.r.current+5), math.MaxInt64)
		return q
	}
	switch q.StartRevision = g.revision(); {
	case q.StartRevision > g.r.current:
		q.StartRevision = g.r.current
	case q.StartRevision < -1:
		q.StartRevision = -1
	}
	return q
}

func r0(n int64) int64 { return n }

func opWatchCreate(r *run, g *gen) error {
	n := g.IntN(streamCount)
	p := r.stream(n)
	if p.closed {
		return nil
	}
	request := g.watchRequest(n)
	before := len(p.sides[0].answers)
	r.notef("Watch stream %d create {%s}", n, messageText(request))
	r.send(p, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}})
	var out [2]answer
	r.each(func(i int, _ *side) {
		w := p.sides[i]
		if !w.wait(patience, func() bool { return len(w.answers) > before }) {
			out[i] = answer{err: fmt.Errorf("no answer to create: %w", w.end())}
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		out[i] = answer{message: w.answers[before]}
	})
	r.trace = append(r.trace, "      etcd:    "+short(out[0].text())+"\n      keelson: "+short(out[1].text()))
	if err := r.equal("watch create", out); err != nil || out[0].err != nil {
		return err
	}
	made := out[0].message.(*pb.WatchResponse)
	if made.Canceled {
		return nil
	}
	p.live[made.WatchId] = watcher{start: request.StartRevision, fragment: request.Fragment}
	if 0 < request.StartRevision && request.StartRevision < r.compacted {
		return r.expectCompacted(p, made.WatchId)
	}
	return nil
}

// expectCompacted waits for the word that history is gone, then cancels the
// watcher: until then etcd would keep it and answer no progress request
// (docs/compat.md).
func (r *run) expectCompacted(p *watchPair, id int64) error {
	if err := r.waitCanceled(p, id, p.canceledBefore(id)); err != nil {
		return err
	}
	return r.cancelWatcher(p, id)
}

// canceledBefore is how often the watcher was canceled before its last creation.
func (p *watchPair) canceledBefore(id int64) [2]int {
	var out [2]int
	for i, w := range p.sides {
		w.mu.Lock()
		items := w.items[id]
		for at := len(items) - 1; at >= 0; at-- {
			if strings.HasPrefix(items[at], "created: ") {
				items = items[:at]
				break
			}
		}
		for _, item := range items {
			if strings.HasPrefix(item, "canceled: ") {
				out[i]++
			}
		}
		w.mu.Unlock()
	}
	return out
}

func (r *run) waitCanceled(p *watchPair, id int64, before [2]int) error {
	var missing [2]string
	r.each(func(i int, _ *side) {
		w := p.sides[i]
		if !w.wait(patience, func() bool { return w.canceled[id] > before[i] }) {
			missing[i] = "no cancel response: " + w.end().Error()
		}
	})
	if missing[0] != "" || missing[1] != "" {
		return &difference{fmt.Sprintf("cancel of watcher %d", id), missing[0], missing[1]}
	}
	return nil
}

func (r *run) cancelWatcher(p *watchPair, id int64) error {
	delete(p.live, id)
	var before [2]int
	for i, w := range p.sides {
		w.mu.Lock()
		before[i] = w.canceled[id]
		w.mu.Unlock()
	}
	r.notef("Watch cancel %d", id)
	r.send(p, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
	return r.waitCanceled(p, id, before)
}

// opWatchCancel cancels a watcher, or one that does not exist, which is not
// answered. Events that are on their way are awaited first: whether they come
// before the cancel response is a race.
func opWatchCancel(r *run, g *gen) error {
	p := r.stream(g.IntN(streamCount))
	if p.closed {
		return nil
	}
	ids := slices.Sorted(maps.Keys(p.live))
	if len(ids) == 0 || g.chance(6) {
		r.notef("Watch cancel 55 (unknown)")
		r.send(p, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: 55}}})
		if g.chance(3) {
			r.send(p, &pb.WatchRequest{})
		}
		return nil
	}
	if err := r.settle(); err != nil {
		return err
	}
	return r.cancelWatcher(p, ids[g.IntN(len(ids))])
}

func opWatchProgress(r *run, g *gen) error {
	if g.chance(2) {
		return r.settle()
	}
	p := r.stream(g.IntN(streamCount))
	if p.closed {
		return nil
	}
	r.send(p, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
	return nil
}

// settle waits until every watcher has what it asked for on both servers, and
// compares. Where a progress request can be answered, its answer is awaited:
// it promises that everything up to its revision was delivered.
func (r *run) settle() error {
	for n, p := range r.streams {
		if p == nil {
			continue
		}
		if p.answersProgress(r.current) {
			if err := r.awaitProgress(n, p); err != nil {
				return err
			}
		}
		if err := r.awaitEqual(n, p); err != nil {
			return err
		}
	}
	return nil
}

// answersProgress: with no watcher, or one that begins in the future, progress
// requests are not answered.
func (p *watchPair) answersProgress(current int64) bool {
	for _, w := range p.live {
		if w.start > current {
			return false
		}
	}
	return len(p.live) > 0 && !p.closed
}

func (r *run) awaitProgress(n int, p *watchPair) error {
	var missing [2]string
	r.each(func(i int, _ *side) {
		w := p.sides[i]
		w.mu.Lock()
		before := len(w.progress)
		w.mu.Unlock()
		reached := func() bool {
			return len(w.progress) > before && w.progress[len(w.progress)-1] == r.current
		}
		for until := time.Now().Add(patience); time.Now().Before(until); {
			w.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
			if w.wait(150*time.Millisecond, reached) {
				return
			}
		}
		w.mu.Lock()
		missing[i] = fmt.Sprintf("no progress to %d: %v, end %v", r.current, w.progress, w.ended)
		w.mu.Unlock()
	})
	r.requests++
	if missing[0] != "" || missing[1] != "" {
		return &difference{fmt.Sprintf("progress request on stream %d", n), missing[0], missing[1]}
	}
	return nil
}

// awaitEqual gives the slower server time, then compares what all watchers of
// the stream were told.
func (r *run) awaitEqual(n int, p *watchPair) error {
	until := time.Now().Add(patience)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		d := p.compare(n)
		if d == nil {
			return nil
		}
		if time.Now().After(until) {
			return d
		}
		<-poll.C
	}
}

// compare returns the first watcher that was told different things.
func (p *watchPair) compare(n int) error {
	a, b := p.sides[0], p.sides[1]
	a.mu.Lock()
	defer a.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.broken != "" || b.broken != "" {
		return &difference{fmt.Sprintf("protocol of watch stream %d", n), a.broken, b.broken}
	}
	if (a.ended == nil) != (b.ended == nil) {
		return &difference{fmt.Sprintf("end of watch stream %d", n), fmt.Sprint(a.ended), fmt.Sprint(b.ended)}
	}
	ids := maps.Clone(a.items)
	maps.Copy(ids, b.items)
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if x, y := a.items[id], b.items[id]; !slices.Equal(x, y) {
			same := 0
			for same < len(x) && same < len(y) && x[same] == y[same] {
				same++
			}
			return &difference{fmt.Sprintf("watcher %d of stream %d: %d and %d items, first difference at %d", id, n, len(x), len(y), same),
				strings.Join(x[same:min(same+5, len(x))], "\n             "), strings.Join(y[same:min(same+5, len(y))], "\n             ")}
		}
	}
	return nil
}

// closeStreams ends all watches.
func (r *run) closeStreams() {
	for n, p := range r.streams {
		if p == nil {
			continue
		}
		if r.events != nil {
			r.events.Add(p.sides[0].eventCount())
		}
		for _, w := range p.sides {
			w.cancel()
		}
		r.streams[n] = nil
	}
}

// opWatchMalformed sends what cannot be decoded and compares how the stream ends.
func opWatchMalformed(r *run, g *gen) error {
	if g.chance(2) {
		p := r.stream(g.IntN(streamCount))
		if !p.closed {
			p.closed = true
			r.notef("half-close")
			r.each(func(i int, _ *side) { p.sides[i].stream.CloseSend() })
		}
		return nil
	}
	// Nothing valid goes before it: whether that is still answered is a race in etcd.
	return r.exchange(rpcWatch, [][]byte{pick(g, []byte{0x0a, 0x05}, []byte{0xff}, []byte{0x0b}, []byte{0x07, 0x00})})
}
