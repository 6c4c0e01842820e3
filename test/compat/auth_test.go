package compat

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

var (
	rpcAuthEnable     = rpc[pb.AuthEnableRequest, pb.AuthEnableResponse]("/etcdserverpb.Auth/AuthEnable")
	rpcAuthDisable    = rpc[pb.AuthDisableRequest, pb.AuthDisableResponse]("/etcdserverpb.Auth/AuthDisable")
	rpcAuthStatus     = rpc[pb.AuthStatusRequest, pb.AuthStatusResponse]("/etcdserverpb.Auth/AuthStatus")
	rpcAuthenticate   = rpc[pb.AuthenticateRequest, pb.AuthenticateResponse]("/etcdserverpb.Auth/Authenticate")
	rpcUserGet        = rpc[pb.AuthUserGetRequest, pb.AuthUserGetResponse]("/etcdserverpb.Auth/UserGet")
	rpcUserList       = rpc[pb.AuthUserListRequest, pb.AuthUserListResponse]("/etcdserverpb.Auth/UserList")
	rpcUserDelete     = rpc[pb.AuthUserDeleteRequest, pb.AuthUserDeleteResponse]("/etcdserverpb.Auth/UserDelete")
	rpcChangePassword = rpc[pb.AuthUserChangePasswordRequest, pb.AuthUserChangePasswordResponse]("/etcdserverpb.Auth/UserChangePassword")
	rpcGrantRole      = rpc[pb.AuthUserGrantRoleRequest, pb.AuthUserGrantRoleResponse]("/etcdserverpb.Auth/UserGrantRole")
	rpcRevokeRole     = rpc[pb.AuthUserRevokeRoleRequest, pb.AuthUserRevokeRoleResponse]("/etcdserverpb.Auth/UserRevokeRole")
	rpcRoleGet        = rpc[pb.AuthRoleGetRequest, pb.AuthRoleGetResponse]("/etcdserverpb.Auth/RoleGet")
	rpcRoleList       = rpc[pb.AuthRoleListRequest, pb.AuthRoleListResponse]("/etcdserverpb.Auth/RoleList")
	rpcRoleDelete     = rpc[pb.AuthRoleDeleteRequest, pb.AuthRoleDeleteResponse]("/etcdserverpb.Auth/RoleDelete")
)

// opAuth asks an auth store that is empty and stays so: adding users and roles
// is row A1 of docs/compat.md, and so is granting a permission.
func opAuth(r *run, g *gen) error {
	name := pick(g, "", "root", "nobody")
	q := pick(g,
		one{rpcAuthEnable, &pb.AuthEnableRequest{}},
		one{rpcAuthDisable, &pb.AuthDisableRequest{}},
		one{rpcAuthStatus, &pb.AuthStatusRequest{}},
		one{rpcAuthenticate, &pb.AuthenticateRequest{Name: name, Password: "secret"}},
		one{rpcUserGet, &pb.AuthUserGetRequest{Name: name}},
		one{rpcUserList, &pb.AuthUserListRequest{}},
		one{rpcUserDelete, &pb.AuthUserDeleteRequest{Name: name}},
		one{rpcChangePassword, &pb.AuthUserChangePasswordRequest{Name: name}},
		one{rpcGrantRole, &pb.AuthUserGrantRoleRequest{User: name, Role: "root"}},
		one{rpcRevokeRole, &pb.AuthUserRevokeRoleRequest{Name: name, Role: "root"}},
		one{rpcRoleGet, &pb.AuthRoleGetRequest{Role: name}},
		one{rpcRoleList, &pb.AuthRoleListRequest{}},
		one{rpcRoleDelete, &pb.AuthRoleDeleteRequest{Role: name}},
	)
	_, err := r.must(q.m, q.request)
	return err
}
