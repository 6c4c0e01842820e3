// Package replica drives consensus: it owns the raft state machine
// (go.etcd.io/raft/v3), batches what waits into raft steps, has raft's log
// written and synced, sends raft's messages, and hands committed entries to
// the Machine in log order. It knows no key, no client and no request.
//
// # Goroutines
//
// Three, started by Start and ended by Stop, named for profiles:
//
//	loop    alone touches the RawNode. It sleeps until its mailbox or the
//	        ticker wakes it, takes everything that waits, steps raft, and hands
//	        raft's obligations on. It never blocks on the other two.
//	log     takes everything queued for the log, writes it with one write and
//	        at most one sync, then returns raft's acknowledgements to the loop.
//	apply   takes everything that is committed, has the Machine apply it as
//	        one batch, then returns raft's acknowledgement. When idle it lets
//	        the machine do background work in small slices.
//
// This is raft's AsyncStorageWrites: peers receive a batch while it is being
// synced here, and an entry counts as stored here only when its sync is done.
//
// # Promises
//
// An entry is given to the Machine only when a quorum, each counted after its
// own sync, has it. A proposal handed to raft may be lost or committed later;
// one that was withdrawn in time never is. A storage error is final: the
// replica stops, reports it through Machine.Failed and acknowledges nothing
// more; it never retries a failed sync.
//
// # Bounds
//
// Proposals wait in the mailbox up to Config.MaxPendingBytes; beyond that they
// are refused with ErrBusy at once. What is queued for the log and for
// applying is bounded by raft (uncommitted size and committed size per step).
// Entries are cached in memory up to Config.CacheBytes, older ones are read
// back from the log on disk.
package replica
