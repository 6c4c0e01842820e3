package obs

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// codeCount is how many gRPC codes there are: OK to Unauthenticated.
const codeCount = int(codes.Unauthenticated) + 1

// GRPC counts RPCs: the grpc_server_* families. Series of all methods of the
// core services exist from the start, at zero and for every code, because
// dashboards subtract them from each other; those of other services come with
// the first call. All methods may be called from any goroutine; for a known
// method they cost a map lookup and an atomic addition.
type GRPC struct {
	started, handled, received, sent *prometheus.CounterVec
	seconds                          *prometheus.HistogramVec // nil unless extensive

	sentBytes, receivedBytes prometheus.Counter
	clientRequests           *prometheus.CounterVec
	streamFailures           *prometheus.CounterVec

	core map[method]*methodSeries // never changed after construction
	rest sync.Map                 // method -> *methodSeries
}

type method struct{ service, name string }

// methodSeries holds the series of one method.
type methodSeries struct {
	started, received, sent prometheus.Counter
	handled                 [codeCount]prometheus.Counter
	seconds                 prometheus.Observer // nil unless extensive
}

func newGRPC(f families, n *NetworkMetrics, srv *ServerMetrics, extensive bool) *GRPC {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	g := &GRPC{
		sentBytes: n.ClientSentBytes, receivedBytes: n.ClientReceivedBytes,
		clientRequests: srv.ClientRequests, streamFailures: n.StreamFailures,
		started:  f.counters("grpc_server_started_total", "RPCs started.", labels...),
		handled:  f.counters("grpc_server_handled_total", "RPCs ended, whatever the result.", append(labels, "grpc_code")...),
		received: f.counters("grpc_server_msg_received_total", "Messages received.", labels...),
		sent:     f.counters("grpc_server_msg_sent_total", "Messages sent.", labels...),
		core:     map[method]*methodSeries{},
	}
	if extensive {
		g.seconds = f.histograms("grpc_server_handling_seconds", "Time from start to end of RPCs.", prometheus.DefBuckets, labels...)
	}
	for _, d := range []grpc.ServiceDesc{
		pb.KV_ServiceDesc, pb.Watch_ServiceDesc, pb.Lease_ServiceDesc, pb.Cluster_ServiceDesc,
		pb.Auth_ServiceDesc, pb.Maintenance_ServiceDesc, healthpb.Health_ServiceDesc,
	} {
		for _, m := range d.Methods {
			g.core[method{d.ServiceName, m.MethodName}] = g.series(d.ServiceName, m.MethodName, "unary")
		}
		for _, s := range d.Streams {
			g.core[method{d.ServiceName, s.StreamName}] = g.series(d.ServiceName, s.StreamName, StreamType(s.ClientStreams, s.ServerStreams))
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

// series creates a method's series, all zero.
func (g *GRPC) series(service, name, typ string) *methodSeries {
	s := &methodSeries{
		started:  g.started.WithLabelValues(typ, service, name),
		received: g.received.WithLabelValues(typ, service, name),
		sent:     g.sent.WithLabelValues(typ, service, name),
	}
	for c := range s.handled {
		s.handled[c] = g.handled.WithLabelValues(typ, service, name, codes.Code(c).String())
	}
	if g.seconds != nil {
		s.seconds = g.seconds.WithLabelValues(typ, service, name)
	}
	return s
}

func (g *GRPC) of(service, name, typ string) *methodSeries {
	key := method{service, name}
	if s, ok := g.core[key]; ok {
		return s
	}
	if s, ok := g.rest.Load(key); ok {
		return s.(*methodSeries)
	}
	s, _ := g.rest.LoadOrStore(key, g.series(service, name, typ))
	return s.(*methodSeries)
}

// Started counts an RPC whose headers arrived. service and name must be ones
// that are registered: every new pair makes series.
func (g *GRPC) Started(service, name, typ string) { g.of(service, name, typ).started.Inc() }

// MsgReceived counts a message of the client.
func (g *GRPC) MsgReceived(service, name, typ string) { g.of(service, name, typ).received.Inc() }

// MsgSent counts a message to the client.
func (g *GRPC) MsgSent(service, name, typ string) { g.of(service, name, typ).sent.Inc() }

// Handled counts the end of an RPC.
func (g *GRPC) Handled(service, name, typ string, code codes.Code, took time.Duration) {
	s := g.of(service, name, typ)
	if int(code) >= codeCount {
		code = codes.Unknown
	}
	s.handled[code].Inc()
	if s.seconds != nil {
		s.seconds.Observe(took.Seconds())
	}
}

// SentBytes adds the length of an encoded message to a client.
func (g *GRPC) SentBytes(n int) { g.sentBytes.Add(float64(n)) }

// ReceivedBytes adds the length of an encoded message of a client.
func (g *GRPC) ReceivedBytes(n int) { g.receivedBytes.Add(float64(n)) }

// ClientRequest counts a request ("unary" or "stream") by the API version the
// client states; "" is "unknown".
func (g *GRPC) ClientRequest(kind, version string) {
	if version == "" {
		version = "unknown"
	}
	g.clientRequests.WithLabelValues(kind, version).Inc()
}

// StreamFailed counts a watch or lease-keepalive stream (api) that broke while
// it was to "send" or "receive".
func (g *GRPC) StreamFailed(direction, api string) {
	g.streamFailures.WithLabelValues(direction, api).Inc()
}
