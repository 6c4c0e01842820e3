package server

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"

	"keelson/internal/alarm"
	"keelson/internal/errs"
	"keelson/internal/wire"
)

// overQuota reports whether cost more bytes would not fit. What counts is what
// the segments take up, not what is live in them.
func (s *Server) overQuota(cost int64) bool {
	return s.cfg.QuotaBytes > 0 && s.logBytes.Load()+cost >= s.cfg.QuotaBytes
}

// raiseNoSpace raises the NOSPACE alarm of this member through the log, so that
// all members refuse writes until somebody disarms it.
func (s *Server) raiseNoSpace(ctx context.Context) {
	own := alarm.Alarm{Member: s.cfg.MemberID, Kind: alarm.NoSpace}
	for _, a := range s.cfg.Machine.Alarms.List(alarm.NoSpace) {
		if a == own {
			return
		}
	}
	s.log.Warn("space quota exceeded; raising the NOSPACE alarm: compact, then disarm it",
		zap.Int64("bytes", s.logBytes.Load()), zap.Int64("quota", s.cfg.QuotaBytes))
	_, err := s.proposeMessage(ctx, wire.KindAlarm, &pb.AlarmRequest{
		Action: pb.AlarmRequest_ACTIVATE, MemberID: uint64(own.Member), Alarm: pb.AlarmType_NOSPACE,
	})
	if err != nil {
		s.log.Warn("failed to raise the NOSPACE alarm", zap.Error(err))
	}
}

// alarmLoop is the alarmer goroutine: the apply goroutine found the quota used
// up and must not wait for an entry.
func (s *Server) alarmLoop() {
	for {
		select {
		case <-s.overfull:
			s.raiseNoSpace(s.ctx)
		case <-s.stopped:
			return
		}
	}
}

// spaceOK reports whether the next files of both logs have their room.
func (s *Server) spaceOK() error {
	if err := s.cfg.Log.SpaceOK(); err != nil {
		return fmt.Errorf("revision log: %w", err)
	}
	if err := s.cfg.WAL.SpaceOK(); err != nil {
		return fmt.Errorf("raft log: %w", err)
	}
	return nil
}

// diskFull refuses a write because there is no room for the next file. Deletes,
// compaction and reads go on in the room that is held back; as soon as the next
// files can be reserved writes are let in again. A checkpoint lets go of what
// is only kept for others' convenience.
func (s *Server) diskFull(err error) error {
	now := s.cfg.Clock.Now()
	if last := s.fullSince.Load(); last == nil || now.Sub(*last) >= fullDiskPause {
		s.fullSince.Store(&now)
		s.log.Warn("refusing writes: the disk is full; free some space and writes go on by themselves", zap.Error(err))
		s.requestCheckpoint()
	}
	return errs.ErrNoSpace
}

// fullDiskPause is how often a full disk is logged and looked at again.
const fullDiskPause = 5 * time.Second
