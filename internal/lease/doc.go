// Package lease keeps the leases of the cluster.
//
// It has two halves that never mix. Store is the replicated half: which leases
// exist, their TTLs and the keys attached to them. It changes only when a log
// entry is applied, has no clock, and is equal on every member. Lessor is the
// local half that only a leader uses: when each lease runs out. It reads an
// injected clock, says which leases are due and which remaining TTLs should be
// replicated (checkpoints); the server turns both into log entries. A lease
// therefore ends only by a LeaseRevoke entry, never by a local timer.
//
// The package owns no goroutine. On disk a Store is one section of a
// checkpoint, see AppendTo; attachments are not stored, they are rebuilt from
// the lease of each key's latest version.
package lease
