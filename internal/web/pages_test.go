package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"keelson/internal/alarm"
	"keelson/internal/errs"
)

// member is a Health that says what a test wants.
type member struct {
	alarms           []alarm.Alarm
	noLeader         bool
	learner          bool
	local, linear    error
	cluster, storage string
}

func (m *member) Alarms() []alarm.Alarm { return m.alarms }
func (m *member) HasLeader() bool       { return !m.noLeader }
func (m *member) IsLearner() bool       { return m.learner }
func (m *member) Read(_ context.Context, linearizable bool) error {
	if linearizable {
		return m.linear
	}
	return m.local
}
func (m *member) Versions() (server, cluster, storage string) { return "3.7.1", m.cluster, m.storage }

// tally counts results.
type tally struct{ lines []string }

func (t *tally) HealthAnswered(healthy bool) { t.note("health", "", healthy) }
func (t *tally) HealthChecked(kind, name string, ok bool) {
	t.note(kind, "/"+name, ok)
}
func (t *tally) note(kind, name string, ok bool) {
	word := "-"
	if ok {
		word = "+"
	}
	t.lines = append(t.lines, word+kind+name)
}

func testConfig(h Health) (Config, *tally, *observer.ObservedLogs) {
	core, logs := observer.New(zap.DebugLevel)
	results := &tally{}
	return Config{
		Health:  h,
		Observe: results,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) }),
		Vars:    func() map[string]any { return map[string]any{"cmdline": []string{"etcd"}, "raft.status": nil} },
		Logger:  zap.New(core),
	}, results, logs
}

func get(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

var (
	noSpace = alarm.Alarm{Member: 1, Kind: alarm.NoSpace}
	corrupt = alarm.Alarm{Member: 2, Kind: alarm.Corrupt}
)

// TestHealth has the exact bodies.
func TestHealth(t *testing.T) {
	const healthy = `{"health":"true","reason":""}`
	for _, row := range []struct {
		name, target string
		m            member
		code         int
		body         string
	}{
		{"healthy", "/health", member{}, 200, healthy},
		{"alarm", "/health", member{alarms: []alarm.Alarm{noSpace}}, 503, `{"health":"false","reason":"ALARM NOSPACE"}` + "\n"},
		{"excluded", "/health?exclude=NOSPACE", member{alarms: []alarm.Alarm{noSpace}}, 200, healthy},
		{"one of two excluded", "/health?exclude=NOSPACE", member{alarms: []alarm.Alarm{noSpace, corrupt}}, 503, `{"health":"false","reason":"ALARM CORRUPT"}` + "\n"},
		{"both excluded", "/health?exclude=NOSPACE&exclude=CORRUPT", member{alarms: []alarm.Alarm{noSpace, corrupt}}, 200, healthy},
		{"commas are no lists", "/health?exclude=NOSPACE,CORRUPT", member{alarms: []alarm.Alarm{noSpace}}, 503, `{"health":"false","reason":"ALARM NOSPACE"}` + "\n"},
		{"unknown alarm", "/health", member{alarms: []alarm.Alarm{{Member: 1, Kind: 9}}}, 503, `{"health":"false","reason":"ALARM UNKNOWN"}` + "\n"},
		{"alarm before leader", "/health", member{alarms: []alarm.Alarm{noSpace}, noLeader: true}, 503, `{"health":"false","reason":"ALARM NOSPACE"}` + "\n"},
		{"no leader", "/health", member{noLeader: true}, 503, `{"health":"false","reason":"RAFT NO LEADER"}` + "\n"},
		{"no leader, local", "/health?serializable=true", member{noLeader: true, linear: errors.New("x")}, 200, healthy},
		{"other words are linearizable", "/health?serializable=1", member{noLeader: true}, 503, `{"health":"false","reason":"RAFT NO LEADER"}` + "\n"},
		{"read fails", "/health", member{linear: errs.ErrTimeout}, 503, `{"health":"false","reason":"RANGE ERROR:etcdserver: request timed out"}` + "\n"},
		{"permission is health", "/health", member{linear: errs.ErrPermissionDenied}, 200, healthy},
		{"no user is health", "/health", member{linear: errs.ErrUserEmpty}, 200, healthy},
	} {
		c, results, _ := testConfig(&row.m)
		w := get(NewClientHandler(c), "GET", row.target)
		if w.Code != row.code || w.Body.String() != row.body {
			t.Errorf("%s: %d %q, want %d %q", row.name, w.Code, w.Body, row.code, row.body)
		}
		if ct := w.Header().Get("Content-Type"); ct != "text/plain; charset=utf-8" {
			t.Errorf("%s: %s", row.name, ct)
		}
		if want := map[bool]string{true: "+health", false: "-health"}[row.code == 200]; len(results.lines) != 1 || results.lines[0] != want {
			t.Errorf("%s: counted %v", row.name, results.lines)
		}
	}
}

func TestHealthLogs(t *testing.T) {
	m := &member{noLeader: true}
	c, _, logs := testConfig(m)
	h := NewClientHandler(c)
	get(h, "GET", "/health")
	if logs.FilterMessage("serving /health false; no leader").Len() != 1 || logs.FilterMessage("/health error").Len() != 1 {
		t.Errorf("%v", logs.All())
	}
	m.noLeader = false
	get(h, "GET", "/health")
	if logs.FilterMessage("/health OK").Len() != 1 {
		t.Errorf("%v", logs.All())
	}
}

func TestProbes(t *testing.T) {
	const allLines = "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\n"
	changed := errs.ErrLeaderChanged
	for _, row := range []struct {
		target string
		m      member
		code   int
		body   string
	}{
		{"/livez", member{}, 200, "ok\n"},
		{"/livez?verbose", member{}, 200, "[+]serializable_read ok\nok\n"},
		{"/livez?verbose=0", member{}, 200, "[+]serializable_read ok\nok\n"},
		{"/livez/serializable_read", member{}, 200, "ok\n"},
		{"/livez", member{linear: changed, alarms: []alarm.Alarm{corrupt}, learner: true}, 200, "ok\n"},
		{"/livez", member{local: errs.ErrStopped}, 503, "[-]serializable_read failed: etcdserver: server stopped\n\n"},
		{"/livez?exclude=serializable_read", member{local: errs.ErrStopped}, 200, "ok\n"},
		{"/readyz", member{}, 200, "ok\n"},
		{"/readyz?verbose", member{}, 200, allLines + "ok\n"},
		{"/readyz", member{alarms: []alarm.Alarm{noSpace}}, 200, "ok\n"},
		{"/readyz", member{alarms: []alarm.Alarm{noSpace, corrupt}}, 503, "[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\n\n"},
		{"/readyz", member{linear: changed}, 503, "[+]data_corruption ok\n[+]serializable_read ok\n[-]linearizable_read failed: etcdserver: leader changed\n[+]non_learner ok\n\n"},
		{"/readyz", member{learner: true}, 503, "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[-]non_learner failed: not supported for learner\n\n"},
		{"/readyz?exclude=linearizable_read&exclude=nope&verbose", member{linear: changed}, 200, "[+]data_corruption ok\n[+]serializable_read ok\n[+]non_learner ok\nok\n"},
		{"/readyz/linearizable_read", member{linear: changed}, 503, "[-]linearizable_read failed: etcdserver: leader changed\n\n"},
		{"/readyz/non_learner?verbose", member{}, 200, "[+]non_learner ok\nok\n"},
		{"/readyz/nope", member{}, 404, "404 page not found\n"},
	} {
		c, _, logs := testConfig(&row.m)
		for _, h := range []http.Handler{NewClientHandler(c), NewMetricsHandler(c)} {
			w := get(h, "GET", row.target)
			if w.Code != row.code || w.Body.String() != row.body {
				t.Errorf("%s: %d %q, want %d %q", row.target, w.Code, w.Body, row.code, row.body)
			}
			if ct, ns := w.Header().Get("Content-Type"), w.Header().Get("X-Content-Type-Options"); ct != "text/plain; charset=utf-8" || ns != "nosniff" {
				t.Errorf("%s: %s %s", row.target, ct, ns)
			}
		}
		if row.code == 503 && logs.FilterMessage("Health check error").FilterLevelExact(zap.ErrorLevel).Len() != 2 {
			t.Errorf("%s: %v", row.target, logs.All())
		}
		if strings.Contains(row.target, "nope&") && logs.FilterMessage("some health checks cannot be excluded").Len() != 2 {
			t.Errorf("%s: %v", row.target, logs.All())
		}
	}
}

func TestProbeResultsAreCounted(t *testing.T) {
	c, results, _ := testConfig(&member{linear: errs.ErrTimeout})
	get(NewClientHandler(c), "GET", "/readyz")
	got := strings.Join(results.lines, " ")
	if got != "+readyz/data_corruption +readyz/serializable_read -readyz/linearizable_read +readyz/non_learner" {
		t.Error(got)
	}
}

func TestMethods(t *testing.T) {
	c, _, _ := testConfig(&member{})
	h := NewClientHandler(c)
	for _, path := range []string{"/health", "/livez", "/readyz/non_learner", "/version", "/debug/vars"} {
		w := get(h, "POST", path)
		if w.Code != 405 || w.Header().Get("Allow") != "GET" || w.Body.String() != "Method Not Allowed\n" {
			t.Errorf("%s: %d %v %q", path, w.Code, w.Header(), w.Body)
		}
	}
}

func TestOtherPages(t *testing.T) {
	m := &member{}
	c, _, _ := testConfig(m)
	h := NewClientHandler(c)
	w := get(h, "GET", "/version")
	if w.Body.String() != `{"etcdserver":"3.7.1","etcdcluster":"not_decided","storage":"unknown"}` || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%q %v", w.Body, w.Header())
	}
	m.cluster, m.storage = "3.7.0", "3.7.0"
	for _, h := range []http.Handler{h, NewPeerHandler(m)} {
		if w := get(h, "GET", "/version"); w.Body.String() != `{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}` {
			t.Errorf("%q", w.Body)
		}
	}
	w = get(h, "GET", "/debug/vars")
	var vars map[string]json.RawMessage
	if err := json.Unmarshal(w.Body.Bytes(), &vars); err != nil || len(vars["memstats"]) < 100 || string(vars["cmdline"]) != `["etcd"]` {
		t.Errorf("%v %q", err, w.Body)
	}
	if get(h, "GET", "/metrics").Body.String() != "metrics" {
		t.Error("metrics")
	}
	for _, path := range []string{"/", "/v2/keys", "/v3/kv/range", "/debug/pprof/", "/members", "/debug/requests"} {
		if w := get(h, "GET", path); w.Code != 404 || w.Body.String() != "404 page not found\n" {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	}
	c.Pprof = true
	if w := get(NewClientHandler(c), "GET", "/debug/pprof/goroutine?debug=1"); w.Code != 200 || !strings.Contains(w.Body.String(), "goroutine profile") {
		t.Errorf("pprof: %d", w.Code)
	}
	metrics := NewMetricsHandler(c)
	for _, path := range []string{"/version", "/debug/vars", "/debug/pprof/"} {
		if w := get(metrics, "GET", path); w.Code != 404 {
			t.Errorf("metrics listener serves %s", path)
		}
	}
}

func TestAccess(t *testing.T) {
	c, _, logs := testConfig(&member{})
	c.HostWhitelist, c.CORS = []string{"good"}, []string{"https://a.example:443"}
	h := NewClientHandler(c)
	w := get(h, "GET", "http://evil:2379/health")
	if w.Code != 421 || !strings.Contains(w.Body.String(), "--host-whitelist") || !strings.Contains(w.Body.String(), "CVE-2018-5702") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if logs.FilterMessage("rejecting HTTP request to prevent DNS rebinding attacks").Len() != 1 {
		t.Errorf("%v", logs.All())
	}
	if w := get(h, "GET", "https://evil/health"); w.Code != 200 {
		t.Errorf("TLS: %d", w.Code)
	}
	if w := get(NewMetricsHandler(c), "GET", "http://evil/health"); w.Code != 200 {
		t.Errorf("metrics: %d", w.Code)
	}
	for _, row := range []struct{ method, origin, want string }{
		{"GET", "https://a.example:443", "https://a.example:443"},
		{"GET", "https://b.example:443", ""},
		{"OPTIONS", "https://a.example:443", "https://a.example:443"},
	} {
		r := httptest.NewRequest(row.method, "http://good:1/health", nil)
		r.Header.Set("Origin", row.origin)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != row.want {
			t.Errorf("%+v: %d %v", row, w.Code, w.Header())
		}
		if row.method == "OPTIONS" && w.Body.Len() != 0 {
			t.Errorf("OPTIONS answered %q", w.Body)
		}
	}
	c.CORS = []string{"*"}
	w = get(NewClientHandler(c), "GET", "http://good/none")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":  "*",
		"Access-Control-Allow-Methods": "POST, GET, OPTIONS, PUT, DELETE",
		"Access-Control-Allow-Headers": "accept, content-type, authorization",
	} {
		if w.Header().Get(name) != want {
			t.Errorf("%s: %q", name, w.Header().Get(name))
		}
	}
}
