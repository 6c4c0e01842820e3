package wire

import "keelson/internal/base"

// LeaseGrantRequest is etcdserverpb.LeaseGrantRequest.
type LeaseGrantRequest struct {
	Raw []byte // the whole message as received

	TTL int64 // seconds
	ID  base.LeaseID
}

// UnmarshalWire decodes b, which m then aliases.
func (m *LeaseGrantRequest) UnmarshalWire(b []byte) (err error) {
	*m = LeaseGrantRequest{Raw: b}
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeVarint:
			m.TTL = f.int()
		case 2<<3 | typeVarint:
			m.ID = base.LeaseID(f.num)
		}
	}
	return nil
}

// LeaseRevokeRequest is etcdserverpb.LeaseRevokeRequest.
type LeaseRevokeRequest struct {
	Raw []byte // the whole message as received

	ID base.LeaseID
}

// UnmarshalWire decodes b, which m then aliases.
func (m *LeaseRevokeRequest) UnmarshalWire(b []byte) (err error) {
	*m = LeaseRevokeRequest{Raw: b}
	m.ID, err = leaseIDField(b)
	return err
}

// LeaseKeepAliveRequest is etcdserverpb.LeaseKeepAliveRequest.
type LeaseKeepAliveRequest struct {
	ID base.LeaseID
}

// UnmarshalWire decodes b; m keeps nothing of it.
func (m *LeaseKeepAliveRequest) UnmarshalWire(b []byte) (err error) {
	m.ID, err = leaseIDField(b)
	return err
}

// leaseIDField decodes a message whose only field is the lease's ID, as 1.
func leaseIDField(b []byte) (id base.LeaseID, err error) {
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return 0, err
		}
		if f.tag == 1<<3|typeVarint {
			id = base.LeaseID(f.num)
		}
	}
	return id, nil
}

// LeaseTimeToLiveRequest is etcdserverpb.LeaseTimeToLiveRequest.
type LeaseTimeToLiveRequest struct {
	ID   base.LeaseID
	Keys bool
}

// UnmarshalWire decodes b; m keeps nothing of it.
func (m *LeaseTimeToLiveRequest) UnmarshalWire(b []byte) (err error) {
	*m = LeaseTimeToLiveRequest{}
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeVarint:
			m.ID = base.LeaseID(f.num)
		case 2<<3 | typeVarint:
			m.Keys = f.isTrue()
		}
	}
	return nil
}

// LeaseLeasesRequest is etcdserverpb.LeaseLeasesRequest, which is empty.
type LeaseLeasesRequest struct{}

// UnmarshalWire checks the shape of b.
func (m *LeaseLeasesRequest) UnmarshalWire(b []byte) error { return skipFields(b) }
