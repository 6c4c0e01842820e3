package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/pprof"
	"runtime"
	"slices"

	"go.uber.org/zap"
)

// Config is what the handlers are built from.
type Config struct {
	Health  Health
	Observe HealthObserver
	// Metrics serves /metrics.
	Metrics http.Handler
	// Vars is what /debug/vars shows besides the memory statistics: cmdline,
	// file_descriptor_limit, raft.status. It is called for each request.
	Vars func() map[string]any
	// Pprof opens /debug/pprof/.
	Pprof bool
	// HostWhitelist and CORS: see access.go.
	HostWhitelist []string
	CORS          []string
	Logger        *zap.Logger
}

// NewClientHandler serves the client URL.
func NewClientHandler(c Config) http.Handler {
	mux := http.NewServeMux()
	c.installHealth(mux)
	mux.Handle("/version", &versionPage{c.Health})
	mux.HandleFunc("/debug/vars", c.debugVars)
	if c.Pprof {
		installPprof(mux)
	}
	return &access{hosts: c.HostWhitelist, origins: c.CORS, next: mux, lg: c.Logger}
}

// NewMetricsHandler serves a metrics URL: for monitoring systems and probes
// that have no certificate, so without host and origin checks.
func NewMetricsHandler(c Config) http.Handler {
	mux := http.NewServeMux()
	c.installHealth(mux)
	return mux
}

// NewPeerHandler serves what a peer URL of a single member has to say.
func NewPeerHandler(h Health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/version", &versionPage{h})
	return mux
}

func (c *Config) installHealth(mux *http.ServeMux) {
	mux.Handle("/metrics", c.Metrics)
	mux.Handle("/health", &healthPage{c.Health, c.Observe, c.Logger})
	installProbe(mux, "livez", livezChecks(c.Health), c.Observe, c.Logger)
	installProbe(mux, "readyz", readyzChecks(c.Health), c.Observe, c.Logger)
}

// versionPage serves /version.
type versionPage struct{ health Health }

// versionAnswer is its body, in this order.
type versionAnswer struct {
	Server  string `json:"etcdserver"`
	Cluster string `json:"etcdcluster"`
	Storage string `json:"storage"`
}

func (p *versionPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if refuseMethod(w, r) {
		return
	}
	var a versionAnswer
	a.Server, a.Cluster, a.Storage = p.health.Versions()
	if a.Cluster == "" {
		a.Cluster = "not_decided"
	}
	if a.Storage == "" {
		a.Storage = "unknown"
	}
	body, err := json.Marshal(a)
	if err != nil { // three strings always encode
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the client is gone; nobody is left to tell
}

// debugVars prints one variable a line, in name order.
func (c *Config) debugVars(w http.ResponseWriter, r *http.Request) {
	if refuseMethod(w, r) {
		return
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	vars := map[string]any{"memstats": mem}
	maps.Copy(vars, c.Vars())
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	sep := "{\n"
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		value, err := json.Marshal(vars[name])
		if err != nil {
			value = []byte("null")
		}
		fmt.Fprintf(w, "%s%q: %s", sep, name, value)
		sep = ",\n"
	}
	fmt.Fprint(w, "\n}\n")
}

// mutexProfileFraction: one of so many contended locks is recorded.
const mutexProfileFraction = 5

func installPprof(mux *http.ServeMux) {
	runtime.SetMutexProfileFraction(mutexProfileFraction)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	for _, name := range []string{"heap", "goroutine", "threadcreate", "block", "mutex"} {
		mux.Handle("/debug/pprof/"+name, pprof.Handler(name))
	}
}
