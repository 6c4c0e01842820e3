package wire

import "google.golang.org/protobuf/encoding/protowire"

// The encoders below write one field each and leave out zero scalars, as
// proto3 does; size* tells how many bytes the matching append* adds. Field
// numbers up to 15 and wire types fit one tag byte, which is all that
// responses use; AppendRaftRequest alone has larger ones.

func appendVarint(dst []byte, num int, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = append(dst, byte(num<<3|typeVarint))
	return protowire.AppendVarint(dst, v)
}

func sizeVarint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func appendBool(dst []byte, num int, v bool) []byte {
	if !v {
		return dst
	}
	return append(dst, byte(num<<3|typeVarint), 1)
}

func sizeBool(v bool) int {
	if !v {
		return 0
	}
	return 2
}

// appendBytes writes a bytes or string field.
func appendBytes[T []byte | string](dst []byte, num int, v T) []byte {
	if len(v) == 0 {
		return dst
	}
	return append(appendOpen(dst, num, len(v)), v...)
}

func sizeBytes(n int) int {
	if n == 0 {
		return 0
	}
	return sizeMessage(n)
}

// appendOpen starts a field of n bytes; the caller appends those next.
func appendOpen(dst []byte, num, n int) []byte {
	dst = append(dst, byte(num<<3|typeBytes))
	return protowire.AppendVarint(dst, uint64(n))
}

// sizeMessage is the size of a present sub-message of n bytes, tag included.
// An empty one is still written.
func sizeMessage(n int) int { return 1 + protowire.SizeBytes(n) }

// appendMessages writes a repeated sub-message from its encoded elements.
func appendMessages(dst []byte, num int, list [][]byte) []byte {
	for _, m := range list {
		dst = append(appendOpen(dst, num, len(m)), m...)
	}
	return dst
}

func sizeMessages(list [][]byte) (n int) {
	for _, m := range list {
		n += sizeMessage(len(m))
	}
	return n
}
