package wire

import "keelson/internal/base"

// TxnRequest is etcdserverpb.TxnRequest.
type TxnRequest struct {
	Raw []byte // the whole message as received; nil inside another Txn

	Compare []Compare
	Success []RequestOp
	Failure []RequestOp
}

// Values of Compare.Result and Compare.Target. The fields are open enums:
// other values arrive here too.
const (
	CompareEqual    int32 = 0
	CompareGreater  int32 = 1
	CompareLess     int32 = 2
	CompareNotEqual int32 = 3

	CompareVersion int32 = 0
	CompareCreate  int32 = 1
	CompareMod     int32 = 2
	CompareValue   int32 = 3
	CompareLease   int32 = 4
)

// Compare is one condition of a transaction. Version to Lease are one oneof:
// at most one is set, and one that is not set reads as 0 or empty, which is
// also what a target without its operand is compared with.
type Compare struct {
	Result, Target int32
	Key, RangeEnd  []byte

	Version, CreateRevision, ModRevision int64
	Value                                []byte
	Lease                                base.LeaseID
}

// Range is the set of keys the condition is about.
func (m *Compare) Range() base.KeyRange { return base.KeyRange{Key: m.Key, End: m.RangeEnd} }

// RequestOp is one operation of a transaction: at most one field is set; none
// is set when the client left the oneof empty.
type RequestOp struct {
	Range       *RangeRequest
	Put         *PutRequest
	DeleteRange *DeleteRangeRequest
	Txn         *TxnRequest
}

// UnmarshalWire decodes b, which m then aliases.
func (m *TxnRequest) UnmarshalWire(b []byte) error {
	*m = TxnRequest{Raw: b}
	return m.merge(b, maxDepth)
}

// merge adds the fields of b to m. depth is how many messages may still be
// open inside each other, this one included.
func (m *TxnRequest) merge(b []byte, depth int) (err error) {
	if depth--; depth < 0 {
		return errTooDeep{}
	}
	m.grow(b)
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			m.Compare = append(m.Compare, Compare{})
			err = m.Compare[len(m.Compare)-1].merge(f.sub, depth)
		case 2<<3 | typeBytes:
			m.Success = append(m.Success, RequestOp{})
			err = m.Success[len(m.Success)-1].merge(f.sub, depth)
		case 3<<3 | typeBytes:
			m.Failure = append(m.Failure, RequestOp{})
			err = m.Failure[len(m.Failure)-1].merge(f.sub, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// grow makes room for exactly the elements that b adds, so that decoding a
// transaction allocates each list once. It stops silently at malformed input,
// which merge then reports after whatever it meets first.
func (m *TxnRequest) grow(b []byte) {
	var compares, success, failure int
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if r.next(&f) != nil {
			break
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			compares++
		case 2<<3 | typeBytes:
			success++
		case 3<<3 | typeBytes:
			failure++
		}
	}
	m.Compare = withRoom(m.Compare, compares)
	m.Success = withRoom(m.Success, success)
	m.Failure = withRoom(m.Failure, failure)
}

func withRoom[T any](list []T, more int) []T {
	if more == 0 {
		return list
	}
	return append(make([]T, 0, len(list)+more), list...)
}

func (m *Compare) merge(b []byte, depth int) (err error) {
	if depth--; depth < 0 {
		return errTooDeep{}
	}
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeVarint:
			m.Result = f.enum()
		case 2<<3 | typeVarint:
			m.Target = f.enum()
		case 3<<3 | typeBytes:
			m.Key = f.sub
		case 4<<3 | typeVarint:
			m.clearOperand()
			m.Version = f.int()
		case 5<<3 | typeVarint:
			m.clearOperand()
			m.CreateRevision = f.int()
		case 6<<3 | typeVarint:
			m.clearOperand()
			m.ModRevision = f.int()
		case 7<<3 | typeBytes:
			m.clearOperand()
			m.Value = f.sub
		case 8<<3 | typeVarint:
			m.clearOperand()
			m.Lease = base.LeaseID(f.num)
		case 64<<3 | typeBytes:
			m.RangeEnd = f.sub
		}
	}
	return nil
}

func (m *Compare) clearOperand() {
	m.Version, m.CreateRevision, m.ModRevision, m.Value, m.Lease = 0, 0, 0, nil, 0
}

// merge adds b to the operation: the same member again is merged into the one
// there is, another member replaces it.
func (m *RequestOp) merge(b []byte, depth int) (err error) {
	if depth--; depth < 0 {
		return errTooDeep{}
	}
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			if m.Range == nil {
				*m = RequestOp{Range: new(RangeRequest)}
			}
			err = mergeLeaf(m.Range, f.sub, depth)
		case 2<<3 | typeBytes:
			if m.Put == nil {
				*m = RequestOp{Put: new(PutRequest)}
			}
			err = mergeLeaf(m.Put, f.sub, depth)
		case 3<<3 | typeBytes:
			if m.DeleteRange == nil {
				*m = RequestOp{DeleteRange: new(DeleteRangeRequest)}
			}
			err = mergeLeaf(m.DeleteRange, f.sub, depth)
		case 4<<3 | typeBytes:
			if m.Txn == nil {
				*m = RequestOp{Txn: new(TxnRequest)}
			}
			err = m.Txn.merge(f.sub, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mergeLeaf decodes a message that holds no other message.
func mergeLeaf(m interface{ merge([]byte) error }, b []byte, depth int) error {
	if depth < 1 {
		return errTooDeep{}
	}
	return m.merge(b)
}
