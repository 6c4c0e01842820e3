package vfs

import (
	"errors"
	"fmt"
)

// ReadFile returns the whole content of a file of at most maxBytes. A longer
// one is an error and costs no memory, so that a damaged or foreign file cannot
// exhaust it.
func ReadFile(fsys FS, name string, maxBytes int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := readWhole(f, maxBytes)
	return data, errors.Join(err, f.Close())
}

func readWhole(f File, maxBytes int64) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxBytes {
		return nil, pathError("read", f.Name(), fmt.Errorf("%d bytes, at most %d expected", size, maxBytes))
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); n < len(data) {
		return nil, err
	}
	return data, nil
}

// WriteFile makes a file with this content and makes the content durable. The
// name is durable after SyncDir, and a crash before may leave any part of the
// file: who replaces a file writes under another name and renames.
func WriteFile(fsys FS, name string, data []byte) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
