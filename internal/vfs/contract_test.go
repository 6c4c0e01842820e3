package vfs_test

import (
	"path/filepath"
	"testing"

	"keelson/internal/vfs"
	"keelson/internal/vfs/vfstest"
)

func TestOSContract(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) (vfs.FS, string) {
		return vfs.OS{}, filepath.ToSlash(t.TempDir())
	})
}

func TestMemContract(t *testing.T) {
	for name, open := range map[string]func() *vfs.Mem{
		"with map":    vfs.NewMem,
		"without map": vfs.NewMemWithoutMap,
		"after a crash": func() *vfs.Mem {
			return vfs.NewMem().Crash(vfs.CrashKeep, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			vfstest.Run(t, func(t *testing.T) (vfs.FS, string) {
				m := open()
				if err := m.MkdirAll("/data/dir"); err != nil {
					t.Fatal(err)
				}
				return m, "/data/dir"
			})
		})
	}
}

func TestFaultyContractWithoutRules(t *testing.T) {
	vfstest.Run(t, func(*testing.T) (vfs.FS, string) {
		return vfs.NewFaulty(vfs.NewMem()), "/"
	})
}
