package snap

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

const (
	suffix       = ".ckpt"
	brokenSuffix = ".broken"
	indexDigits  = 16
)

// ErrNone is a directory without any checkpoint: a member that has taken none
// yet.
var ErrNone = errors.New("no checkpoint")

// FileName is the base name of the checkpoint at an applied index.
func FileName(applied base.Index) string {
	return fmt.Sprintf("%0*x%s", indexDigits, uint64(applied), suffix)
}

// parseName is the inverse of FileName; it takes no other spelling.
func parseName(name string) (base.Index, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != indexDigits {
		return 0, false
	}
	v, err := strconv.ParseUint(digits, 16, 64)
	if err != nil || FileName(base.Index(v)) != name {
		return 0, false
	}
	return base.Index(v), true
}

// List returns the applied indexes of the checkpoints in a directory, newest
// first, damaged ones that Load has not met included. A missing directory has
// none.
func List(fsys vfs.FS, dir string) ([]base.Index, error) {
	names, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	var out []base.Index
	for _, name := range names {
		if i, ok := parseName(name); ok {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out, nil
}

// Read reads one checkpoint file and changes nothing.
func Read(fsys vfs.FS, name string) (*Checkpoint, error) {
	data, err := vfs.ReadFile(fsys, name, maxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := Decode(data)
	var damaged *CorruptError
	var foreign *VersionError
	switch {
	case errors.As(err, &damaged):
		damaged.File = name
		return nil, damaged
	case errors.As(err, &foreign):
		foreign.File = name
		return nil, foreign
	case err != nil:
		return nil, err
	}
	return c, nil
}

// Load reads the checkpoints of a directory: the newest that is intact, and
// the older ones, newest first, whose files must be kept too. A damaged one is
// logged and put aside under another name, so that Purge does not count it; one
// that cannot be read is logged and passed over. When every one of them fails
// the error names them all. ErrNone when there is none; a *VersionError when a
// release we know nothing about wrote the newest intact one.
func Load(fsys vfs.FS, dir string, logger *zap.Logger) (newest *Checkpoint, older []*Checkpoint, err error) {
	indexes, err := List(fsys, dir)
	if err != nil {
		return nil, nil, err
	}
	var good []*Checkpoint
	var bad []error
	for _, index := range indexes {
		c, err := readAt(fsys, dir, index)
		var foreign *VersionError
		if errors.As(err, &foreign) && len(good) == 0 {
			return nil, nil, err
		}
		if err != nil {
			bad = append(bad, err)
			logger.Warn("a checkpoint cannot be used, trying the one before",
				zap.String("file", dir+"/"+FileName(index)), zap.Error(err))
			continue
		}
		good = append(good, c)
	}
	switch {
	case len(good) > 0:
		putAside(fsys, dir, bad, logger)
		return good[0], good[1:], nil
	case len(bad) > 0:
		return nil, nil, fmt.Errorf("no checkpoint can be used, restore the member from a snapshot "+
			"or let it join anew: %w", errors.Join(bad...))
	}
	return nil, nil, fmt.Errorf("%s: %w", dir, ErrNone)
}

// readAt reads a checkpoint and holds its content against its name.
func readAt(fsys vfs.FS, dir string, index base.Index) (*Checkpoint, error) {
	name := dir + "/" + FileName(index)
	c, err := Read(fsys, name)
	if err == nil && c.Applied != index {
		return nil, &CorruptError{File: name, Offset: headerBytes,
			Reason: fmt.Sprintf("it holds the state at index %d", c.Applied)}
	}
	return c, err
}

// putAside renames the damaged ones among the files that failed. Where that
// fails they only stay in the way, so it is logged and no more.
func putAside(fsys vfs.FS, dir string, bad []error, logger *zap.Logger) {
	renamed := false
	for _, err := range bad {
		var damaged *CorruptError
		if !errors.As(err, &damaged) {
			continue // perhaps only the reading failed
		}
		if err := fsys.Rename(damaged.File, damaged.File+brokenSuffix); err != nil {
			logger.Warn("a damaged checkpoint cannot be put aside", zap.Error(err))
			continue
		}
		renamed = true
	}
	if !renamed {
		return
	}
	if err := fsys.SyncDir(dir); err != nil {
		logger.Warn("a damaged checkpoint cannot be put aside", zap.Error(err))
	}
}
