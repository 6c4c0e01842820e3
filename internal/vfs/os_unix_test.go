//go:build linux || darwin

package vfs

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestOSFullDiskIsErrNoSpace(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		for _, err := range []error{
			&fs.PathError{Op: "write", Path: "p", Err: errno},
			&os.LinkError{Op: "rename", Old: "o", New: "p", Err: errno},
		} {
			got := wrapOS(err)
			var p *fs.PathError
			if !errors.Is(got, ErrNoSpace) || !errors.Is(got, errno) || !errors.As(got, &p) || p.Path != "p" {
				t.Errorf("%v became %v", err, got)
			}
		}
		if got := wrapOS(errno); !errors.Is(got, ErrNoSpace) {
			t.Errorf("%v became %v", errno, got)
		}
	}
	other := &fs.PathError{Op: "write", Path: "p", Err: syscall.EIO}
	if got := wrapOS(other); got != error(other) || errors.Is(got, ErrNoSpace) {
		t.Errorf("%v became %v", other, got)
	}
}

func TestOSWriteZerosExtends(t *testing.T) {
	name := t.TempDir() + "/a"
	f, err := openOS(name, os.O_RDWR|os.O_CREATE)
	must(t, err)
	mustWrite(t, f, []byte("abc"), 0)
	must(t, f.writeZeros(3, 2*zeroChunkBytes+7))
	must(t, f.writeZeros(10, 5)) // nothing to do
	must(t, f.Close())
	got := mustRead(t, OS{}, name)
	if len(got) != 2*zeroChunkBytes+7 || string(got[:3]) != "abc" || strings.Trim(string(got[3:]), "\x00") != "" {
		t.Fatalf("%d bytes, beginning %q", len(got), got[:3])
	}
}

func TestOSModes(t *testing.T) {
	dir := t.TempDir()
	must(t, OS{}.MkdirAll(dir+"/d"))
	must(t, WriteFile(OS{}, dir+"/d/f", nil))
	for name, want := range map[string]fs.FileMode{"/d": 0o700, "/d/f": 0o600} {
		info, err := OS{}.Stat(dir + name)
		must(t, err)
		if info.Mode.Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode.Perm(), want)
		}
	}
}
