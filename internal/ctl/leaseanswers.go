package ctl

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// The lease answers of clientv3 are no messages. In protobuf they have always
// been shown as the header they embed, and the answer to a revocation not at all.

type leaseGrantAnswer struct{ resp *clientv3.LeaseGrantResponse }

func (a leaseGrantAnswer) value() any                      { return a.resp }
func (a leaseGrantAnswer) message() (proto.Message, error) { return a.resp.ResponseHeader, nil }

func (a leaseGrantAnswer) simple(w *simpleWriter) {
	w.printf("lease %016x granted with TTL(%ds)\n", int64(a.resp.ID), a.resp.TTL)
}

func (a leaseGrantAnswer) fields(w *fieldsWriter) {
	w.header(a.resp.ResponseHeader)
	w.lease("ID", int64(a.resp.ID))
	w.field("TTL", a.resp.TTL)
}

type leaseRevokeAnswer struct {
	id   clientv3.LeaseID
	resp *clientv3.LeaseRevokeResponse
}

func (a leaseRevokeAnswer) value() any { return a.resp }

func (a leaseRevokeAnswer) message() (proto.Message, error) {
	h := a.resp.Header
	return nil, fmt.Errorf("marshal unsupported for type %T (header:{cluster_id:%d member_id:%d revision:%d raft_term:%d})",
		a.resp, h.GetClusterId(), h.GetMemberId(), h.GetRevision(), h.GetRaftTerm())
}

func (a leaseRevokeAnswer) simple(w *simpleWriter) {
	w.printf("lease %016x revoked\n", int64(a.id))
}

func (a leaseRevokeAnswer) fields(w *fieldsWriter) { w.header(a.resp.Header) }

type leaseTimeToLiveAnswer struct {
	resp *clientv3.LeaseTimeToLiveResponse
	keys bool // asked for
}

func (a leaseTimeToLiveAnswer) value() any                      { return a.resp }
func (a leaseTimeToLiveAnswer) message() (proto.Message, error) { return a.resp.ResponseHeader, nil }

func (a leaseTimeToLiveAnswer) simple(w *simpleWriter) {
	r := a.resp
	if r.GrantedTTL == 0 && r.TTL == -1 {
		w.printf("lease %016x already expired\n", int64(r.ID))
		return
	}
	w.printf("lease %016x granted with TTL(%ds), remaining(%ds)", int64(r.ID), r.GrantedTTL, r.TTL)
	if a.keys {
		names := make([]string, len(r.Keys))
		for i, key := range r.Keys {
			names[i] = string(key)
		}
		w.printf(", attached keys(%v)", names)
	}
	w.printf("\n")
}

func (a leaseTimeToLiveAnswer) fields(w *fieldsWriter) {
	w.header(a.resp.ResponseHeader)
	w.lease("ID", int64(a.resp.ID))
	w.field("TTL", a.resp.TTL)
	w.field("GrantedTTL", a.resp.GrantedTTL)
	for _, key := range a.resp.Keys {
		w.quoted("Key", string(key))
	}
}

type leaseListAnswer struct{ resp *clientv3.LeaseLeasesResponse }

func (a leaseListAnswer) value() any                      { return a.resp }
func (a leaseListAnswer) message() (proto.Message, error) { return a.resp.ResponseHeader, nil }

func (a leaseListAnswer) simple(w *simpleWriter) {
	w.printf("found %d leases\n", len(a.resp.Leases))
	for _, lease := range a.resp.Leases {
		w.printf("%016x\n", int64(lease.ID))
	}
}

func (a leaseListAnswer) fields(w *fieldsWriter) {
	w.header(a.resp.ResponseHeader)
	for _, lease := range a.resp.Leases {
		w.lease("ID", int64(lease.ID))
	}
}

type leaseKeepAliveAnswer struct {
	resp *clientv3.LeaseKeepAliveResponse
}

func (a leaseKeepAliveAnswer) value() any                      { return a.resp }
func (a leaseKeepAliveAnswer) message() (proto.Message, error) { return a.resp.ResponseHeader, nil }

func (a leaseKeepAliveAnswer) simple(w *simpleWriter) {
	w.printf("lease %016x keepalived with TTL(%d)\n", int64(a.resp.ID), a.resp.TTL)
}

func (a leaseKeepAliveAnswer) fields(w *fieldsWriter) {
	w.header(a.resp.ResponseHeader)
	w.lease("ID", int64(a.resp.ID))
	w.field("TTL", a.resp.TTL)
}
