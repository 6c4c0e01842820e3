// Package e2e tests the real binary from outside: it is built once per run,
// started on free loopback ports with data of its own, used by real clients
// (Debian's etcdctl, clientv3, raw gRPC, plain HTTP), killed, started again,
// starved of space and fed damaged files.
//
// Every test owns the members it starts; they are killed when it ends, and the
// kernel kills them (Linux) when the test process dies. Nothing here looks into
// the server except through its API, its log, its exit status and its files.
//
// Variables:
//
//	KEELSON_CRASH_ROUNDS=N      rounds of TestCrash, default 5
//	KEELSON_SEED=N              seed of the random tests; each one logs its own
//	KEELSON_REQUIRE_ETCDCTL=1   fail without Debian's etcdctl instead of saying so
package e2e
