package wire

import "keelson/internal/base"

// AppendKeyValue appends the encoding of an mvccpb.KeyValue. These are the
// bytes that are stored, and spliced into answers and events ever after.
func AppendKeyValue(dst, key []byte, create, mod, version int64, value []byte, lease base.LeaseID) []byte {
	dst = appendBytes(dst, 1, key)
	dst = appendVarint(dst, 2, uint64(create))
	dst = appendVarint(dst, 3, uint64(mod))
	dst = appendVarint(dst, 4, uint64(version))
	dst = appendBytes(dst, 5, value)
	return appendVarint(dst, 6, uint64(lease))
}

// SizeKeyValue is the number of bytes AppendKeyValue adds.
func SizeKeyValue(key []byte, create, mod, version int64, value []byte, lease base.LeaseID) int {
	return sizeBytes(len(key)) + sizeVarint(uint64(create)) + sizeVarint(uint64(mod)) +
		sizeVarint(uint64(version)) + sizeBytes(len(value)) + sizeVarint(uint64(lease))
}

// KeyValueView is an mvccpb.KeyValue whose bytes alias its encoding.
type KeyValueView struct {
	Key                                  []byte
	CreateRevision, ModRevision, Version int64
	Value                                []byte
	Lease                                base.LeaseID
}

// UnmarshalWire decodes b, which m then aliases.
func (m *KeyValueView) UnmarshalWire(b []byte) (err error) {
	*m = KeyValueView{}
	var f field
	for r := (reader{b}); len(r.b) > 0; {
		if err = r.next(&f); err != nil {
			return err
		}
		switch f.tag {
		case 1<<3 | typeBytes:
			m.Key = f.sub
		case 2<<3 | typeVarint:
			m.CreateRevision = f.int()
		case 3<<3 | typeVarint:
			m.ModRevision = f.int()
		case 4<<3 | typeVarint:
			m.Version = f.int()
		case 5<<3 | typeBytes:
			m.Value = f.sub
		case 6<<3 | typeVarint:
			m.Lease = base.LeaseID(f.num)
		}
	}
	return nil
}

// AppendEvent appends the encoding of an mvccpb.Event. A put carries kv, the
// stored KeyValue; a delete carries a KeyValue made of key and modRev alone.
// A nil prevKV is no previous value, an empty one is an empty message.
func AppendEvent(dst []byte, isDelete bool, kv, key []byte, modRev int64, prevKV []byte) []byte {
	if isDelete {
		dst = appendBool(dst, 1, true) // type = DELETE
		dst = appendOpen(dst, 2, SizeKeyValue(key, 0, modRev, 0, nil, 0))
		dst = AppendKeyValue(dst, key, 0, modRev, 0, nil, 0)
	} else {
		dst = append(appendOpen(dst, 2, len(kv)), kv...)
	}
	return appendOptional(dst, 3, prevKV)
}

// SizeEvent is the number of bytes AppendEvent adds.
func SizeEvent(isDelete bool, kv, key []byte, modRev int64, prevKV []byte) int {
	if isDelete {
		return 2 + sizeMessage(SizeKeyValue(key, 0, modRev, 0, nil, 0)) + sizeOptional(prevKV)
	}
	return sizeMessage(len(kv)) + sizeOptional(prevKV)
}

// appendOptional writes a sub-message from its encoding; nil is absence.
func appendOptional(dst []byte, num int, m []byte) []byte {
	if m == nil {
		return dst
	}
	return append(appendOpen(dst, num, len(m)), m...)
}

func sizeOptional(m []byte) int {
	if m == nil {
		return 0
	}
	return sizeMessage(len(m))
}
