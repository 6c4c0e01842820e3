package compat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// A step names one operation of one random sequence. What it does follows from
// its two numbers and from the state it meets, so steps can be left out and the
// others keep their shape.
type step struct {
	seed  uint64
	index int
}

func (s step) random() *rand.Rand { return rand.New(rand.NewPCG(s.seed, uint64(s.index))) }

// difference is a finding: the two servers disagree.
type difference struct {
	what      string
	reference string
	keelson   string
}

func (d *difference) Error() string {
	return fmt.Sprintf("%s\n  etcd:    %s\n  keelson: %s", d.what, clip(d.reference), clip(d.keelson))
}

// clip shortens a text to what a person would read.
func clip(text string) string {
	const limit = 3000
	if len(text) <= limit {
		return text
	}
	return fmt.Sprintf("%s ... (%d bytes)", text[:limit], len(text))
}

// side is one of the two servers and our connection to it.
type side struct {
	server *server
	conn   *grpc.ClientConn
}

// run is a pair of servers with equal histories and what we know about them.
// All requests are made by one goroutine; the two servers are asked at the same
// time and both answers are awaited before the next request.
type run struct {
	t     testing.TB
	sides [2]*side // the reference first
	dir   string

	current    int64 // revision, from the answers of the reference
	compacted  int64 // highest accepted compaction, -1 before the first
	compacting bool  // a compaction may still be at work in the background
	// forgotten is the last compaction before a restart: etcd no longer knows its hash.
	forgotten int64
	// compactedZero: a compaction at revision 0 was accepted.
	compactedZero bool
	streams       [streamCount]*watchPair
	trace         []string // requests and answers of this sequence
	requests      int
	kinds         *tally // nil while a difference is shrunk
	events        *atomic.Int64
}

// newRun starts a fresh pair.
func newRun(t testing.TB) *run {
	t.Helper()
	// Not t.TempDir: a long run starts hundreds of pairs, each with two raft logs of 64 MB.
	dir, err := os.MkdirTemp("", "keelson-compat-pair")
	if err != nil {
		t.Fatal(err)
	}
	r := &run{t: t, dir: dir, current: 1, compacted: -1}
	var wg sync.WaitGroup
	var errs [2]error
	for i, kind := range []string{"etcd", keelsonKind()} {
		wg.Go(func() {
			s, err := launch(t, kind, r.options(i))
			if err != nil {
				errs[i] = err
				return
			}
			conn, err := dial(s.clientURL)
			r.sides[i], errs[i] = &side{server: s, conn: conn}, err
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			r.close()
			t.Fatal(err)
		}
	}
	return r
}

func (r *run) close() {
	for _, s := range r.sides {
		if s != nil {
			s.conn.Close()
			s.server.kill()
		}
	}
	os.RemoveAll(r.dir)
}

// each does the same with both servers at the same time.
func (r *run) each(do func(i int, s *side)) {
	var wg sync.WaitGroup
	for i, s := range r.sides {
		wg.Go(func() { do(i, s) })
	}
	wg.Wait()
}

// raw sends bytes to both and returns both answers.
func (r *run) raw(m method, request []byte) [2]answer {
	var out [2]answer
	r.each(func(i int, s *side) {
		body, err := call(context.Background(), s.conn, m.path, request)
		out[i] = interpret(m, body, err)
	})
	r.requests++
	if h, ok := out[0].message.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		r.current = max(r.current, h.GetHeader().GetRevision())
	}
	return out
}

// ask sends a message to both, notes it, and returns both answers.
func (r *run) ask(m method, request proto.Message) [2]answer {
	body, err := proto.MarshalOptions{AllowPartial: true}.Marshal(request)
	if err != nil {
		r.t.Fatalf("marshal %s: %v", m.path, err)
	}
	out := r.raw(m, body)
	r.note(m, messageText(request), out)
	return out
}

// must asks and compares.
func (r *run) must(m method, request proto.Message) (answer, error) {
	out := r.ask(m, request)
	return out[0], r.equal(m.path, out)
}

// equal returns a difference if the answers are not the same.
func (r *run) equal(what string, out [2]answer) error {
	r.kinds.add(what, out[0])
	tolerateTime(out)
	if out[0].same(out[1]) {
		return nil
	}
	d := &difference{what, out[0].text(), out[1].text()}
	if last := r.sides[1].server.lastWords(); last != "" {
		d.keelson += "\n  keelson ended: " + last
	}
	return d
}

// note adds a request to the trace. Very long ones are cut.
func (r *run) note(m method, request string, out [2]answer) {
	r.trace = append(r.trace, fmt.Sprintf("%s {%s}\n      etcd:    %s\n      keelson: %s",
		strings.TrimPrefix(m.path, "/etcdserverpb."), short(request), short(out[0].text()), short(out[1].text())))
}

func (r *run) notef(format string, args ...any) {
	r.trace = append(r.trace, fmt.Sprintf(format, args...))
}

func short(text string) string {
	const limit = 400
	if len(text) <= limit {
		return text
	}
	return fmt.Sprintf("%s ... (%d bytes)", text[:limit], len(text))
}

// compareState reads everything there is, now and hashed.
func (r *run) compareState() error {
	if err := r.finishCompaction(); err != nil {
		return err
	}
	if _, err := r.must(rpcRange, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}); err != nil {
		return err
	}
	if _, err := r.must(rpcLeases, &pb.LeaseLeasesRequest{}); err != nil {
		return err
	}
	return r.hash(0)
}
