// Package web is the HTTP side of a member: the health paths, the version,
// the metrics and the debug pages on the client URL, and the listeners
// themselves, on which HTTP/1.1 and gRPC share a port.
//
// NewClientHandler and NewMetricsHandler build the handlers; what they ask of
// the server is the small interface Health. Bodies, codes and headers are
// etcd's byte for byte, because probes and scripts compare them. Listen binds
// the URL of a configuration; Serve runs a Front on it, which looks at the
// first bytes of each connection and hands it to gRPC or to the HTTP server.
//
// Left to others: what the answers mean (server), the metrics (obs), running
// and stopping the gRPC server (app), TLS and the JSON gateway (later).
//
// Goroutines: a Front owns one that accepts, one for each connection whose
// first bytes have not come yet (they end with the connection, with
// SniffTimeout or with Shutdown), and the serving loops; Shutdown waits for
// all of them. Nothing is written to disk; a unix socket's file is removed
// before it is bound and when it is closed.
package web
