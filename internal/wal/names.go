package wal

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"keelson/internal/base"
	"keelson/internal/vfs"
)

const (
	segmentSuffix = ".wal"
	spareSuffix   = ".tmp"
	brokenSuffix  = ".broken"
	createSuffix  = ".tmp" // of the directory in which a log is created
)

// SegmentInfo describes a segment file by its name and size.
type SegmentInfo struct {
	Name  string // base name
	Seq   uint64
	First base.Index // the index its first entry was expected to have
	Bytes int64      // length of the file, preallocated zeros included
}

func segmentName(seq uint64, first base.Index) string {
	return fmt.Sprintf("%016x-%016x%s", seq, uint64(first), segmentSuffix)
}

// parseSegmentName accepts exactly the names segmentName makes.
func parseSegmentName(name string) (seq uint64, first base.Index, ok bool) {
	stem, found := strings.CutSuffix(name, segmentSuffix)
	if !found || len(stem) != 33 || stem[16] != '-' {
		return 0, 0, false
	}
	seq, err1 := strconv.ParseUint(stem[:16], 16, 64)
	idx, err2 := strconv.ParseUint(stem[17:], 16, 64)
	if err1 != nil || err2 != nil || segmentName(seq, base.Index(idx)) != name {
		return 0, 0, false
	}
	return seq, base.Index(idx), true
}

// Exist reports whether dir holds a log.
func Exist(fs vfs.FS, dir string) bool {
	names, err := fs.List(dir)
	if err != nil {
		return false
	}
	for _, name := range names {
		if _, _, ok := parseSegmentName(name); ok {
			return true
		}
	}
	return false
}

// Segments lists the segment files of a log in order of their sequence
// numbers. Other names are left alone.
func Segments(fs vfs.FS, dir string) ([]SegmentInfo, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("wal: list segments: %w", err)
	}
	var infos []SegmentInfo
	for _, name := range names { // sorted by List, hence by sequence
		seq, first, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		st, err := fs.Stat(path.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("wal: list segments: %w", err)
		}
		infos = append(infos, SegmentInfo{Name: name, Seq: seq, First: first, Bytes: st.Size})
	}
	return infos, nil
}

// covering returns the position in infos of the segment to start reading at
// for entries after index: the last whose name promises nothing beyond it.
// From there on the sequence must be complete.
func covering(dir string, infos []SegmentInfo, index base.Index) (int, error) {
	start := len(infos) - 1
	for start >= 0 && infos[start].First > index {
		start--
	}
	if start < 0 {
		reason := "it holds no segment file"
		if len(infos) > 0 {
			reason = fmt.Sprintf("the oldest segment, %s, begins after index %d", infos[0].Name, index)
		}
		return 0, &CorruptError{File: dir, Reason: reason, Hint: hintMissing}
	}
	return start, checkSequence(dir, infos[start:])
}

func checkSequence(dir string, infos []SegmentInfo) error {
	for i := 1; i < len(infos); i++ {
		if infos[i].Seq != infos[i-1].Seq+1 {
			return &CorruptError{
				File:   path.Join(dir, infos[i].Name),
				Reason: fmt.Sprintf("the segment with sequence number %d is missing or there twice", infos[i-1].Seq+1),
				Hint:   hintMissing,
			}
		}
	}
	return nil
}
