// Package vfstest is the contract of vfs.FS as tests. Every implementation
// passes it: the real disk, the simulated one and the one that fails on
// command. What only a loss of power shows is tested with vfs.Mem.
package vfstest
