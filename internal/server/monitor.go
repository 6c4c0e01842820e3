package server

import (
	"context"
	"sync"

	"keelson/internal/watch"
)

// leaderlessPolls is how many election timeouts in a row without a leader end
// the streams of clients that asked for one.
const leaderlessPolls = 3

// monitor ends streams when no leader was known for a while.
type monitor struct {
	mu      sync.Mutex
	streams map[*func()]struct{}
}

// Register makes lost be called, once, when no leader was known for
// leaderlessPolls election timeouts.
func (s *Server) Register(lost func()) (unregister func()) {
	m, key := &s.monitor, &lost
	m.mu.Lock()
	if m.streams == nil {
		m.streams = make(map[*func()]struct{})
	}
	m.streams[key] = struct{}{}
	m.mu.Unlock()
	return func() {
		m.mu.Lock()
		delete(m.streams, key)
		m.mu.Unlock()
	}
}

// loseAll calls every lost function.
func (m *monitor) loseAll() {
	m.mu.Lock()
	streams := m.streams
	m.streams = nil
	m.mu.Unlock()
	for lost := range streams {
		(*lost)()
	}
}

// monitorLoop is the monitor goroutine.
func (s *Server) monitorLoop() {
	t := s.cfg.Clock.NewTicker(s.cfg.ElectionTimeout)
	defer t.Stop()
	for missed := 0; ; {
		select {
		case <-t.C():
		case <-s.stopped:
			return
		}
		if s.HasLeader() {
			missed = 0
			continue
		}
		if missed++; missed >= leaderlessPolls {
			s.monitor.loseAll()
		}
	}
}

// WatchStream opens the server side of one Watch stream.
func (s *Server) WatchStream(context.Context) *watch.Stream { return s.cfg.Hub.NewStream() }
