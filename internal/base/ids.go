package base

import "strconv"

// Index is a position in the raft log. 0 means "before the first entry".
type Index uint64

// Term is a raft term. 0 means "no term yet".
type Term uint64

// MemberID identifies a member for ever; 0 is no member. It is
// computed from peer URLs, see package member.
type MemberID uint64

// ClusterID identifies a cluster for ever; 0 is no cluster.
type ClusterID uint64

// LeaseID identifies a lease. 0 is "no lease". Clients may choose any other
// value, negative ones included.
type LeaseID int64

// String renders the ID as etcd does everywhere: lower-case hex, not padded.
func (id MemberID) String() string { return strconv.FormatUint(uint64(id), 16) }

// String renders the ID as etcd does everywhere: lower-case hex, not padded.
func (id ClusterID) String() string { return strconv.FormatUint(uint64(id), 16) }

// String renders the ID as lower-case hex of its unsigned form, not padded.
func (id LeaseID) String() string { return strconv.FormatUint(uint64(id), 16) }
