package server

import (
	"context"
	"time"

	"keelson/internal/errs"
	"keelson/internal/state"
	"keelson/internal/wire"
)

// readRetry is how often an unanswered read-index round is repeated.
const readRetry = 500 * time.Millisecond

// Range reads a range.
func (s *Server) Range(ctx context.Context, r *wire.RangeRequest) (*wire.Frame, error) {
	start := s.cfg.Clock.Now()
	f, err := s.tryRange(ctx, r)
	took := s.cfg.Clock.Now().Sub(start)
	s.cfg.Metrics.Request("Range", took, err == nil)
	s.cfg.Metrics.RangeServed(took, err == nil)
	return f, err
}

func (s *Server) tryRange(ctx context.Context, r *wire.RangeRequest) (*wire.Frame, error) {
	if !r.Serializable {
		if err := s.Linearize(ctx); err != nil {
			return nil, err
		}
	}
	v := s.kv.View()
	defer v.Release()
	res, err := v.Range(ctx, state.RangeOptions(r))
	if err != nil {
		return nil, s.readError(err)
	}
	s.cfg.Metrics.Operation(0, 0, 0, 1)
	release, err := s.answers.acquire(ctx, res.KVs)
	if err != nil {
		return nil, err
	}
	defer release()
	return wire.NewRangeResponse(s.header(v.Revision()), res.KVs, res.More, res.Count), nil
}

// readTxn runs a transaction of nothing but ranges.
func (s *Server) readTxn(ctx context.Context, r *wire.TxnRequest) (*wire.Frame, error) {
	if !state.IsSerializable(r) {
		if err := s.Linearize(ctx); err != nil {
			return nil, err
		}
	}
	start := s.cfg.Clock.Now()
	v := s.kv.View()
	defer v.Release()
	succeeded, responses, err := s.cfg.Machine.ReadTxn(ctx, v, r)
	s.cfg.Metrics.Request("ReadonlyTxn", s.cfg.Clock.Now().Sub(start), err == nil)
	if err != nil {
		return nil, s.readError(err)
	}
	s.cfg.Metrics.Operation(0, 0, 1, 0)
	return wire.NewTxnResponse(s.header(v.Revision()), succeeded, responses), nil
}

// Bounds of one message of a RangeStream: it starts small, so that the first
// keys are there at once, and grows while messages stay under half the target.
const (
	firstChunkKeys = 10
	maxChunkKeys   = 1 << 20
)

// RangeStream reads a range in pieces, all at one revision, each sent before the
// next is read.
func (s *Server) RangeStream(ctx context.Context, r *wire.RangeRequest, send func(*wire.Frame) error) error {
	if !r.Serializable {
		if err := s.Linearize(ctx); err != nil {
			return err
		}
	}
	st := s.kv.Stream(state.RangeOptions(r))
	defer st.Close()
	var head *wire.ResponseHeader
	for keys := firstChunkKeys; ; {
		c, err := st.Next(ctx, keys)
		if err != nil {
			return s.readError(err)
		}
		if head == nil {
			h := s.header(c.Revision) // of the moment the stream began
			head = &h
		}
		if c.Last {
			return send(wire.NewRangeStreamResponse(head, c.KVs, c.More, c.Count))
		}
		f := wire.NewRangeStreamResponse(nil, c.KVs, false, 0)
		keys = nextChunk(keys, len(f.Bytes()), s.cfg.MaxRequestBytes)
		if err := send(f); err != nil {
			return err
		}
	}
}

// nextChunk is how many keys to read next, so that messages become about as
// large as the target.
func nextChunk(keys, size, target int) int {
	switch {
	case size < target/2:
		return min(keys*2, maxChunkKeys)
	case size > 2*target:
		return max(keys/2, 1)
	}
	return keys
}

// readError lets refusals through and reports broken storage, which must never
// look like an empty answer.
func (s *Server) readError(err error) error {
	return s.fault.check(err)
}

// CheckQuota refuses a request that costs cost bytes when the space quota is
// used up, and raises the alarm; or when the disk is full, which needs no alarm
// because it clears by itself.
func (s *Server) CheckQuota(ctx context.Context, cost int64) error {
	if cost <= 0 {
		return nil
	}
	if err := s.spaceOK(); err != nil {
		return s.diskFull(err)
	}
	if !s.overQuota(cost) {
		return nil
	}
	s.raiseNoSpace(ctx)
	return errs.ErrNoSpace
}
