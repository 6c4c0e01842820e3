package wire

// ResponseHeader is etcdserverpb.ResponseHeader.
type ResponseHeader struct {
	ClusterID, MemberID uint64
	Revision            int64
	RaftTerm            uint64
}

// Append appends the header's own fields.
func (h *ResponseHeader) Append(dst []byte) []byte {
	dst = appendVarint(dst, 1, h.ClusterID)
	dst = appendVarint(dst, 2, h.MemberID)
	dst = appendVarint(dst, 3, uint64(h.Revision))
	return appendVarint(dst, 4, h.RaftTerm)
}

// Size is the number of bytes Append adds.
func (h *ResponseHeader) Size() int {
	return sizeVarint(h.ClusterID) + sizeVarint(h.MemberID) + sizeVarint(uint64(h.Revision)) + sizeVarint(h.RaftTerm)
}

// appendField writes the header as field 1 of a response, where every response
// has it. A nil header is absent, a zero one is present and empty.
func (h *ResponseHeader) appendField(dst []byte) []byte {
	if h == nil {
		return dst
	}
	return h.Append(appendOpen(dst, 1, h.Size()))
}

func (h *ResponseHeader) sizeField() int {
	if h == nil {
		return 0
	}
	return sizeMessage(h.Size())
}
