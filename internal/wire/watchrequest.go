package wire

import "keelson/internal/base"

// WatchRequest is etcdserverpb.WatchRequest: at most one field is set, none
// when the client left the oneof empty or speaks a newer protocol.
type WatchRequest struct {
	Create   *WatchCreateRequest
	Cancel   *WatchCancelRequest
	Progress bool
}

// Values of WatchCreateRequest.Filters, an open enum.
const (
	FilterNoPut    int32 = 0
	FilterNoDelete int32 = 1
)

// WatchCreateRequest is etcdserverpb.WatchCreateRequest.
type WatchCreateRequest struct {
	Key, RangeEnd  []byte
	StartRevision  int64
	ProgressNotify bool
	Filters        []int32
	PrevKV         bool
	WatchID        int64
	Fragment       bool
}

// Range is the set of keys to watch.
func (m *WatchCreateRequest) Range() base.KeyRange {
	return base.KeyRange{Key: m.Key, End: m.RangeEnd}
}

// WatchCancelRequest is etcdserverpb.WatchCancelRequest.
type WatchCancelRequest struct {
	WatchID int64
}

// UnmarshalWire decodes b, which m then aliases.
func (m *WatchRequest) UnmarshalWire(b []byte) (err error) {
	*m = WatchRequest{}
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			if m.Create == nil {
				*m = WatchRequest{Create: new(WatchCreateRequest)}
			}
			err = m.Create.merge(f.sub)
		case 2<<3 | typeBytes:
			if m.Cancel == nil {
				*m = WatchRequest{Cancel: new(WatchCancelRequest)}
			}
			err = m.Cancel.merge(f.sub)
		case 3<<3 | typeBytes:
			*m = WatchRequest{Progress: true}
			err = skipFields(f.sub)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *WatchCreateRequest) merge(b []byte) (err error) {
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
			m.StartRevision = f.int()
		case 4<<3 | typeVarint:
			m.ProgressNotify = f.isTrue()
		case 5<<3 | typeVarint, 5<<3 | typeBytes:
			m.Filters, err = f.enums(m.Filters)
		case 6<<3 | typeVarint:
			m.PrevKV = f.isTrue()
		case 7<<3 | typeVarint:
			m.WatchID = f.int()
		case 8<<3 | typeVarint:
			m.Fragment = f.isTrue()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *WatchCancelRequest) merge(b []byte) error {
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err := r.next(&f); err != nil {
			return err
		}
		if f.tag == 1<<3|typeVarint {
			m.WatchID = f.int()
		}
	}
	return nil
}

// skipFields checks the shape of a message none of whose fields are wanted.
func skipFields(b []byte) error {
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err := r.next(&f); err != nil {
			return err
		}
	}
	return nil
}
