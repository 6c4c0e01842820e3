package wire

// A TxnResponse is built in two steps, because the header is known only when
// the last operation has run: the machine appends one ResponseOp after the
// other to a plain byte slice ("responses": field 3 of TxnResponse, repeated),
// and the server wraps it when the answer leaves.
//
// Headers inside a transaction carry the revision and nothing else; the header
// of a nested TxnResponse is present and empty.

// NewTxnResponse encodes a TxnResponse around its responses.
func NewTxnResponse(h ResponseHeader, succeeded bool, responses []byte) *Frame {
	f := newFrame(sizeTxn(&h, succeeded, responses))
	*f.data = appendTxn(*f.data, &h, succeeded, responses)
	return f
}

func appendTxn(dst []byte, h *ResponseHeader, succeeded bool, responses []byte) []byte {
	dst = h.appendField(dst)
	dst = appendBool(dst, 2, succeeded)
	return append(dst, responses...)
}

func sizeTxn(h *ResponseHeader, succeeded bool, responses []byte) int {
	return h.sizeField() + sizeBool(succeeded) + len(responses)
}

// AppendRangeOp appends the answer of a range operation to responses.
func AppendRangeOp(responses []byte, revision int64, kvs [][]byte, more bool, count int64) []byte {
	h := ResponseHeader{Revision: revision}
	dst := appendOp(responses, 1, sizeRange(&h, kvs, more, count))
	return appendRange(dst, &h, kvs, more, count)
}

// AppendPutOp appends the answer of a put operation to responses; a nil prevKV
// is left out.
func AppendPutOp(responses []byte, revision int64, prevKV []byte) []byte {
	h := ResponseHeader{Revision: revision}
	return appendPut(appendOp(responses, 2, sizePut(&h, prevKV)), &h, prevKV)
}

// AppendDeleteRangeOp appends the answer of a delete operation to responses.
func AppendDeleteRangeOp(responses []byte, revision, deleted int64, prevKVs [][]byte) []byte {
	h := ResponseHeader{Revision: revision}
	dst := appendOp(responses, 3, sizeDeleteRange(&h, deleted, prevKVs))
	return appendDeleteRange(dst, &h, deleted, prevKVs)
}

// AppendTxnOp appends the answer of a nested transaction, whose own operations
// answered with inner, to responses.
func AppendTxnOp(responses []byte, succeeded bool, inner []byte) []byte {
	var h ResponseHeader
	dst := appendOp(responses, 4, sizeTxn(&h, succeeded, inner))
	return appendTxn(dst, &h, succeeded, inner)
}

// appendOp opens a ResponseOp as field 3 of a TxnResponse and in it the member
// num of its oneof, whose n bytes the caller appends next.
func appendOp(dst []byte, num, n int) []byte {
	dst = appendOpen(dst, 3, sizeMessage(n))
	return appendOpen(dst, num, n)
}
