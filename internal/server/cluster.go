package server

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.uber.org/zap"

	"keelson/internal/errs"
	"keelson/internal/member"
	"keelson/internal/wire"
)

// publishLoop announces this member's name and client URLs through the log;
// when that has happened the member is ready.
func (s *Server) publishLoop() {
	req := &membershippb.ClusterMemberAttrSetRequest{
		Member_ID:        uint64(s.cfg.MemberID),
		MemberAttributes: &membershippb.Attributes{Name: s.cfg.Name, ClientUrls: s.cfg.ClientURLs},
	}
	for {
		for !s.HasLeader() {
			changed := s.lead.next()
			if s.HasLeader() {
				break
			}
			select {
			case <-changed:
			case <-s.stopped:
				return
			}
		}
		_, err := s.proposeMessage(s.ctx, wire.KindClusterMemberAttrSet, req)
		if err == nil {
			s.log.Info("published local member to cluster through raft",
				zap.Stringer("local-member-id", s.cfg.MemberID), zap.Strings("client-urls", s.cfg.ClientURLs),
				zap.Stringer("cluster-id", s.cfg.ClusterID), zap.Duration("publish-timeout", s.cfg.requestTimeout()))
			close(s.ready)
			return
		}
		select {
		case <-s.stopped:
			return
		default:
		}
		s.log.Warn("failed to publish local member to cluster through raft", zap.Error(err))
		if !s.sleep(100 * time.Millisecond) {
			return
		}
	}
}

// decideVersion sets the cluster version when it is not decided yet. With one
// member it is that member's; others' versions come with the peer transport.
func (s *Server) decideVersion() {
	members := s.cfg.Machine.Members
	if members.Version() == s.cfg.StorageVersion || len(members.All()) != 1 || s.Applied() < s.rep.Committed() {
		return
	}
	s.log.Info("set initial cluster version", zap.String("cluster-version", s.cfg.StorageVersion))
	_, err := s.proposeMessage(s.ctx, wire.KindClusterVersionSet, &membershippb.ClusterVersionSetRequest{Ver: s.cfg.StorageVersion})
	if err != nil {
		s.log.Warn("failed to set the cluster version; it is tried again", zap.Error(err))
	}
}

// MemberList lists the members.
func (s *Server) MemberList(ctx context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	if r.Linearizable {
		if err := s.Linearize(ctx); err != nil {
			return nil, err
		}
	}
	return &pb.MemberListResponse{Header: s.pbHeader(0), Members: pbMembers(s.cfg.Machine.Members.All())}, nil
}

func pbMembers(all []member.Member) []*pb.Member {
	out := make([]*pb.Member, len(all))
	for i, m := range all {
		out[i] = &pb.Member{
			ID: uint64(m.ID), Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, IsLearner: m.IsLearner,
		}
	}
	return out
}

// errNoPeers refuses what needs more than one member.
var errNoPeers = errs.New(errs.Unimplemented, "etcdserver: changing the members of a cluster is not supported by this version")

// MemberAdd is refused: members cannot talk to each other yet.
func (s *Server) MemberAdd(context.Context, *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	return nil, errNoPeers
}

// MemberRemove is refused: the only member cannot be removed.
func (s *Server) MemberRemove(_ context.Context, r *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	return nil, s.noSuchMember(r.ID, errs.ErrMemberNotEnoughStarted)
}

// MemberUpdate is refused: nobody would use the new URL.
func (s *Server) MemberUpdate(_ context.Context, r *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	return nil, s.noSuchMember(r.ID, errNoPeers)
}

// MemberPromote is refused: the only member is no learner.
func (s *Server) MemberPromote(_ context.Context, r *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	return nil, s.noSuchMember(r.ID, errs.ErrMemberNotLearner)
}

func (s *Server) noSuchMember(id uint64, known error) error {
	if id != uint64(s.cfg.MemberID) {
		return errs.ErrMemberNotFound
	}
	return known
}
