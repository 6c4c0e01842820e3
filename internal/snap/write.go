package snap

import (
	"errors"
	"fmt"
	"io/fs"

	"keelson/internal/vfs"
)

// tmpName is where a checkpoint grows. It never ends in a name Load looks at,
// and being always the same it cannot pile up.
const tmpName = "next" + suffix + ".tmp"

// Write makes a checkpoint durable and returns its base name. The steps are
// the argument: the content is durable before the name points to it, and the
// name is durable before anybody removes what the checkpoint replaces.
//
// Until the rename a failure leaves the directory as it was, so ErrNoSpace may
// be tried again later; a failed sync may not.
func Write(fsys vfs.FS, dir string, c *Checkpoint) (name string, err error) {
	data, err := c.Encode()
	if err != nil {
		return "", err
	}
	tmp := dir + "/" + tmpName
	if err := writeTmp(fsys, tmp, data); err != nil {
		// A part of a file on a full disk only takes room; a failed removal
		// costs nothing else, the next Write takes the file over.
		return "", errors.Join(fmt.Errorf("checkpoint: %w", err), ignoreMissing(fsys.Remove(tmp)))
	}
	name = FileName(c.Applied)
	if err := fsys.Rename(tmp, dir+"/"+name); err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	return name, nil
}

// writeTmp fills the temporary file and syncs it. It takes over a file that
// Reserve has made, whose space may be the last on the disk.
func writeTmp(fsys vfs.FS, tmp string, data []byte) error {
	f, err := openTmp(fsys, tmp)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		// Cut what was reserved, or left by an attempt that failed.
		err = f.Truncate(int64(len(data)))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func openTmp(fsys vfs.FS, tmp string) (vfs.File, error) {
	f, err := fsys.OpenReadWrite(tmp)
	if errors.Is(err, fs.ErrNotExist) {
		return fsys.Create(tmp)
	}
	return f, err
}

// Reserve holds room for the next checkpoint. On a full disk space comes back
// only after a compaction, a reclaim and a checkpoint that no longer names the
// old segments: the last one must not fail for want of space. Write uses the
// room up.
func Reserve(fsys vfs.FS, dir string, bytes int64) error {
	f, err := openTmp(fsys, dir+"/"+tmpName)
	if err != nil {
		return fmt.Errorf("room for a checkpoint: %w", err)
	}
	if err := errors.Join(f.Preallocate(bytes), f.Close()); err != nil {
		return fmt.Errorf("room for a checkpoint: %w", err)
	}
	return nil
}

// Purge removes all but the newest keep checkpoints, oldest first; keep is at
// least 1. What the removed ones needed may go after it returns.
func Purge(fsys vfs.FS, dir string, keep int) error {
	indexes, err := List(fsys, dir)
	if err != nil {
		return err
	}
	keep = max(keep, 1)
	if len(indexes) <= keep {
		return nil
	}
	for i := len(indexes) - 1; i >= keep; i-- {
		if err := fsys.Remove(dir + "/" + FileName(indexes[i])); err != nil {
			return fmt.Errorf("old checkpoint: %w", err)
		}
	}
	return fsys.SyncDir(dir)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
