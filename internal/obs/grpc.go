package obs

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"keelson/internal/clock"
)

// codeCount is how many gRPC codes there are: OK to Unauthenticated.
const codeCount = int(codes.Unauthenticated) + 1

// GRPC counts RPCs: the grpc_server_* families. Series of all methods of the
// core services exist from the start, at zero and for every code, because
// dashboards subtract them from each other; those of other services come with
// the first call. All methods may be called from any goroutine.
type GRPC struct {
	started, handled, received, sent *prometheus.CounterVec
	seconds                          *prometheus.HistogramVec // nil unless extensive
	clock                            clock.Clock

	sentBytes, receivedBytes prometheus.Counter
	clientRequests           *prometheus.CounterVec
	streamFailures           *prometheus.CounterVec

	core map[method]*MethodSeries // never changed after construction
}

type method struct{ service, name string }

// MethodSeries counts the calls of one method. Its methods cost an atomic
// addition each.
type MethodSeries struct {
	grpc *GRPC
	method
	typ string
	// once makes the series below.
	once                    sync.Once
	started, received, sent prometheus.Counter
	handled                 [codeCount]prometheus.Counter
	seconds                 prometheus.Observer // nil unless extensive
}

func newGRPC(f families, n *NetworkMetrics, srv *ServerMetrics, c clock.Clock, extensive bool) *GRPC {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	g := &GRPC{
		sentBytes: n.ClientSentBytes, receivedBytes: n.ClientReceivedBytes,
		clientRequests: srv.ClientRequests, streamFailures: n.StreamFailures,
		started:  f.counters("grpc_server_started_total", "RPCs started.", labels...),
		handled:  f.counters("grpc_server_handled_total", "RPCs ended, whatever the result.", append(labels, "grpc_code")...),
		received: f.counters("grpc_server_msg_received_total", "Messages received.", labels...),
		sent:     f.counters("grpc_server_msg_sent_total", "Messages sent.", labels...),
		core:     map[method]*MethodSeries{},
		clock:    c,
	}
	if extensive {
		g.seconds = f.histograms("grpc_server_handling_seconds", "Time from start to end of RPCs.", prometheus.DefBuckets, labels...)
	}
	for _, d := range []grpc.ServiceDesc{
		pb.KV_ServiceDesc, pb.Watch_ServiceDesc, pb.Lease_ServiceDesc, pb.Cluster_ServiceDesc,
		pb.Auth_ServiceDesc, pb.Maintenance_ServiceDesc, healthpb.Health_ServiceDesc,
	} {
		for _, m := range d.Methods {
			g.addCore(d.ServiceName, m.MethodName, "unary")
		}
		for _, s := range d.Streams {
			g.addCore(d.ServiceName, s.StreamName, StreamType(s.ClientStreams, s.ServerStreams))
		}
	}
	return g
}

// StreamType is the grpc_type label of a method.
func StreamType(client, server bool) string {
	switch {
	case client && server:
		return "bidi_stream"
	case client:
		return "client_stream"
	case server:
		return "server_stream"
	}
	return "unary"
}

func (g *GRPC) addCore(service, name, typ string) {
	s := &MethodSeries{grpc: g, method: method{service, name}, typ: typ}
	s.once.Do(s.create)
	g.core[s.method] = s
}

// Method returns the counters of a method; typ is its grpc_type label. Call it
// once for each method a server registers: every other pair makes series.
func (g *GRPC) Method(service, name, typ string) *MethodSeries {
	if s, ok := g.core[method{service, name}]; ok {
		return s
	}
	return &MethodSeries{grpc: g, method: method{service, name}, typ: typ}
}

// create makes the method's series, all zero.
func (s *MethodSeries) create() {
	g := s.grpc
	s.started = g.started.WithLabelValues(s.typ, s.service, s.name)
	s.received = g.received.WithLabelValues(s.typ, s.service, s.name)
	s.sent = g.sent.WithLabelValues(s.typ, s.service, s.name)
	for c := range s.handled {
		s.handled[c] = g.handled.WithLabelValues(s.typ, s.service, s.name, codes.Code(c).String())
	}
	if g.seconds != nil {
		s.seconds = g.seconds.WithLabelValues(s.typ, s.service, s.name)
	}
}

// Started counts an RPC whose headers arrived. It returns the time that
// Handled gets back: the zero time unless durations are measured.
func (s *MethodSeries) Started() time.Time {
	s.once.Do(s.create)
	s.started.Inc()
	if s.seconds == nil {
		return time.Time{}
	}
	return s.grpc.clock.Now()
}

// Received counts a message of the client. Received, Sent and Handled come
// after Started.
func (s *MethodSeries) Received() { s.received.Inc() }

// Sent counts a message to the client.
func (s *MethodSeries) Sent() { s.sent.Inc() }

// Handled counts the end of an RPC.
func (s *MethodSeries) Handled(code codes.Code, started time.Time) {
	if int(code) >= codeCount {
		code = codes.Unknown
	}
	s.handled[code].Inc()
	if s.seconds != nil {
		s.seconds.Observe(s.grpc.clock.Now().Sub(started).Seconds())
	}
}

// BytesSent adds the length of an encoded message to a client.
func (g *GRPC) BytesSent(n int) { g.sentBytes.Add(float64(n)) }

// BytesReceived adds the length of an encoded message of a client.
func (g *GRPC) BytesReceived(n int) { g.receivedBytes.Add(float64(n)) }

// ClientRequest counts a request by the API version the client states ("" is
// "unknown"); all kinds but unary are counted as streams.
func (g *GRPC) ClientRequest(kind, version string) {
	if version == "" {
		version = "unknown"
	}
	if kind != "unary" {
		kind = "stream"
	}
	g.clientRequests.WithLabelValues(kind, version).Inc()
}

// StreamFailed counts a watch or lease-keepalive stream (api) that broke while
// it was to "send" or "receive".
func (g *GRPC) StreamFailed(direction, api string) {
	g.streamFailures.WithLabelValues(direction, api).Inc()
}
