// Package arch holds rules about the tree that run as tests: which package may
// import which, who may touch the disk and the clock, and that every package
// states its contract. It has no code of its own.
package arch
