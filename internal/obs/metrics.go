package obs

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"keelson/internal/base"
	"keelson/internal/clock"
)

// MetricsOptions is what the metrics of a member depend on.
type MetricsOptions struct {
	ServerVersion string // "3.7.1"
	// Extensive adds the time of every RPC, taken from Clock.
	Extensive bool
	Clock     clock.Clock
	Features  []Feature
}

// Feature is a feature gate for etcd_server_feature_enabled.
type Feature struct {
	Name, Stage string
	Enabled     bool
}

// Metrics is every metric family of a member, grouped by who sets it. Fields
// are set by any goroutine.
type Metrics struct {
	Server  ServerMetrics
	MVCC    MVCCMetrics
	Disk    DiskMetrics
	Snap    SnapMetrics
	Network NetworkMetrics
	Lease   LeaseMetrics
	Watch   WatchMetrics
	Process ProcessMetrics
	GRPC    *GRPC

	registry *prometheus.Registry
}

// NewMetrics registers all families in registry, which must be empty.
func NewMetrics(registry *prometheus.Registry, o MetricsOptions) *Metrics {
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	f := families{registry}
	m := &Metrics{
		registry: registry,
		Server:   newServerMetrics(f),
		MVCC:     newMVCCMetrics(f),
		Disk:     newDiskMetrics(f),
		Snap:     newSnapMetrics(f),
		Network:  newNetworkMetrics(f),
		Lease:    newLeaseMetrics(f),
		Watch:    newWatchMetrics(f),
		Process:  newProcessMetrics(f),
	}
	m.GRPC = newGRPC(f, &m.Network, &m.Server, o.Clock, o.Extensive)
	registerUnused(f)
	m.Server.version.WithLabelValues(o.ServerVersion).Set(1)
	m.Server.goVersion.WithLabelValues(runtime.Version()).Set(1)
	for _, g := range o.Features {
		m.Server.feature.WithLabelValues(g.Name, g.Stage).Set(flag(g.Enabled))
	}
	return m
}

// Handler serves the metrics in the text format, or in protobuf if the client
// asks for it. onScrape, if not nil, is called before each answer to refresh
// gauges that are cheaper to read than to keep up to date; it may be called
// by several requests at once. Call Handler once.
func (m *Metrics) Handler(onScrape func()) http.Handler {
	answer := promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	if onScrape == nil {
		return answer
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		onScrape()
		answer.ServeHTTP(w, r)
	})
}

// SetMember publishes the member's ID, once.
func (m *Metrics) SetMember(id base.MemberID) {
	m.Server.id.WithLabelValues(id.String()).Set(1)
}

// SetClusterVersion publishes "major.minor"; the old one's series stays, at 0.
func (m *Metrics) SetClusterVersion(old, current string) {
	if old != "" && old != current {
		m.Server.clusterVersion.WithLabelValues(old).Set(0)
	}
	m.Server.clusterVersion.WithLabelValues(current).Set(1)
}

// flag is a boolean as a sample.
func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// SetFlag sets a gauge to 1 or 0.
func SetFlag(g prometheus.Gauge, on bool) { g.Set(flag(on)) }

// families registers metric families. A name registered twice is a bug and
// panics.
type families struct{ registry *prometheus.Registry }

func (f families) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	f.registry.MustRegister(c)
	return c
}

func (f families) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	f.registry.MustRegister(g)
	return g
}

func (f families) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	f.registry.MustRegister(h)
	return h
}

func (f families) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	f.registry.MustRegister(c)
	return c
}

func (f families) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	f.registry.MustRegister(g)
	return g
}

func (f families) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	f.registry.MustRegister(h)
	return h
}

// exp is n buckets from start, each factor times the one before.
func exp(start, factor float64, n int) []float64 {
	return prometheus.ExponentialBuckets(start, factor, n)
}
