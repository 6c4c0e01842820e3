package wire

// WatchResponse is etcdserverpb.WatchResponse. Events are encoded already
// (AppendEvent) and shared between watchers: nothing here changes them.
type WatchResponse struct {
	Header                      ResponseHeader
	WatchID                     int64
	Created, Canceled, Fragment bool
	CompactRevision             int64
	CancelReason                string // valid UTF-8
	Events                      [][]byte
}

// Size is the encoded size in bytes.
func (m *WatchResponse) Size() int {
	return m.Header.sizeField() + sizeVarint(uint64(m.WatchID)) +
		sizeBool(m.Created) + sizeBool(m.Canceled) +
		sizeVarint(uint64(m.CompactRevision)) + sizeBytes(len(m.CancelReason)) +
		sizeBool(m.Fragment) + sizeMessages(m.Events)
}

// Frame encodes m.
func (m *WatchResponse) Frame() *Frame {
	f := newFrame(m.Size())
	dst := m.Header.appendField(*f.data)
	dst = appendVarint(dst, 2, uint64(m.WatchID))
	dst = appendBool(dst, 3, m.Created)
	dst = appendBool(dst, 4, m.Canceled)
	dst = appendVarint(dst, 5, uint64(m.CompactRevision))
	dst = appendBytes(dst, 6, m.CancelReason)
	dst = appendBool(dst, 7, m.Fragment)
	*f.data = appendMessages(dst, 11, m.Events)
	return f
}
