// Package config turns a command line, an environment and a configuration
// file into one value, Config, that the rest of the process is handed in
// parts.
//
// Its job is etcd's operator interface to the letter: flag names, defaults,
// ETCD_* variables, the keys and number formats of the file, the order of the
// checks, the texts of the refusals and the exit codes. Parse is a pure
// function of its Input: it opens no file itself, reads no variable, prints
// nothing and ends no process; what has to be printed, logged or refused comes
// back as an Outcome, and the caller does it. The same table of settings
// (settings.go) drives parsing, the help text and docs/configuration.md, so
// the three cannot drift apart.
//
// Left to others: opening log files (obs), binding listeners (web), comparing
// the initial cluster with resolved addresses and with the data directory
// (app). The package owns no goroutine and writes no file.
package config
