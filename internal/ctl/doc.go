// Package ctl is the program etcdctl: it turns a command line into calls of a
// v3 server and prints the answers.
//
// Job: everything a user or a script sees of etcdctl 3.7: command names,
// flags, environment, output bytes, error texts and exit codes. Main is the
// only entry; it takes its surroundings (streams, environment, clock,
// interrupts) as a Process and returns the exit code. No other function ends
// the process: commands return errors, and a failure carries the exit code its
// error asks for.
//
// A reader finds one file per group of commands, holding the flags, the calls
// and the shapes in which the group's answers are shown; and one file per output
// format (simple.go, json.go, fields.go, table.go, protobuf.go). An answer
// knows its own words, a printer knows how a format looks; printer.go joins the two.
//
// The order of checks within a command is part of the contract, because it
// decides which of several mistakes is reported: flags, arguments,
// environment, discovery, passwords, output format, TLS files, login, the call
// itself, and last whether the format can show the answer.
//
// Left to others: the wire protocol, retries and balancing (clientv3), parsing
// of flags and shell completion (cobra).
//
// Goroutines: endpoint health asks all endpoints at once and joins them before
// it prints; interactive watch has one reader of stdin and one goroutine per
// watch; lock and elect have one that turns an interrupt into a cancelled
// context. Bytes on disk: snapshot save only, as FILE.part until complete.
package ctl
