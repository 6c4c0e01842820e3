package obs

import (
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"

	"keelson/internal/clock"
)

func newTestMetrics(extensive bool) (*Metrics, *prometheus.Registry) {
	reg := prometheus.NewRegistry()
	return NewMetrics(reg, MetricsOptions{
		ServerVersion: "3.7.1",
		Extensive:     extensive,
		Clock:         clock.Real{},
		Features:      []Feature{{"AllAlpha", "ALPHA", false}, {"FastLeaseKeepAlive", "BETA", true}},
	}), reg
}

// fact is one row of testdata/metrics.txt.
type fact struct {
	kind    dto.MetricType
	name    string
	labels  []string
	buckets []float64
}

func readFacts(t *testing.T) []fact {
	t.Helper()
	b, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]dto.MetricType{"C": dto.MetricType_COUNTER, "G": dto.MetricType_GAUGE, "H": dto.MetricType_HISTOGRAM, "S": dto.MetricType_SUMMARY}
	var facts []fact
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] == "#" {
			continue
		}
		f := fact{kind: kinds[words[0]], name: words[1]}
		for _, w := range words[2:] {
			if strings.HasPrefix(w, "{") {
				f.labels = strings.Split(strings.Trim(w, "{}"), ",")
				slices.Sort(f.labels)
				continue
			}
			f.buckets = parseBuckets(t, w)
		}
		facts = append(facts, f)
	}
	return facts
}

func parseBuckets(t *testing.T, s string) []float64 {
	t.Helper()
	isExp := strings.HasPrefix(s, "exp")
	var nums []float64
	for _, w := range strings.Split(strings.Trim(strings.TrimPrefix(s, "exp"), "()"), ",") {
		v, err := strconv.ParseFloat(w, 64)
		if err != nil {
			t.Fatal(err)
		}
		nums = append(nums, v)
	}
	if !isExp {
		return nums
	}
	out := []float64{nums[0]}
	for len(out) < int(nums[2]) {
		out = append(out, out[len(out)-1]*nums[1])
	}
	return out
}

// use makes one series in every labelled family.
func use(m *Metrics) {
	h := m.ServerHooks()
	h.Request("Put", time.Millisecond, true)
	h.Applied("Put", time.Millisecond, false)
	h.RangeServed(time.Millisecond, true)
	h.Alarm(0x10, "NOSPACE", true)
	m.HealthChecked("livez", "serializable_read", true)
	m.SetMember(0x8e9e05c52164694d)
	m.SetClusterVersion("", "3.6")
	m.SetClusterVersion("3.6", "3.7")
	m.Server.LearnerPromoteFailures.WithLabelValues("x").Inc()
	m.GRPC.ClientRequest("unary", "")
	m.GRPC.StreamFailed("send", "watch")
	n := &m.Network
	for _, v := range []*prometheus.GaugeVec{n.ActivePeers, n.KnownPeers} {
		v.WithLabelValues("1", "2").Set(1)
	}
	n.DisconnectedPeers.WithLabelValues("1", "2").Inc()
	for _, v := range []*prometheus.CounterVec{n.PeerSentBytes, n.PeerSentFailures, n.PeerReceivedBytes, n.PeerReceivedFailures,
		n.SnapshotSent, n.SnapshotSendFailures, n.SnapshotReceived, n.SnapshotReceiveFailed} {
		v.WithLabelValues("2").Inc()
	}
	for _, v := range []*prometheus.HistogramVec{n.PeerRoundTrip, n.SnapshotSendDuration, n.SnapshotReceiveDuration} {
		v.WithLabelValues("2").Observe(1)
	}
	n.SnapshotSending.WithLabelValues("2").Set(0)
	n.SnapshotReceiving.WithLabelValues("2").Set(0)
}

func gather(t *testing.T, reg *prometheus.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	list, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*dto.MetricFamily{}
	for _, f := range list {
		out[f.GetName()] = f
	}
	return out
}

func TestFamilies(t *testing.T) {
	m, reg := newTestMetrics(true)
	m.Handler(nil)
	idle := gather(t, reg)
	use(m)
	used := gather(t, reg)
	known := map[string]bool{}
	for _, f := range readFacts(t) {
		known[f.name] = true
		if _, ok := idle[f.name]; !ok && len(f.labels) == 0 {
			t.Errorf("%s: not there from the start", f.name)
		}
		got, ok := used[f.name]
		if !ok {
			if !strings.HasPrefix(f.name, "etcd_debugging_store_") {
				t.Errorf("%s: missing", f.name)
			}
			continue
		}
		if got.GetType() != f.kind {
			t.Errorf("%s: %s, want %s", f.name, got.GetType(), f.kind)
		}
		first := got.GetMetric()[0]
		var labels []string
		for _, l := range first.GetLabel() {
			labels = append(labels, l.GetName())
		}
		if f.labels != nil && !slices.Equal(labels, f.labels) {
			t.Errorf("%s: labels %v, want %v", f.name, labels, f.labels)
		}
		if f.kind == dto.MetricType_HISTOGRAM {
			checkBuckets(t, f, first.GetHistogram())
		}
	}
	for name := range used {
		if !known[name] && !strings.HasPrefix(name, "go_") {
			t.Errorf("%s: not in the reference", name)
		}
	}
}

func checkBuckets(t *testing.T, f fact, h *dto.Histogram) {
	t.Helper()
	if len(h.GetBucket()) != len(f.buckets) {
		t.Errorf("%s: %d buckets, want %d", f.name, len(h.GetBucket()), len(f.buckets))
		return
	}
	for i, b := range h.GetBucket() {
		if math.Abs(b.GetUpperBound()-f.buckets[i]) > 1e-9*f.buckets[i] {
			t.Errorf("%s: bucket %d is %v, want %v", f.name, i, b.GetUpperBound(), f.buckets[i])
		}
	}
}

// scrape returns the text a monitoring system gets.
func scrape(t *testing.T, m *Metrics, onScrape func()) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler(onScrape).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if ct := w.Header().Get("Content-Type"); w.Code != 200 || !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
		t.Fatalf("%d %s", w.Code, ct)
	}
	return w.Body.String()
}

func TestExactLines(t *testing.T) {
	m, _ := newTestMetrics(false)
	use(m)
	watch := m.GRPC.Method("etcdserverpb.Watch", "Watch", "bidi_stream")
	for range 6 {
		watch.Handled(codes.Canceled, watch.Started())
	}
	m.GRPC.Method("etcdserverpb.KV", "Put", "unary").Handled(codes.Code(99), time.Time{})
	m.GRPC.Method("v3electionpb.Election", "Campaign", "unary") // registered, never called
	m.GRPC.Method("v3lockpb.Lock", "Lock", "unary").Started()
	m.GRPC.BytesSent(5)
	m.ServerHooks().Operation(3, 0, 1, 0)
	body := scrape(t, m, func() { m.MVCC.Keys.Set(7) })
	for _, want := range []string{
		`grpc_server_handled_total{grpc_code="Canceled",grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"} 6`,
		`grpc_server_handled_total{grpc_code="DataLoss",grpc_method="Check",grpc_service="grpc.health.v1.Health",grpc_type="unary"} 0`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="RangeStream",grpc_service="etcdserverpb.KV",grpc_type="server_stream"} 0`,
		`grpc_server_handled_total{grpc_code="Unknown",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`,
		`grpc_server_started_total{grpc_method="LeaseKeepAlive",grpc_service="etcdserverpb.Lease",grpc_type="bidi_stream"} 0`,
		`grpc_server_started_total{grpc_method="Lock",grpc_service="v3lockpb.Lock",grpc_type="unary"} 1`,
		`etcd_server_version{server_version="3.7.1"} 1`,
		`etcd_cluster_version{cluster_version="3.7"} 1`,
		`etcd_cluster_version{cluster_version="3.6"} 0`,
		`etcd_server_id{server_id="8e9e05c52164694d"} 1`,
		`etcd_server_feature_enabled{name="AllAlpha",stage="ALPHA"} 0`,
		`etcd_server_feature_enabled{name="FastLeaseKeepAlive",stage="BETA"} 1`,
		`etcd_server_is_learner 0`,
		`etcd_mvcc_put_total 3`,
		`etcd_mvcc_delete_total 0`,
		`etcd_debugging_mvcc_keys_total 7`,
		`etcd_network_client_grpc_sent_bytes_total 5`,
		`etcd_server_client_requests_total{client_api_version="unknown",type="unary"} 1`,
		`etcd_debugging_server_alarms{alarm_type="NOSPACE",server_id="10"} 1`,
		`etcd_server_request_duration_seconds_count{success="true",type="Put"} 1`,
		`promhttp_metric_handler_requests_total{code="200"} 0`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("missing %s", want)
		}
	}
	if strings.Contains(body, "grpc_server_handling_seconds") {
		t.Error("RPC times without --metrics=extensive")
	}
	if strings.Contains(body, `grpc_service="v3electionpb`) {
		t.Error("election series before the first use")
	}
}

// TestTwoMembers: nothing is global.
func TestTwoMembers(t *testing.T) {
	a, _ := newTestMetrics(false)
	b, _ := newTestMetrics(false)
	a.Lease.Granted.Inc()
	if body := scrape(t, b, nil); !strings.Contains(body, "\netcd_debugging_lease_granted_total 0\n") {
		t.Error("one member counts for the other")
	}
}

// TestHotPathAllocations: counting a request allocates nothing.
func TestHotPathAllocations(t *testing.T) {
	m, _ := newTestMetrics(true)
	h := m.ServerHooks()
	put := m.GRPC.Method("etcdserverpb.KV", "Put", "unary")
	h.Request("Put", time.Millisecond, true)
	n := testing.AllocsPerRun(100, func() {
		start := put.Started()
		put.Received()
		put.Sent()
		put.Handled(codes.OK, start)
		h.Request("Put", time.Millisecond, true)
		h.Operation(1, 0, 0, 0)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMethodSeries(b *testing.B) {
	m, _ := newTestMetrics(false)
	put := m.GRPC.Method("etcdserverpb.KV", "Put", "unary")
	for b.Loop() {
		start := put.Started()
		put.Received()
		put.Sent()
		put.Handled(codes.OK, start)
	}
}

func BenchmarkServerHooks(b *testing.B) {
	m, _ := newTestMetrics(false)
	h := m.ServerHooks()
	for b.Loop() {
		h.Request("Put", time.Millisecond, true)
		h.Applied("Put", time.Millisecond, true)
	}
}

func ExampleStreamType() {
	fmt.Println(StreamType(true, true), StreamType(false, true), StreamType(false, false))
	// Output: bidi_stream server_stream unary
}
