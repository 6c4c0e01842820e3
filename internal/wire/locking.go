package wire

import "keelson/internal/base"

// The messages of v3lockpb.Lock and v3electionpb.Election. Their generated
// types live inside etcd's server, so these are the only ones we have.

// LockRequest is v3lockpb.LockRequest.
type LockRequest struct {
	Name  []byte
	Lease base.LeaseID // 0: the server grants one
}

// UnmarshalWire decodes b, which m then aliases.
func (m *LockRequest) UnmarshalWire(b []byte) (err error) {
	*m = LockRequest{}
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			m.Name = f.sub
		case 2<<3 | typeVarint:
			m.Lease = base.LeaseID(f.num)
		}
	}
	return nil
}

// UnlockRequest is v3lockpb.UnlockRequest.
type UnlockRequest struct {
	Key []byte
}

// UnmarshalWire decodes b, which m then aliases.
func (m *UnlockRequest) UnmarshalWire(b []byte) (err error) {
	m.Key, err = bytesField(b)
	return err
}

// CampaignRequest is v3electionpb.CampaignRequest.
type CampaignRequest struct {
	Name  []byte
	Lease base.LeaseID // 0: the server grants one
	Value []byte
}

// UnmarshalWire decodes b, which m then aliases.
func (m *CampaignRequest) UnmarshalWire(b []byte) (err error) {
	*m = CampaignRequest{}
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			m.Name = f.sub
		case 2<<3 | typeVarint:
			m.Lease = base.LeaseID(f.num)
		case 3<<3 | typeBytes:
			m.Value = f.sub
		}
	}
	return nil
}

// LeaderKey is v3electionpb.LeaderKey: what proves leadership.
type LeaderKey struct {
	Name, Key []byte
	Rev       int64 // create revision of Key
	Lease     base.LeaseID
}

func (m *LeaderKey) merge(b []byte) (err error) {
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			m.Name = f.sub
		case 2<<3 | typeBytes:
			m.Key = f.sub
		case 3<<3 | typeVarint:
			m.Rev = f.int()
		case 4<<3 | typeVarint:
			m.Lease = base.LeaseID(f.num)
		}
	}
	return nil
}

func (m *LeaderKey) size() int {
	return sizeBytes(len(m.Name)) + sizeBytes(len(m.Key)) + sizeVarint(uint64(m.Rev)) + sizeVarint(uint64(m.Lease))
}

// ProclaimRequest is v3electionpb.ProclaimRequest.
type ProclaimRequest struct {
	Leader *LeaderKey // nil when absent
	Value  []byte
}

// UnmarshalWire decodes b, which m then aliases.
func (m *ProclaimRequest) UnmarshalWire(b []byte) (err error) {
	*m = ProclaimRequest{}
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			if m.Leader == nil {
				m.Leader = new(LeaderKey)
			}
			err = m.Leader.merge(f.sub)
		case 2<<3 | typeBytes:
			m.Value = f.sub
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ResignRequest is v3electionpb.ResignRequest.
type ResignRequest struct {
	Leader *LeaderKey // nil when absent
}

// UnmarshalWire decodes b, which m then aliases. The fields are a part of
// ProclaimRequest's, under the same numbers.
func (m *ResignRequest) UnmarshalWire(b []byte) error {
	var p ProclaimRequest
	err := p.UnmarshalWire(b)
	m.Leader = p.Leader
	return err
}

// LeaderRequest is v3electionpb.LeaderRequest.
type LeaderRequest struct {
	Name []byte
}

// UnmarshalWire decodes b, which m then aliases.
func (m *LeaderRequest) UnmarshalWire(b []byte) (err error) {
	m.Name, err = bytesField(b)
	return err
}

// bytesField decodes a message whose only field is bytes, as 1.
func bytesField(b []byte) (v []byte, err error) {
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return nil, err
		}
		if f.tag == 1<<3|typeBytes {
			v = f.sub
		}
	}
	return v, nil
}

// NewLockResponse encodes a LockResponse.
func NewLockResponse(h ResponseHeader, key []byte) *Frame {
	f := newFrame(h.sizeField() + sizeBytes(len(key)))
	*f.data = appendBytes(h.appendField(*f.data), 2, key)
	return f
}

// NewCampaignResponse encodes a CampaignResponse.
func NewCampaignResponse(h ResponseHeader, leader LeaderKey) *Frame {
	n := leader.size()
	f := newFrame(h.sizeField() + sizeMessage(n))
	dst := appendOpen(h.appendField(*f.data), 2, n)
	dst = appendBytes(dst, 1, leader.Name)
	dst = appendBytes(dst, 2, leader.Key)
	dst = appendVarint(dst, 3, uint64(leader.Rev))
	*f.data = appendVarint(dst, 4, uint64(leader.Lease))
	return f
}

// NewLeaderResponse encodes a LeaderResponse around an encoded key-value.
func NewLeaderResponse(h ResponseHeader, kv []byte) *Frame { return NewPutResponse(h, kv) }

// NewHeaderResponse encodes the responses that are a header alone, such as
// Unlock's, Proclaim's and Resign's.
func NewHeaderResponse(h ResponseHeader) *Frame {
	f := newFrame(h.sizeField())
	*f.data = h.appendField(*f.data)
	return f
}
