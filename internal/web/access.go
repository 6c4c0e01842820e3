package web

import (
	"fmt"
	"net"
	"net/http"
	"slices"

	"go.uber.org/zap"
)

// access stands before the client handler. It refuses plain HTTP whose Host
// header is not expected, and tells browsers which pages may read answers.
type access struct {
	hosts   []string // empty or with "*": all
	origins []string // empty or with "*": all
	next    http.Handler
	lg      *zap.Logger
}

func (a *access) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if host := hostname(r); r.TLS == nil && !allowed(a.hosts, host) {
		a.lg.Warn("rejecting HTTP request to prevent DNS rebinding attacks", zap.String("host", host))
		http.Error(w, unexpectedHost(host), http.StatusMisdirectedRequest)
		return
	}
	if allowed(a.origins, "*") {
		allowOrigin(w, "*")
	} else if origin := r.Header.Get("Origin"); allowed(a.origins, origin) {
		allowOrigin(w, origin)
	}
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return
	}
	a.next.ServeHTTP(w, r)
}

func allowed(list []string, s string) bool {
	return len(list) == 0 || slices.Contains(list, "*") || slices.Contains(list, s)
}

// hostname is the Host header without port.
func hostname(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

func allowOrigin(w http.ResponseWriter, origin string) {
	h := w.Header()
	h.Add("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE")
	h.Add("Access-Control-Allow-Origin", origin)
	h.Add("Access-Control-Allow-Headers", "accept, content-type, authorization")
}

func unexpectedHost(host string) string {
	return fmt.Sprintf(`
This server does not expect to be called %q, so it did not answer the request.

A web page could otherwise reach it under a name of its own ("DNS rebinding", CVE-2018-5702).
To allow the name, add it to the list in the configuration, for example with --host-whitelist %q,
or use HTTPS, where every name is accepted.
`, host, host)
}
