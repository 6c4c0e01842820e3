//go:build !linux

package table

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
