package wire

import "keelson/internal/base"

// RangeRequest is etcdserverpb.RangeRequest (KV.Range and KV.RangeStream).
type RangeRequest struct {
	Raw []byte // the whole message as received; nil inside a Txn

	Key, RangeEnd                        []byte
	Limit, Revision                      int64
	SortOrder, SortTarget                int32
	Serializable, KeysOnly, CountOnly    bool
	MinModRevision, MaxModRevision       int64
	MinCreateRevision, MaxCreateRevision int64
}

// Range is the set of keys asked for.
func (m *RangeRequest) Range() base.KeyRange { return base.KeyRange{Key: m.Key, End: m.RangeEnd} }

// UnmarshalWire decodes b, which m then aliases.
func (m *RangeRequest) UnmarshalWire(b []byte) error {
	*m = RangeRequest{Raw: b}
	return m.merge(b)
}

// merge adds the fields of b to m, as protobuf does when a message appears
// twice: what b names replaces, the rest stays.
func (m *RangeRequest) merge(b []byte) (err error) {
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			m.Key = f.sub
		case 2<<3 | typeBytes:
			m.RangeEnd = f.sub
		case 3<<3 | typeVarint:
			m.Limit = f.int()
		case 4<<3 | typeVarint:
			m.Revision = f.int()
		case 5<<3 | typeVarint:
			m.SortOrder = f.enum()
		case 6<<3 | typeVarint:
			m.SortTarget = f.enum()
		case 7<<3 | typeVarint:
			m.Serializable = f.isTrue()
		case 8<<3 | typeVarint:
			m.KeysOnly = f.isTrue()
		case 9<<3 | typeVarint:
			m.CountOnly = f.isTrue()
		case 10<<3 | typeVarint:
			m.MinModRevision = f.int()
		case 11<<3 | typeVarint:
			m.MaxModRevision = f.int()
		case 12<<3 | typeVarint:
			m.MinCreateRevision = f.int()
		case 13<<3 | typeVarint:
			m.MaxCreateRevision = f.int()
		}
	}
	return nil
}

// PutRequest is etcdserverpb.PutRequest.
type PutRequest struct {
	Raw []byte // the whole message as received; nil inside a Txn

	Key, Value                       []byte
	Lease                            base.LeaseID
	PrevKV, IgnoreValue, IgnoreLease bool
}

// UnmarshalWire decodes b, which m then aliases.
func (m *PutRequest) UnmarshalWire(b []byte) error {
	*m = PutRequest{Raw: b}
	return m.merge(b)
}

func (m *PutRequest) merge(b []byte) (err error) {
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			m.Key = f.sub
		case 2<<3 | typeBytes:
			m.Value = f.sub
		case 3<<3 | typeVarint:
			m.Lease = base.LeaseID(f.num)
		case 4<<3 | typeVarint:
			m.PrevKV = f.isTrue()
		case 5<<3 | typeVarint:
			m.IgnoreValue = f.isTrue()
		case 6<<3 | typeVarint:
			m.IgnoreLease = f.isTrue()
		}
	}
	return nil
}

// DeleteRangeRequest is etcdserverpb.DeleteRangeRequest.
type DeleteRangeRequest struct {
	Raw []byte // the whole message as received; nil inside a Txn

	Key, RangeEnd []byte
	PrevKV        bool
}

// Range is the set of keys to delete.
func (m *DeleteRangeRequest) Range() base.KeyRange {
	return base.KeyRange{Key: m.Key, End: m.RangeEnd}
}

// UnmarshalWire decodes b, which m then aliases.
func (m *DeleteRangeRequest) UnmarshalWire(b []byte) error {
	*m = DeleteRangeRequest{Raw: b}
	return m.merge(b)
}

func (m *DeleteRangeRequest) merge(b []byte) (err error) {
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			m.Key = f.sub
		case 2<<3 | typeBytes:
			m.RangeEnd = f.sub
		case 3<<3 | typeVarint:
			m.PrevKV = f.isTrue()
		}
	}
	return nil
}

// CompactionRequest is etcdserverpb.CompactionRequest.
type CompactionRequest struct {
	Raw []byte // the whole message as received

	Revision int64
	Physical bool
}

// UnmarshalWire decodes b, which m then aliases.
func (m *CompactionRequest) UnmarshalWire(b []byte) (err error) {
	*m = CompactionRequest{Raw: b}
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeVarint:
			m.Revision = f.int()
		case 2<<3 | typeVarint:
			m.Physical = f.isTrue()
		}
	}
	return nil
}
