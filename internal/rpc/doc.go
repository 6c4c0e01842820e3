// Package rpc is the gRPC face of a member: it decodes requests, refuses those
// that are not well formed, calls the few methods of the server that deps.go
// declares, and turns what comes back into frames and statuses. It knows the
// texts and codes clients depend on and no state of the store.
//
// Order of checks for a unary call (method.go, gate.go): decode; capability;
// learner; client API version; leader, when the client asks for one; space
// quota; the request's own rules; the server. Streams pass the same gate
// before their first message is read.
//
// Register puts the services on any grpc.ServiceRegistrar: KV, Watch, Lease,
// Cluster, Maintenance, Auth, Lock, Election and Health. The gate, the counters and
// the error mapping are part of the registered methods and not interceptors,
// so that every engine that can run a ServiceDesc behaves alike. The engine
// must use Codec, because hot requests are not proto messages; ServerOptions
// sets up grpc-go that way. Auth answers as an empty store does that nothing
// can be added to (auth.go).
//
// Left to others: identity and permissions, consistency, proposals, answers
// (package server); events (package watch); JSON (package web).
//
// Goroutines: a Watch stream has a receiver beside the stream's own goroutine,
// which sends; it ends with the stream. A LeaseKeepAlive stream whose client
// wants a leader has one likewise. The package writes nothing to disk.
package rpc
