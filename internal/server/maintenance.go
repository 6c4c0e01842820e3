package server

import (
	"context"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"

	"keelson/internal/alarm"
	"keelson/internal/errs"
	"keelson/internal/state"
	"keelson/internal/wire"
)

// Status tells how this member is.
func (s *Server) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	st, sizes := s.rep.State(), s.cfg.Log.Stats()
	res := &pb.StatusResponse{
		Header:           s.pbHeader(s.revision()),
		Version:          s.cfg.Version,
		StorageVersion:   s.cfg.StorageVersion,
		DbSize:           sizes.Bytes,
		DbSizeInUse:      sizes.LiveBytes,
		DbSizeQuota:      s.cfg.QuotaBytes,
		Leader:           uint64(st.Leader),
		RaftIndex:        uint64(s.rep.Committed()),
		RaftTerm:         uint64(st.Term),
		RaftAppliedIndex: uint64(s.Applied()),
		IsLearner:        s.IsLearner(),
		DowngradeInfo:    &pb.DowngradeInfo{},
	}
	if job := s.cfg.Machine.Members.DowngradeJob(); job.Enabled {
		res.DowngradeInfo.Enabled, res.DowngradeInfo.TargetVersion = true, job.Target
	}
	if st.Leader == 0 {
		res.Errors = append(res.Errors, errs.ErrNoLeader.Text)
	}
	for _, a := range s.cfg.Machine.Alarms.List(alarm.None) {
		res.Errors = append(res.Errors, fmt.Sprintf("memberID:%d alarm:%s", uint64(a.Member), a.Kind))
	}
	return res, nil
}

// Alarm lists, raises or disarms alarms.
func (s *Server) Alarm(ctx context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	if _, known := pb.AlarmRequest_AlarmAction_name[int32(r.Action)]; !known {
		return nil, errs.ErrUnknownMethod
	}
	res, err := s.proposeMessage(ctx, wire.KindAlarm, r)
	if err != nil {
		return nil, err
	}
	out := &pb.AlarmResponse{Header: s.pbHeader(res.Revision)}
	for _, a := range res.Alarms {
		out.Alarms = append(out.Alarms, &pb.AlarmMember{MemberID: uint64(a.Member), Alarm: pb.AlarmType(a.Kind)})
	}
	return out, nil
}

// Defragment gives all space back that dead records take up, now. It holds up
// nobody; reads and writes go on.
func (s *Server) Defragment(ctx context.Context, _ *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	start, before := s.cfg.Clock.Now(), s.cfg.Log.Stats()
	if err := s.physical.wait(ctx, s.stopped); err != nil {
		return nil, err
	}
	var rotated error
	if err := s.onApply(ctx, func() { rotated = s.cfg.Log.Rotate() }); err != nil {
		return nil, err
	}
	if rotated != nil {
		return nil, s.readError(rotated)
	}
	if err := s.reclaim(ctx, smallestDeadShare, func(int) {}); err != nil {
		return nil, s.readError(err)
	}
	// Files go when no checkpoint that is kept names them.
	if err := s.checkpoint(ctx, 1); err != nil {
		return nil, s.readError(err)
	}
	took, after := s.cfg.Clock.Now().Sub(start), s.cfg.Log.Stats()
	s.logBytes.Store(after.Bytes)
	s.cfg.Metrics.DefragDone(took)
	s.log.Info("finished defragmenting", zap.Duration("took", took),
		zap.Int64("bytes-before", before.Bytes), zap.Int64("bytes-after", after.Bytes))
	return &pb.DefragmentResponse{}, nil
}

// smallestDeadShare makes Defragment rewrite a segment for a single dead record.
const smallestDeadShare = 1e-9

// Hash hashes the whole state of this member.
func (s *Server) Hash(ctx context.Context, _ *pb.HashRequest) (*pb.HashResponse, error) {
	h, rev, err := s.kv.Hash(ctx)
	if err != nil {
		return nil, s.readError(err)
	}
	return &pb.HashResponse{Header: s.pbHeader(rev), Hash: h}, nil
}

// HashKV hashes the key space at a revision, comparable between members.
func (s *Server) HashKV(ctx context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	h, rev, err := s.kv.HashKV(ctx, r.Revision)
	if err != nil {
		return nil, s.readError(err)
	}
	return &pb.HashKVResponse{
		Header: s.pbHeader(rev), Hash: h.Hash, CompactRevision: h.CompactRev, HashRevision: h.Revision,
	}, nil
}

// MoveLeader hands leadership over. With one member only itself can be named.
func (s *Server) MoveLeader(_ context.Context, r *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	st := s.rep.State()
	switch {
	case !st.IsLeader:
		return nil, errs.ErrNotLeader
	case r.TargetID != uint64(s.cfg.MemberID):
		return nil, errs.ErrBadLeaderTransferee
	}
	return &pb.MoveLeaderResponse{}, nil
}

// Downgrade checks, starts or cancels a downgrade of the cluster. Only
// cancelling is possible yet, and like etcd it always succeeds.
func (s *Server) Downgrade(ctx context.Context, r *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	version := s.cfg.Machine.Members.Version()
	short := version
	if i := strings.LastIndexByte(version, '.'); i > 0 {
		short = version[:i]
	}
	switch r.Action {
	case pb.DowngradeRequest_CANCEL:
		return &pb.DowngradeResponse{Header: s.pbHeader(s.revision()), Version: short}, nil
	case pb.DowngradeRequest_VALIDATE, pb.DowngradeRequest_ENABLE:
		return nil, errs.New(errs.Unimplemented, "etcdserver: downgrading is not supported by this version")
	}
	return nil, errs.ErrUnknownMethod
}

// The methods below are what the web pages ask.

// Alarms lists the raised alarms.
func (s *Server) Alarms() []alarm.Alarm { return s.cfg.Machine.Alarms.List(alarm.None) }

// Read makes a small read the way a client would.
func (s *Server) Read(ctx context.Context, linearizable bool) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.requestTimeout())
	defer cancel()
	r := &wire.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Limit: 1, KeysOnly: true, Serializable: !linearizable}
	f, err := s.tryRange(ctx, r)
	if err == nil {
		f.Free()
	}
	return err
}

// Versions tells the versions of the program, the cluster and the storage; the
// latter two are empty until decided.
func (s *Server) Versions() (server, cluster, storage string) {
	cluster = s.cfg.Machine.Members.Version()
	if cluster != "" {
		storage = s.cfg.StorageVersion
	}
	return s.cfg.Version, cluster, storage
}

// Machine is the state, for metrics that look at it.
func (s *Server) Machine() *state.Machine { return s.cfg.Machine }
