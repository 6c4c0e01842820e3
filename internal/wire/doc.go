// Package wire is the protobuf of the hot messages, by hand. Requests decode
// into light structs whose byte fields alias the received buffer; responses
// are encoded in one pass into a Frame of exactly the right size, with stored
// key-values and watch events spliced in as they are. It also wraps request
// bytes into the raft entry's InternalRaftRequest without decoding them.
//
// Promises, held by property tests and fuzzing against google's protobuf and
// the generated types:
//   - a decoder accepts exactly the inputs proto.Unmarshal accepts, with the
//     same result (unknown fields skipped, the last scalar wins, repeated
//     sub-messages merge, a later member of a oneof replaces the earlier), and
//     refuses the others with the same error text;
//   - an encoder's output equals proto.Marshal's of the same message: fields
//     in number order, zero scalars left out, a present sub-message written
//     even when empty.
//
// Byte ownership: a decoded message and its Raw field alias the decoder's
// input, so the input must stay unchanged while the message lives. Encoders
// copy what they are given. Left to others: messages that are rarely sent
// (proto itself), and every check of what a message means (package rpc).
//
// The package owns no goroutine and writes no file. Buffers above 1 KiB come
// from grpc's process-wide pool (mem.DefaultBufferPool), so that a transport
// can hand them back after the write without a copy.
package wire
