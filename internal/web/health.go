package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"keelson/internal/alarm"
	"keelson/internal/errs"
)

// Health is what the pages ask of the server. All methods may be called from
// any goroutine; only Read waits.
type Health interface {
	// Alarms lists the raised alarms of all members.
	Alarms() []alarm.Alarm
	HasLeader() bool
	IsLearner() bool
	// Read makes one small read the way a client would. It ends with ctx or
	// after the server's request timeout.
	Read(ctx context.Context, linearizable bool) error
	// Versions tells the versions of the program, the cluster and the storage;
	// "" is not decided yet.
	Versions() (server, cluster, storage string)
}

// HealthObserver is told the results.
type HealthObserver interface {
	// HealthAnswered: /health said so.
	HealthAnswered(healthy bool)
	// HealthChecked: one check of "livez" or "readyz" ran.
	HealthChecked(kind, name string, ok bool)
}

// healthAnswer is the body of /health, in this order.
type healthAnswer struct {
	Health string `json:"health"`
	Reason string `json:"reason"`
}

// healthPage serves /health.
type healthPage struct {
	health  Health
	observe HealthObserver
	lg      *zap.Logger
}

func (p *healthPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if refuseMethod(w, r) {
		p.lg.Warn("/health error", zap.Int("status-code", http.StatusMethodNotAllowed))
		return
	}
	q := r.URL.Query()
	reason := p.whyUnhealthy(r.Context(), q["exclude"], q.Get("serializable") == "true")
	p.observe.HealthAnswered(reason == "")

	answer := healthAnswer{Health: "true"}
	if reason != "" {
		answer = healthAnswer{Health: "false", Reason: reason}
	}
	body, err := json.Marshal(answer)
	if err != nil { // two strings always encode
		panic(err)
	}
	if reason != "" {
		http.Error(w, string(body), http.StatusServiceUnavailable)
		p.lg.Warn("/health error", zap.ByteString("output", body), zap.Int("status-code", http.StatusServiceUnavailable))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(body) // the client is gone; nobody is left to tell
	p.lg.Debug("/health OK", zap.Int("status-code", http.StatusOK))
}

// whyUnhealthy looks at alarms, then the leader, then makes a read; "" is
// healthy.
func (p *healthPage) whyUnhealthy(ctx context.Context, excluded []string, serializable bool) string {
	for _, a := range p.health.Alarms() {
		if slices.Contains(excluded, a.Kind.String()) {
			p.lg.Debug("/health excluded alarm", zap.Stringer("alarm", a.Kind))
			continue
		}
		p.lg.Warn("serving /health false due to an alarm", zap.Stringer("member-id", a.Member), zap.Stringer("alarm", a.Kind))
		switch a.Kind {
		case alarm.NoSpace, alarm.Corrupt:
			return "ALARM " + a.Kind.String()
		}
		return "ALARM UNKNOWN"
	}
	if !serializable && !p.health.HasLeader() {
		p.lg.Warn("serving /health false; no leader")
		return "RAFT NO LEADER"
	}
	if err := p.health.Read(ctx, !serializable); err != nil && !isAuthError(err) {
		p.lg.Warn("serving /health false; Range fails", zap.Error(err))
		return "RANGE ERROR:" + err.Error()
	}
	return ""
}

// isAuthError: a read that only the permission check refused got that far.
func isAuthError(err error) bool {
	return errors.Is(err, errs.ErrUserEmpty) || errors.Is(err, errs.ErrPermissionDenied)
}

// refuseMethod answers everything but GET with 405.
func refuseMethod(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet {
		return false
	}
	w.Header().Set("Allow", http.MethodGet)
	http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	return true
}
