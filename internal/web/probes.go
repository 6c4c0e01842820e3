package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"keelson/internal/alarm"
)

// check is one line of /livez or /readyz.
type check struct {
	name string
	run  func(ctx context.Context) error
}

func livezChecks(h Health) []check {
	return []check{{"serializable_read", func(ctx context.Context) error { return h.Read(ctx, false) }}}
}

func readyzChecks(h Health) []check {
	return []check{
		{"data_corruption", func(context.Context) error { return corruption(h) }},
		{"serializable_read", func(ctx context.Context) error { return h.Read(ctx, false) }},
		{"linearizable_read", func(ctx context.Context) error { return h.Read(ctx, true) }},
		{"non_learner", func(context.Context) error {
			if h.IsLearner() {
				return errors.New("not supported for learner")
			}
			return nil
		}},
	}
}

func corruption(h Health) error {
	for _, a := range h.Alarms() {
		if a.Kind == alarm.Corrupt {
			return errors.New("alarm activated: CORRUPT")
		}
	}
	return nil
}

// probe serves /livez or /readyz with all checks, or one of its sub-paths
// with one.
type probe struct {
	kind    string // "livez"
	path    string // "/livez/serializable_read"
	checks  []check
	observe HealthObserver
	lg      *zap.Logger
}

// installProbe registers the path of a kind and one path below it per check.
func installProbe(mux *http.ServeMux, kind string, checks []check, o HealthObserver, lg *zap.Logger) {
	mux.Handle("/"+kind, &probe{kind, "/" + kind, checks, o, lg})
	for _, c := range checks {
		path := "/" + kind + "/" + c.name
		mux.Handle(path, &probe{kind, path, []check{c}, o, lg})
	}
}

func (p *probe) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if refuseMethod(w, r) {
		p.lg.Warn("Health request error", zap.String("path", p.path), zap.Int("status-code", http.StatusMethodNotAllowed))
		return
	}
	q := r.URL.Query()
	lines, ok := p.run(r.Context(), q["exclude"])
	if !ok {
		http.Error(w, lines, http.StatusServiceUnavailable)
		p.lg.Error("Health check error", zap.String("path", p.path), zap.String("reason", lines), zap.Int("status-code", http.StatusServiceUnavailable))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if _, verbose := q["verbose"]; !verbose {
		lines = ""
	}
	_, _ = fmt.Fprint(w, lines+"ok\n") // the client is gone; nobody is left to tell
	p.lg.Debug("Health check OK", zap.String("path", p.path), zap.String("reason", lines), zap.Int("status-code", http.StatusOK))
}

// run makes the checks that are not excluded, one after the other.
func (p *probe) run(ctx context.Context, excluded []string) (lines string, ok bool) {
	p.warnUnknown(excluded)
	var b strings.Builder
	ok = true
	for _, c := range p.checks {
		if slices.Contains(excluded, c.name) {
			continue
		}
		err := c.run(ctx)
		p.observe.HealthChecked(p.kind, c.name, err == nil)
		if err != nil {
			ok = false
			fmt.Fprintf(&b, "[-]%s failed: %v\n", c.name, err)
			continue
		}
		fmt.Fprintf(&b, "[+]%s ok\n", c.name)
	}
	return b.String(), ok
}

// warnUnknown: names of checks that another version may have are no error.
func (p *probe) warnUnknown(excluded []string) {
	var unknown []string
	for _, name := range excluded {
		if name != "" && !slices.ContainsFunc(p.checks, func(c check) bool { return c.name == name }) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		p.lg.Warn("some health checks cannot be excluded", zap.Strings("missing-health-checks", unknown))
	}
}
