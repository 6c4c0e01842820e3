package wire

// Lists of key-values below are encoded mvccpb.KeyValue messages. They are
// copied, so a view they alias may be released as soon as the call returns.

// NewRangeResponse encodes a RangeResponse.
func NewRangeResponse(h ResponseHeader, kvs [][]byte, more bool, count int64) *Frame {
	f := newFrame(sizeRange(&h, kvs, more, count))
	*f.data = appendRange(*f.data, &h, kvs, more, count)
	return f
}

// NewRangeStreamResponse encodes one message of a range stream. Only the last
// one carries a header; a nil h leaves it out.
func NewRangeStreamResponse(h *ResponseHeader, kvs [][]byte, more bool, count int64) *Frame {
	n := sizeRange(h, kvs, more, count)
	f := newFrame(sizeMessage(n))
	*f.data = appendRange(appendOpen(*f.data, 1, n), h, kvs, more, count)
	return f
}

func appendRange(dst []byte, h *ResponseHeader, kvs [][]byte, more bool, count int64) []byte {
	dst = h.appendField(dst)
	dst = appendMessages(dst, 2, kvs)
	dst = appendBool(dst, 3, more)
	return appendVarint(dst, 4, uint64(count))
}

func sizeRange(h *ResponseHeader, kvs [][]byte, more bool, count int64) int {
	return h.sizeField() + sizeMessages(kvs) + sizeBool(more) + sizeVarint(uint64(count))
}

// NewPutResponse encodes a PutResponse; a nil prevKV is left out.
func NewPutResponse(h ResponseHeader, prevKV []byte) *Frame {
	f := newFrame(sizePut(&h, prevKV))
	*f.data = appendPut(*f.data, &h, prevKV)
	return f
}

func appendPut(dst []byte, h *ResponseHeader, prevKV []byte) []byte {
	return appendOptional(h.appendField(dst), 2, prevKV)
}

func sizePut(h *ResponseHeader, prevKV []byte) int { return h.sizeField() + sizeOptional(prevKV) }

// NewDeleteRangeResponse encodes a DeleteRangeResponse.
func NewDeleteRangeResponse(h ResponseHeader, deleted int64, prevKVs [][]byte) *Frame {
	f := newFrame(sizeDeleteRange(&h, deleted, prevKVs))
	*f.data = appendDeleteRange(*f.data, &h, deleted, prevKVs)
	return f
}

func appendDeleteRange(dst []byte, h *ResponseHeader, deleted int64, prevKVs [][]byte) []byte {
	dst = h.appendField(dst)
	dst = appendVarint(dst, 2, uint64(deleted))
	return appendMessages(dst, 3, prevKVs)
}

func sizeDeleteRange(h *ResponseHeader, deleted int64, prevKVs [][]byte) int {
	return h.sizeField() + sizeVarint(uint64(deleted)) + sizeMessages(prevKVs)
}

// NewCompactionResponse encodes a CompactionResponse.
func NewCompactionResponse(h ResponseHeader) *Frame { return NewHeaderResponse(h) }
