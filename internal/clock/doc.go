// Package clock is the only door to time. Code that waits or stamps takes a
// Clock; the process passes Real, tests and the simulator pass a Fake that
// moves only when told to. It owns no goroutine and writes no file.
package clock
