package revlog

import (
	"errors"
	"fmt"
	"time"

	"keelson/internal/vfs"
)

// spareRetry is how often a full disk is asked again for the next segment.
const spareRetry = time.Second

// The active segment is preallocated and so is the one after it. When the disk
// is full the log notices one whole segment early: SpaceOK fails, the server
// refuses what grows the store, and deletes and compactions still have the
// rest of the active segment to write to.
//
//	[ active: used | room ]   [ spare: room ]      SpaceOK
//	[ active: used | room ]   no space for one     ErrNoSpace, Append goes on

// SpaceOK returns an error that wraps vfs.ErrNoSpace while the next segment
// cannot be preallocated. It tries again when asked, at most once a second.
func (l *Log) SpaceOK() error {
	if err := l.failed(); err != nil {
		return err
	}
	l.mu.Lock()
	err, tried := l.mu.spareErr, l.mu.spareTried
	l.mu.Unlock()
	if err == nil {
		return nil
	}
	if l.opts.Clock.Now().Sub(tried) < spareRetry || !l.spareMu.TryLock() {
		return err
	}
	defer l.spareMu.Unlock()
	_, err = l.needSpareLocked()
	return err
}

// makeSpare preallocates the next segment if there is none.
func (l *Log) makeSpare() {
	if _, err := l.needSpare(); err != nil && errors.Is(err, vfs.ErrNoSpace) {
		l.opts.Logger.Warn("no room for the next segment", zapFile(l.opts.Dir), zapError(err))
	}
}

// needSpare returns the spare segment, making it first if need be. An error
// other than a full disk fails the log.
func (l *Log) needSpare() (*segFile, error) {
	l.spareMu.Lock()
	defer l.spareMu.Unlock()
	return l.needSpareLocked()
}

// needSpareLocked is needSpare with spareMu held.
func (l *Log) needSpareLocked() (*segFile, error) {
	if err := l.failed(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	spare := l.mu.spare
	l.mu.Unlock()
	if spare != nil {
		return spare, nil
	}
	spare, err := l.newFile(l.opts.SegmentBytes)
	if err != nil {
		err = fmt.Errorf("revlog: next segment: %w", err)
		if !errors.Is(err, vfs.ErrNoSpace) {
			return nil, l.fail(err)
		}
	} else {
		l.mapActive(spare, l.opts.SegmentBytes)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.spare, l.mu.spareErr, l.mu.spareTried = spare, err, l.opts.Clock.Now()
	return spare, err
}

// takeSpare hands the spare segment over.
func (l *Log) takeSpare() (*segFile, error) {
	l.spareMu.Lock()
	defer l.spareMu.Unlock()
	spare, err := l.needSpareLocked()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.mu.spare = nil
	l.mu.Unlock()
	return spare, nil
}
