package wal

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"keelson/internal/vfs"
)

const (
	// retrySpare is how often a caller of SpaceOK may have a failed spare
	// tried again.
	retrySpare = time.Second
	// fillChunkBytes is written and synced at once while a spare is filled.
	// A sync of the log that meets one waits for it: 2 ms at 125 MB/s.
	fillChunkBytes = 256 << 10
)

// spare keeps the next segment ready: a locked, preallocated file named
// 0.tmp or 1.tmp. It is made long before it is needed, so a cut costs no
// allocation and a full disk is noticed one segment ahead.
//
//	idle --request--> making --> ready --take--> making (the one after)
//	                    |                 ^
//	                    +--> failed --retry (making)
//
// When asked by fill, it also overwrites the ready spare with zeros. Writing
// into blocks that are only reserved makes each sync change the file system's
// own records as well: on ext4 a sync after 4 to 16 KiB took 185-205 us there
// and 115-120 us in blocks written before. It costs each byte of the log a
// second write in the background.
type spare struct {
	// Set once.
	opts     Options
	requests chan request // never full: at most one of each kind is under way
	stop     chan struct{}
	stopped  chan struct{}

	state struct {
		sync.Mutex
		changed sync.Cond // state.L; signalled at every change of phase
		phase   phase
		file    vfs.File // when ready
		name    string   // when ready
		err     error    // when failed
		tried   time.Time
		count   int // spares made, for the name
		filling bool
	}

	// writing is held while zeros are written to a spare, and by take: a file
	// that was handed out is never written here, nor does a sync made here
	// swallow an error that belongs to the log. Taken before state.
	writing sync.Mutex
}

type phase uint8

const (
	making phase = iota
	ready
	failed
	closed
)

type request uint8

const (
	makeOne request = iota
	fillIt
)

func newSpare(opts Options) *spare {
	s := &spare{
		opts:     opts,
		requests: make(chan request, 2),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	s.state.changed.L = &s.state
	s.requests <- makeOne
	go s.run()
	return s
}

// run is the spare maker. It waits for requests or for close.
func (s *spare) run() {
	defer close(s.stopped)
	for {
		select {
		case <-s.stop:
			return
		case r := <-s.requests:
			if r == fillIt {
				s.fillReady()
			} else {
				s.makeNext()
			}
		}
	}
}

func (s *spare) makeNext() {
	s.state.Lock()
	name := s.opts.path(strconv.Itoa(s.state.count%2) + spareSuffix)
	s.state.Unlock()
	file, err := makeSegmentFile(s.opts.FS, name, s.opts.SegmentBytes)
	if err != nil {
		s.opts.Logger.Warn("cannot prepare the next log segment", zap.String("path", name), zap.Error(err))
	}
	s.state.Lock()
	defer s.state.Unlock()
	s.state.tried = s.opts.Clock.Now()
	s.state.file, s.state.name, s.state.err = file, name, err
	s.state.filling = false
	s.state.phase = ready
	if err != nil {
		s.state.phase = failed
	} else {
		s.state.count++
	}
	s.state.changed.Broadcast()
}

// requestLocked starts making a spare. At most one such request is under way,
// as the phase leaves making only when it is served.
func (s *spare) requestLocked() {
	s.state.phase = making
	s.requests <- makeOne
}

// take hands out the spare and starts making the next one. It waits while one
// is being made, and gives a failed one a second chance.
func (s *spare) take() (file vfs.File, name string, err error) {
	for retried := false; ; retried = true {
		s.state.Lock()
		s.awaitLocked()
		s.state.Unlock()

		s.writing.Lock()
		s.state.Lock()
		again := false
		switch s.state.phase {
		case ready:
			file, name, err = s.state.file, s.state.name, nil
			s.state.file = nil
			s.requestLocked()
		case failed:
			file, err = nil, s.state.err
			if again = !retried; again {
				s.requestLocked()
			}
		case closed:
			err = ErrClosed
		case making: // a check has just asked for another attempt
			again = true
		}
		s.state.Unlock()
		s.writing.Unlock()
		if !again {
			return file, name, err
		}
	}
}

// awaitLocked waits until no spare is being made.
func (s *spare) awaitLocked() {
	for s.state.phase == making {
		s.state.changed.Wait()
	}
}

// check is SpaceOK: nil unless making a spare failed.
func (s *spare) check() error {
	s.state.Lock()
	defer s.state.Unlock()
	switch {
	case s.state.phase == closed:
		return ErrClosed
	case s.state.err == nil:
		return nil
	}
	err := s.state.err
	if s.state.phase == failed && s.opts.Clock.Now().Sub(s.state.tried) >= retrySpare {
		s.requestLocked()
	}
	return err
}

// fill asks for zeros in the spare. It is cheap to call again and again.
func (s *spare) fill() {
	if s.opts.NoSync {
		return
	}
	s.state.Lock()
	defer s.state.Unlock()
	if s.state.phase == ready && !s.state.filling {
		s.state.filling = true
		s.requests <- fillIt
	}
}

// fillReady writes zeros to the spare until it is full of them, taken or no
// longer wanted. A failure disowns the file: after a failed sync nothing is
// known about it.
func (s *spare) fillReady() {
	zeros := make([]byte, fillChunkBytes)
	for off := int64(0); off < s.opts.SegmentBytes; off += fillChunkBytes {
		select {
		case <-s.stop:
			return
		default:
		}
		if !s.fillChunk(zeros[:min(fillChunkBytes, s.opts.SegmentBytes-off)], off) {
			return
		}
	}
}

func (s *spare) fillChunk(zeros []byte, off int64) (more bool) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.state.Lock()
	file := s.state.file
	if s.state.phase != ready || !s.state.filling {
		file = nil
	}
	s.state.Unlock()
	if file == nil {
		return false
	}
	_, err := file.WriteAt(zeros, off)
	if err == nil {
		err = file.SyncData()
	}
	if err == nil {
		return true
	}
	s.opts.Logger.Warn("cannot fill the next log segment", zap.Error(err))
	s.state.Lock()
	defer s.state.Unlock()
	s.state.phase, s.state.file = failed, nil
	s.state.err = errors.Join(err, file.Close(), s.opts.FS.Remove(s.state.name))
	s.state.changed.Broadcast()
	return false
}

// close stops the maker and removes an unused spare.
func (s *spare) close() {
	close(s.stop)
	<-s.stopped
	s.state.Lock()
	defer s.state.Unlock()
	if s.state.phase == ready {
		err := errors.Join(s.state.file.Close(), s.opts.FS.Remove(s.state.name))
		if err != nil {
			s.opts.Logger.Warn("cannot remove the unused log segment", zap.String("path", s.state.name), zap.Error(err))
		}
	}
	s.state.phase, s.state.file = closed, nil
	s.state.changed.Broadcast()
}
