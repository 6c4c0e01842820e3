package rpc

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"keelson/internal/errs"
)

// authService is etcdserverpb.Auth of a member whose auth store is empty and
// stays so: authentication is off, there are no users and no roles, and none
// can be added by this version. Everything else is answered as etcd answers it
// in that state, because clients and scripts ask: clientv3 with a user and a
// password logs in first and goes on without when authentication is off.
type authService struct{ info Info }

// errNoUsers refuses what would put something into the store.
var errNoUsers = errs.New(errs.Unimplemented, "etcdserver: users and roles are not supported by this version")

func (s *authService) register(a *service) {
	unary(a, "AuthEnable", refuse[pb.AuthEnableRequest, pb.AuthEnableResponse](errs.ErrRootUserNotExist))
	unary(a, "AuthDisable", func(context.Context, *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
		return &pb.AuthDisableResponse{Header: s.header()}, nil
	})
	unary(a, "AuthStatus", func(context.Context, *pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
		return &pb.AuthStatusResponse{Header: s.header(), AuthRevision: firstAuthRevision}, nil
	})
	unary(a, "Authenticate", refuse[pb.AuthenticateRequest, pb.AuthenticateResponse](errs.ErrAuthNotEnabled))
	unary(a, "UserAdd", refuse[pb.AuthUserAddRequest, pb.AuthUserAddResponse](errNoUsers))
	unary(a, "UserGet", refuse[pb.AuthUserGetRequest, pb.AuthUserGetResponse](errs.ErrUserNotFound))
	unary(a, "UserList", func(context.Context, *pb.AuthUserListRequest) (*pb.AuthUserListResponse, error) {
		return &pb.AuthUserListResponse{Header: s.header()}, nil
	})
	unary(a, "UserDelete", refuse[pb.AuthUserDeleteRequest, pb.AuthUserDeleteResponse](errs.ErrUserNotFound))
	unary(a, "UserChangePassword", refuse[pb.AuthUserChangePasswordRequest, pb.AuthUserChangePasswordResponse](errs.ErrUserNotFound))
	unary(a, "UserGrantRole", refuse[pb.AuthUserGrantRoleRequest, pb.AuthUserGrantRoleResponse](errs.ErrUserNotFound))
	unary(a, "UserRevokeRole", refuse[pb.AuthUserRevokeRoleRequest, pb.AuthUserRevokeRoleResponse](errs.ErrUserNotFound))
	unary(a, "RoleAdd", refuse[pb.AuthRoleAddRequest, pb.AuthRoleAddResponse](errNoUsers))
	unary(a, "RoleGet", refuse[pb.AuthRoleGetRequest, pb.AuthRoleGetResponse](errs.ErrRoleNotFound))
	unary(a, "RoleList", func(context.Context, *pb.AuthRoleListRequest) (*pb.AuthRoleListResponse, error) {
		return &pb.AuthRoleListResponse{Header: s.header()}, nil
	})
	unary(a, "RoleDelete", refuse[pb.AuthRoleDeleteRequest, pb.AuthRoleDeleteResponse](errs.ErrRoleNotFound))
	unary(a, "RoleGrantPermission", refuse[pb.AuthRoleGrantPermissionRequest, pb.AuthRoleGrantPermissionResponse](errs.ErrRoleNotFound))
	unary(a, "RoleRevokePermission", refuse[pb.AuthRoleRevokePermissionRequest, pb.AuthRoleRevokePermissionResponse](errs.ErrRoleNotFound))
}

// firstAuthRevision is the revision of an auth store nobody has changed.
const firstAuthRevision = 1

func refuse[Req, Resp any](err error) func(context.Context, *Req) (*Resp, error) {
	return func(context.Context, *Req) (*Resp, error) { return nil, err }
}

func (s *authService) header() *pb.ResponseHeader {
	h := s.info.Header()
	return &pb.ResponseHeader{ClusterId: h.ClusterID, MemberId: h.MemberID, Revision: h.Revision, RaftTerm: h.RaftTerm}
}
