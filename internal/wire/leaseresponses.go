package wire

import "keelson/internal/base"

// The lease answers that are sent often; the others go through proto.

// NewLeaseGrantResponse encodes a LeaseGrantResponse; ttl is in seconds.
func NewLeaseGrantResponse(h ResponseHeader, id base.LeaseID, ttl int64) *Frame {
	return newLeaseFrame(h, id, ttl)
}

// NewLeaseKeepAliveResponse encodes a LeaseKeepAliveResponse; ttl is in
// seconds, 0 tells that the lease is gone.
func NewLeaseKeepAliveResponse(h ResponseHeader, id base.LeaseID, ttl int64) *Frame {
	return newLeaseFrame(h, id, ttl)
}

// newLeaseFrame encodes header, ID and TTL, which both messages number alike.
func newLeaseFrame(h ResponseHeader, id base.LeaseID, ttl int64) *Frame {
	f := newFrame(h.sizeField() + sizeVarint(uint64(id)) + sizeVarint(uint64(ttl)))
	dst := h.appendField(*f.data)
	dst = appendVarint(dst, 2, uint64(id))
	*f.data = appendVarint(dst, 3, uint64(ttl))
	return f
}
