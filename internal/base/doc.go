// Package base holds the words of the store as Go types, so that numbers
// that must not be mixed cannot be: a raft index is not a revision, a member
// is not a lease. It imports nothing of ours, owns no goroutine and writes no
// file; every other package may import it.
package base
