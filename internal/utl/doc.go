// Package utl is the program etcdutl: it works on the files of a member that
// is stopped, or on a copied data directory, and needs no server.
//
// Job: verify walks over every byte that a member would trust and says what it
// found; dump prints the records of the raft log, the checkpoints and the
// revision log as text, one per line. Both are thin: packages wal, snap and revlog
// know the formats and do the checks. Promise: nothing is ever written.
//
// The commands of etcd's tool that convert or change a database come with a
// later version. Their names are known already, so that a script learns the
// reason and not "unknown command".
//
// Main is the only entry and returns the exit code. No goroutines.
package utl
