package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// TestFloods does to a member what broken and hostile clients do. Each request
// gets its exact error; afterwards the member answers, and neither goroutines
// nor memory stay behind.
func TestFloods(t *testing.T) {
	t.Parallel()
	m := startMember(t, "--enable-pprof")
	cli := m.client()
	ctx := testContext(t)
	must(cli.Put(ctx, "alive", "yes"))(t)
	before := m.usage()
	for _, flood := range []struct {
		name string
		run  func(t *testing.T, m *member)
	}{
		{"oversized requests", floodOversized},
		{"too many operations", floodOperations},
		{"malformed messages", floodMalformed},
		{"idle connections", floodIdle},
		{"broken handshakes", floodGarbage},
		{"watch streams cut off", floodWatches},
		{"slow reader", floodSlowReader},
	} {
		t.Run(flood.name, func(t *testing.T) {
			flood.run(t, m)
			if r := must(cli.Get(testContext(t), "alive"))(t); string(r.Kvs[0].Value) != "yes" {
				t.Errorf("afterwards: %v", r)
			}
		})
	}
	must(cli.Delete(ctx, "flood/", clientv3.WithPrefix()))(t)
	var after usage
	eventually(t, fmt.Sprintf("goroutines and memory get back to where they were, %+v", before), func() bool {
		after = m.usage()
		return after.goroutines <= before.goroutines+40 && after.heap <= before.heap+48<<20
	})
	t.Logf("before: %+v, after: %+v", before, after)
	if strings.Contains(m.log.all(), "panic") {
		t.Error("something panicked; see the log")
	}
	m.terminate()
}

// usage is what a leak would make grow.
type usage struct {
	goroutines int
	heap       int64 // bytes in use after a collection
}

func (m *member) usage() usage {
	m.t.Helper()
	m.get("/debug/pprof/heap?gc=1")
	var u usage
	_, profile := m.get("/debug/pprof/goroutine?debug=1")
	if _, err := fmt.Sscanf(profile, "goroutine profile: total %d", &u.goroutines); err != nil {
		m.t.Fatalf("goroutine profile: %v in %.100s", err, profile)
	}
	var vars struct {
		Memstats struct{ HeapAlloc int64 }
	}
	_, body := m.get("/debug/vars")
	if err := json.Unmarshal([]byte(body), &vars); err != nil {
		m.t.Fatal(err)
	}
	u.heap = vars.Memstats.HeapAlloc
	return u
}

// parallel runs f so many times, eight at once.
func parallel(n int, f func(i int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func floodOversized(t *testing.T, m *member) {
	ctx, conn := testContext(t), m.conn()
	// Over the limit of a message: refused by its length, before it is read.
	tooLong := fields{}.text(1, "k").bytes(2, make([]byte, 4<<20))
	// Below it, but over the limit of a request.
	tooLarge := fields{}.text(1, "k").bytes(2, make([]byte, 1_700_000))
	parallel(32, func(i int) {
		if i%2 == 0 {
			_, err := rawCall(ctx, conn, "/etcdserverpb.KV/Put", tooLong)
			wantStatus(t, "4 MiB", err, codes.ResourceExhausted,
				fmt.Sprintf("grpc: received message larger than max (%d vs. %d)", len(tooLong), 1572864+512<<10))
			return
		}
		_, err := rawCall(ctx, conn, "/etcdserverpb.KV/Put", tooLarge)
		wantStatus(t, "1.7 MB", err, codes.InvalidArgument, "etcdserver: request is too large")
	})
}

func floodOperations(t *testing.T, m *member) {
	ctx, conn := testContext(t), m.conn()
	op := fields{}.bytes(1, fields{}.text(1, "k"))
	var txn fields
	for range 20_000 {
		txn = txn.bytes(2, op)
	}
	// A chain of transactions, each inside the one before.
	deep := fields{}
	for range 3000 {
		deep = fields{}.bytes(2, fields{}.bytes(4, deep))
	}
	parallel(16, func(i int) {
		if i%2 == 0 {
			_, err := rawCall(ctx, conn, "/etcdserverpb.KV/Txn", txn)
			wantStatus(t, "20000 operations", err, codes.InvalidArgument, "etcdserver: too many operations in txn request")
			return
		}
		if _, err := rawCall(ctx, conn, "/etcdserverpb.KV/Txn", deep); err == nil {
			t.Error("a transaction 3000 levels deep was accepted")
		}
	})
}

func floodMalformed(t *testing.T, m *member) {
	ctx, conn := testContext(t), m.conn()
	bad := [][]byte{
		{0xff}, {0x0a, 0x05, 'a'}, {0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, {0x0b}, []byte(strings.Repeat("\x13", 1000)),
	}
	methods := []string{
		"/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put", "/etcdserverpb.KV/DeleteRange", "/etcdserverpb.KV/Txn", "/etcdserverpb.KV/Compact",
		"/etcdserverpb.Lease/LeaseGrant", "/etcdserverpb.Lease/LeaseRevoke", "/etcdserverpb.Lease/LeaseTimeToLive",
		"/etcdserverpb.Cluster/MemberAdd", "/etcdserverpb.Maintenance/Alarm", "/v3lockpb.Lock/Lock", "/v3electionpb.Election/Campaign",
	}
	parallel(len(bad)*len(methods), func(i int) {
		method := methods[i%len(methods)]
		_, err := rawCall(ctx, conn, method, bad[i/len(methods)])
		if c := grpcCode(err); c != codes.Internal {
			t.Errorf("%s with % x: %v, want Internal", method, bad[i/len(methods)], err)
		}
	})
	_, err := rawCall(ctx, conn, "/etcdserverpb.Cluster/MemberAdd", fields{}.text(1, "http://\xff\xfe"))
	if grpcCode(err) != codes.Internal || !strings.Contains(err.Error(), "invalid UTF-8") {
		t.Errorf("a string that is not UTF-8: %v", err)
	}
	// Keys are bytes, and may be anything.
	key := fields{}.text(1, "flood/\xff\xfe\x00")
	must(rawCall(ctx, conn, "/etcdserverpb.KV/Put", key.text(2, "\xc3\x28")))(t)
	if kv := field(t, must(rawCall(ctx, conn, "/etcdserverpb.KV/Range", key))(t), 2); string(field(t, kv, 5)) != "\xc3\x28" {
		t.Errorf("a key of odd bytes: %x", kv)
	}
	_, err = rawCall(ctx, conn, "/etcdserverpb.KV/Nothing", nil)
	wantStatus(t, "unknown method", err, codes.Unimplemented, "unknown method Nothing for service etcdserverpb.KV")
	_, err = rawCall(ctx, conn, "/nothing.Nothing/Nothing", nil)
	wantStatus(t, "unknown service", err, codes.Unimplemented, "unknown service nothing.Nothing")
	// Malformed messages on streams end the stream, not the member.
	for _, method := range []string{"/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive", "/etcdserverpb.KV/RangeStream"} {
		s := must(conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodec(rawCodec{})))(t)
		garbage := []byte{0xff, 0xff}
		if err := s.SendMsg(&garbage); err != nil {
			t.Fatal(err)
		}
		var answer []byte
		if err := s.RecvMsg(&answer); grpcCode(err) != codes.Internal {
			t.Errorf("%s with garbage: %v, want Internal", method, err)
		}
	}
	// Metadata that is not what the server expects.
	odd := metadata.AppendToOutgoingContext(ctx, "token", strings.Repeat("x", 4000), "hasleader", "maybe", "client-api-version", "none")
	if _, err := rawCall(odd, conn, "/etcdserverpb.KV/Range", fields{}.text(1, "alive")); err != nil {
		t.Errorf("odd metadata: %v", err)
	}
}

// grpcCode is the code of an error a test got.
func grpcCode(err error) codes.Code {
	if s, ok := statusOf(err); ok {
		return s.Code()
	}
	return codes.OK
}

// floodIdle opens connections that say nothing, or stop in the middle.
func floodIdle(t *testing.T, m *member) {
	starts := []string{"", "P", "PRI * HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /health HTTP/1.1\r\nHost: x\r\n"}
	var conns []net.Conn
	for i := range 500 {
		c := must(net.Dial("tcp", m.clientAddr))(t)
		conns = append(conns, c)
		if _, err := io.WriteString(c, starts[i%len(starts)]); err != nil {
			t.Fatal(err)
		}
	}
	// They are in nobody's way.
	cli := m.client()
	must(cli.Put(testContext(t), "flood/idle", "1"))(t)
	if code, _ := m.get("/health"); code != 200 {
		t.Errorf("/health beside 500 idle connections: %d", code)
	}
	for _, c := range conns {
		c.Close()
	}
}

// floodGarbage says things that are no protocol at all.
func floodGarbage(t *testing.T, m *member) {
	for _, say := range []string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 500), // a TLS hello
		strings.Repeat("\xff", 10_000),
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\x00\x40\x00\x00\x00", 100),
		"GET / HTTP/9.9\r\n\r\n",
		"POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
	} {
		c := must(net.Dial("tcp", m.clientAddr))(t)
		_, _ = io.WriteString(c, say) // the member may have closed it by now
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, bufio.NewReader(c)) // until the member closes it
		c.Close()
	}
}

// floodWatches opens many watch streams with many watches and breaks the
// connections off while events flow.
func floodWatches(t *testing.T, m *member) {
	cli := m.client()
	ctx := testContext(t)
	for round := range 3 {
		conn, err := grpc.NewClient(m.clientAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		watching, cancel := context.WithCancel(ctx)
		var created sync.WaitGroup
		for s := range 60 {
			stream := must(pb.NewWatchClient(conn).Watch(watching))(t)
			created.Add(1)
			go func() {
				defer created.Done()
				for range 20 {
					request := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
						Key: []byte("flood/"), RangeEnd: []byte("flood0"), StartRevision: int64(s % 2), PrevKv: true,
					}}}
					if err := stream.Send(request); err != nil {
						t.Error(err)
						return
					}
				}
				if _, err := stream.Recv(); err != nil { // one answer is read, the rest piles up
					t.Error(err)
				}
			}()
		}
		created.Wait()
		for i := range 20 {
			must(cli.Put(ctx, fmt.Sprintf("flood/watched/%d", i), strings.Repeat("x", 5000)))(t)
		}
		if round%2 == 0 {
			cancel() // every stream is reset
		}
		conn.Close() // the connection goes, with whatever is left on it
		cancel()
	}
}

// floodSlowReader asks for a big list many times and does not read the answers.
func floodSlowReader(t *testing.T, m *member) {
	cli := m.client()
	ctx := testContext(t)
	for i := range 40 {
		must(cli.Put(ctx, fmt.Sprintf("flood/list/%02d", i), strings.Repeat("x", 500_000)))(t)
	}
	conn, err := grpc.NewClient(m.clientAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := []byte(fields{}.text(1, "flood/list/").text(2, "flood/list0"))
	for range 10 {
		s := must(conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/etcdserverpb.KV/Range", grpc.ForceCodec(rawCodec{})))(t)
		if err := s.SendMsg(&request); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
	}
	// Nobody else waits for them.
	must(cli.Put(ctx, "flood/beside", "1"))(t)
	r := must(cli.Get(ctx, "flood/list/", clientv3.WithPrefix()))(t)
	if len(r.Kvs) != 40 {
		t.Errorf("a list beside slow readers has %d keys, want 40", len(r.Kvs))
	}
}
