package wire

import "google.golang.org/grpc/mem"

// Frame is one encoded response message. Its maker owns it until it is handed
// on; whoever has it last calls either Free or Buffer, once.
type Frame struct {
	data  *[]byte // a pooled buffer, or &small
	small []byte
}

// newFrame makes an empty frame with room for size bytes.
func newFrame(size int) *Frame {
	f := new(Frame)
	if mem.IsBelowBufferPoolingThreshold(size) {
		f.small = make([]byte, 0, size)
		f.data = &f.small
	} else {
		f.data = GetBuffer(size)
	}
	return f
}

// Bytes is the message. It is valid until Free or Buffer.
func (f *Frame) Bytes() []byte { return *f.data }

// Free gives the buffer back. The frame must not be used afterwards.
func (f *Frame) Free() {
	PutBuffer(f.data)
	f.data = nil
}

// Buffer passes the bytes on to a transport that counts references; the last
// one to go gives the buffer back. The frame must not be used afterwards.
func (f *Frame) Buffer() mem.Buffer {
	b := mem.NewBuffer(f.data, mem.DefaultBufferPool())
	f.data = nil
	return b
}

// GetBuffer returns an empty buffer with room for at least size bytes. Small
// ones are plain memory, because the allocator is cheaper there than a pool;
// the limit is grpc's, whose buffers ignore the pool below it.
func GetBuffer(size int) *[]byte {
	if mem.IsBelowBufferPoolingThreshold(size) {
		b := make([]byte, 0, size)
		return &b
	}
	b := mem.DefaultBufferPool().Get(size)
	*b = (*b)[:0]
	return b
}

// PutBuffer gives a buffer of GetBuffer back; nobody may hold its bytes.
func PutBuffer(b *[]byte) {
	if !mem.IsBelowBufferPoolingThreshold(cap(*b)) {
		mem.DefaultBufferPool().Put(b)
	}
}
