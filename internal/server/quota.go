package server

import (
	"context"

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

// diskFull refuses a write because there is no room for its file. Deletes,
// compaction and reads go on in the room that is held back; as soon as the next
// file can be reserved writes are let in again.
func (s *Server) diskFull(what string, err error) error {
	s.log.Warn("refused a write: the disk is full; free some space and writes go on by themselves",
		zap.String("file", what), zap.Error(err))
	return errs.ErrNoSpace
}
