package table

import "syscall"

// dieWithParent makes the kernel kill the member when the test process dies,
// however it dies.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
