package wire

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// The two ways a message can be refused. The library draws the blank in its
// "proto:" prefix anew for each build of the program, so the text is taken
// from the library itself at the moment somebody reads it: the refusal a
// client sees is then the same whichever decoder met the message.
type (
	errMalformed struct{} // not protobuf wire format
	errTooDeep   struct{} // more than maxDepth messages inside each other
)

func (errMalformed) Error() string {
	truncatedTag := []byte{0x80}
	return proto.Unmarshal(truncatedTag, &emptypb.Empty{}).Error()
}

func (errTooDeep) Error() string {
	noDepth := proto.UnmarshalOptions{RecursionLimit: -1}
	return noDepth.Unmarshal(nil, &emptypb.Empty{}).Error()
}
