// Package server lives a request's life: who may enter now, the proposal, the
// wait, the answer; linearizable reads; what only a leader does; checkpoints
// and the reclaiming of space. It stands between the services (package rpc,
// package web), which see a few methods of Server each, and the replica with
// the machine it drives.
//
// # A write
//
// A method wraps the received bytes of the request into one raft entry, leaves
// a waiter under the request's ID and hands the proposal to the replica
// (write.go). When the entry is committed the replica calls Apply (applied.go)
// on its apply goroutine: the machine applies the whole batch, one new view is
// published, events go to the watch hub, and the waiters are woken with their
// encoded answers.
//
// # A read
//
// A linearizable read joins the round of read-index that is being gathered
// (read.go), waits until that index is applied and reads the published view on
// its own goroutine. A serializable one only does the latter.
//
// # Goroutines
//
// checkpointer  takes checkpoints, releases log files and removed segments
// reclaimer     rewrites segments that are mostly dead
// compactor     paces compactions, whose slices run on the apply goroutine
// leader        revokes due leases, replicates remaining TTLs, decides the
//
//	cluster version; idle while this member does not lead
//
// monitor       ends streams that want a leader when there is none
// publisher     announces name and client URLs once, then ends
// alarmer       raises the NOSPACE alarm when an entry found the quota used up
// reader        repeats a read-index round that got no answer
//
// All are started by Start and ended by Stop.
//
// # Bounds
//
// Admitted and unapplied entries: maxApplyLag. Bytes of proposals that wait:
// the replica's. Answers under construction: Config.AnswerBytes. Every wait ends
// with the client's context, the request timeout or Stop.
package server
