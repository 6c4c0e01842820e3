package wire

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Kind says which request a raft entry holds: the number of its field in
// etcdserverpb.InternalRaftRequest. 0 is none.
type Kind int32

// The kinds etcd 3.7 knows. Members of both makes share a log, so a kind that
// is not in this list must never be proposed: it stops every etcd member.
const (
	KindRange                    Kind = 3
	KindPut                      Kind = 4
	KindDeleteRange              Kind = 5
	KindTxn                      Kind = 6
	KindCompaction               Kind = 7
	KindLeaseGrant               Kind = 8
	KindLeaseRevoke              Kind = 9
	KindAlarm                    Kind = 10
	KindLeaseCheckpoint          Kind = 11
	KindAuthEnable               Kind = 1000
	KindAuthDisable              Kind = 1011
	KindAuthenticate             Kind = 1012
	KindAuthStatus               Kind = 1013
	KindAuthUserAdd              Kind = 1100
	KindAuthUserDelete           Kind = 1101
	KindAuthUserGet              Kind = 1102
	KindAuthUserChangePassword   Kind = 1103
	KindAuthUserGrantRole        Kind = 1104
	KindAuthUserRevokeRole       Kind = 1105
	KindAuthUserList             Kind = 1106
	KindAuthRoleList             Kind = 1107
	KindAuthRoleAdd              Kind = 1200
	KindAuthRoleDelete           Kind = 1201
	KindAuthRoleGet              Kind = 1202
	KindAuthRoleGrantPermission  Kind = 1203
	KindAuthRoleRevokePermission Kind = 1204
	KindClusterVersionSet        Kind = 1300
	KindClusterMemberAttrSet     Kind = 1301
	KindDowngradeInfoSet         Kind = 1302
	KindDowngradeVersionTest     Kind = 9900
)

// Known reports whether k is one of the kinds above.
func (k Kind) Known() bool {
	switch {
	case k >= KindRange && k <= KindLeaseCheckpoint,
		k == KindAuthEnable, k >= KindAuthDisable && k <= KindAuthStatus,
		k >= KindAuthUserAdd && k <= KindAuthRoleList,
		k >= KindAuthRoleAdd && k <= KindAuthRoleRevokePermission,
		k >= KindClusterVersionSet && k <= KindDowngradeInfoSet,
		k == KindDowngradeVersionTest:
		return true
	}
	return false
}

// Field numbers of InternalRaftRequest beside the kinds.
const (
	raftFieldOldID  = 1   // written by no living version, still honoured
	raftFieldHeader = 100 // RequestHeader
)

// RequestHeader is etcdserverpb.RequestHeader: who waits for the entry and on
// whose behalf it runs.
type RequestHeader struct {
	ID           uint64
	Username     string // valid UTF-8
	AuthRevision uint64
}

func (h *RequestHeader) size() int {
	return sizeVarint(h.ID) + sizeBytes(len(h.Username)) + sizeVarint(h.AuthRevision)
}

// SizeRaftRequest is the number of bytes AppendRaftRequest adds for a body of
// bodyLen bytes: the size that max-request-bytes bounds.
func SizeRaftRequest(h RequestHeader, kind Kind, bodyLen int) int {
	return protowire.SizeTag(protowire.Number(kind)) + protowire.SizeBytes(bodyLen) +
		protowire.SizeTag(raftFieldHeader) + protowire.SizeBytes(h.size())
}

// AppendRaftRequest appends the encoding of an InternalRaftRequest that holds
// body, an encoded request of the given kind. Fields are in number order, as
// etcd writes them: the request comes before the header when its number is
// below the header's, else after it. An empty body is written as an empty
// field, because its presence is the message.
func AppendRaftRequest(dst []byte, h RequestHeader, kind Kind, body []byte) []byte {
	dst = slices.Grow(dst, SizeRaftRequest(h, kind, len(body)))
	if kind < raftFieldHeader {
		dst = appendRaftBody(dst, kind, body)
	}
	dst = protowire.AppendTag(dst, raftFieldHeader, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(h.size()))
	dst = appendVarint(dst, 1, h.ID)
	dst = appendBytes(dst, 2, h.Username)
	dst = appendVarint(dst, 3, h.AuthRevision)
	if kind > raftFieldHeader {
		dst = appendRaftBody(dst, kind, body)
	}
	return dst
}

func appendRaftBody(dst []byte, kind Kind, body []byte) []byte {
	dst = protowire.AppendTag(dst, protowire.Number(kind), protowire.BytesType)
	return protowire.AppendBytes(dst, body)
}

// RaftRequest is a parsed InternalRaftRequest. Kind 0 means that it holds no
// request this version knows. Body is the request's encoding, not yet decoded.
type RaftRequest struct {
	Header RequestHeader
	Kind   Kind
	Body   []byte
}

// ParseRaftRequest takes the envelope off. Body aliases b, unless the request
// field appears more than once, which protobuf defines as their concatenation.
// Two requests of different kinds in one entry are an error: no member writes
// that, and which one counts is nowhere defined.
func ParseRaftRequest(b []byte) (req RaftRequest, err error) {
	var f field
	var oldID uint64
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return RaftRequest{}, fmt.Errorf("raft request: %w", err)
		}
		num, kind := f.tag>>3, Kind(f.tag>>3)
		switch {
		case f.tag == raftFieldOldID<<3|typeVarint:
			oldID = f.num
		case f.tag&7 != typeBytes:
		case num == raftFieldHeader:
			err = req.Header.merge(f.sub)
		case !kind.Known():
		case req.Kind == 0:
			req.Kind, req.Body = kind, f.sub
		case req.Kind == kind:
			req.Body = append(req.Body, f.sub...) // always a copy: its capacity is cut
		default:
			err = fmt.Errorf("holds two requests, of kinds %d and %d", req.Kind, kind)
		}
		if err != nil {
			return RaftRequest{}, fmt.Errorf("raft request: %w", err)
		}
	}
	if oldID != 0 {
		req.Header.ID = oldID
	}
	return req, nil
}

func (h *RequestHeader) merge(b []byte) error {
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err := r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeVarint:
			h.ID = f.num
		case 2<<3 | typeBytes:
			if !utf8.Valid(f.sub) {
				return errors.New("user name is not valid UTF-8")
			}
			h.Username = string(f.sub)
		case 3<<3 | typeVarint:
			h.AuthRevision = f.num
		}
	}
	return nil
}
