// Package state is the replicated machine: (state, entry) -> (state, result).
// It joins the key space, the leases, the membership and the alarms, decides
// for every committed log entry what it does to them, and says what came of it.
// It has no clock, no peer, no goroutine and no randomness; members that apply
// the same entries are equal, byte for byte.
//
// Two stores that must change together (a lease and its keys) are changed
// here, inside one entry. A refused request changes nothing and is not an error
// of the machine; an error of Apply is a storage fault or an entry that no
// member could have written, and the member has to stop.
//
// Whether an entry takes effect never depends on anything local: neither the
// size of the disk nor the time.
package state
