// Package compat compares Keelson with etcd itself.
//
// # Job
//
// TestDifferential sends the same random requests to a Keelson member and to
// an etcd 3.7 member and compares everything that comes back: answers, headers,
// error codes and texts, event streams, hashes. The other tests exchange files
// (raft log, .db snapshot) between the two and replay the data of a real
// Kubernetes control plane.
//
// Differences that are meant to be are rows of docs/compat.md.
//
// # Why a module of its own
//
// etcd's server is imported here as the peer to compare with. It must never
// become a dependency of the product, so the product's go.mod does not know it.
//
// # Processes
//
// Both servers run as child processes of the test. etcd runs inside a second
// instance of the test binary (package embed): should a request crash it, that
// is a finding and not the end of the test run. Keelson's real binary is built
// once and started by a third instance, its keeper. Each child ends when its
// standard input is closed, so that nothing outlives the test, however the test
// ends.
//
// # Settings
//
//	KEELSON_COMPAT_MINUTES=30    how long TestDifferential runs (default: about one minute)
//	KEELSON_COMPAT_SEED=1        first seed (default: 1, so that CI is repeatable; "random" for another one each time)
//	KEELSON_COMPAT_REPLAY=...    run only these operations, as printed with a difference
//	KEELSON_COMPAT_BIN=path      use this Keelson binary instead of building one ("etcd": compare etcd with itself)
//	KEELSON_TESTDATA=dir         where k8s.db.gz is; without it the test with real data is skipped
//	KEELSON_REQUIRE_TESTDATA=1   then it fails instead
package compat
