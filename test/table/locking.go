package table

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The generated code of Lock and Election is part of etcd's server module,
// which nothing of ours imports. Their schema is small enough to say it here.
// It is not registered, so it stands beside the generated code without conflict.
const (
	lockSchema = `
message_type { name:"LockRequest"    field{name:"name" number:1 type:TYPE_BYTES} field{name:"lease" number:2 type:TYPE_INT64} }
message_type { name:"LockResponse"   field{name:"header" number:1 type:TYPE_MESSAGE type_name:".etcdserverpb.ResponseHeader"} field{name:"key" number:2 type:TYPE_BYTES} }
message_type { name:"UnlockRequest"  field{name:"key" number:1 type:TYPE_BYTES} }
message_type { name:"UnlockResponse" field{name:"header" number:1 type:TYPE_MESSAGE type_name:".etcdserverpb.ResponseHeader"} }
`
	electionSchema = `
message_type { name:"LeaderKey" field{name:"name" number:1 type:TYPE_BYTES} field{name:"key" number:2 type:TYPE_BYTES}
  field{name:"rev" number:3 type:TYPE_INT64} field{name:"lease" number:4 type:TYPE_INT64} }
message_type { name:"CampaignRequest" field{name:"name" number:1 type:TYPE_BYTES} field{name:"lease" number:2 type:TYPE_INT64}
  field{name:"value" number:3 type:TYPE_BYTES} }
message_type { name:"CampaignResponse" field{name:"header" number:1 type:TYPE_MESSAGE type_name:".etcdserverpb.ResponseHeader"}
  field{name:"leader" number:2 type:TYPE_MESSAGE type_name:".v3electionpb.LeaderKey"} }
message_type { name:"ProclaimRequest" field{name:"leader" number:1 type:TYPE_MESSAGE type_name:".v3electionpb.LeaderKey"}
  field{name:"value" number:2 type:TYPE_BYTES} }
message_type { name:"ProclaimResponse" field{name:"header" number:1 type:TYPE_MESSAGE type_name:".etcdserverpb.ResponseHeader"} }
message_type { name:"LeaderRequest" field{name:"name" number:1 type:TYPE_BYTES} }
message_type { name:"LeaderResponse" field{name:"header" number:1 type:TYPE_MESSAGE type_name:".etcdserverpb.ResponseHeader"}
  field{name:"kv" number:2 type:TYPE_MESSAGE type_name:".mvccpb.KeyValue"} }
message_type { name:"ResignRequest" field{name:"leader" number:1 type:TYPE_MESSAGE type_name:".v3electionpb.LeaderKey"} }
message_type { name:"ResignResponse" field{name:"header" number:1 type:TYPE_MESSAGE type_name:".etcdserverpb.ResponseHeader"} }
`
)

// lockingMethod returns the RPC of a command word of Lock or Election.
func lockingMethod(word string) (method, bool) {
	switch word {
	case "lock":
		return dynamicMethod("v3lockpb", lockSchema, "Lock", "Lock", "LockRequest", "LockResponse"), true
	case "unlock":
		return dynamicMethod("v3lockpb", lockSchema, "Lock", "Unlock", "UnlockRequest", "UnlockResponse"), true
	case "campaign":
		return electionMethod("Campaign", "Campaign"), true
	case "proclaim":
		return electionMethod("Proclaim", "Proclaim"), true
	case "leader":
		return electionMethod("Leader", "Leader"), true
	case "resign":
		return electionMethod("Resign", "Resign"), true
	}
	return method{}, false
}

func observeMethod() method { return electionMethod("Observe", "Leader") }

func electionMethod(name, messages string) method {
	return dynamicMethod("v3electionpb", electionSchema, "Election", name, messages+"Request", messages+"Response")
}

// dynamicMethod builds an RPC from a schema. A schema that cannot be built is a
// mistake in this file.
func dynamicMethod(pkg, schema, service, name, request, response string) method {
	d := &descriptorpb.FileDescriptorProto{
		Name: proto.String("table/" + pkg + ".proto"), Package: proto.String(pkg), Syntax: proto.String("proto3"),
		Dependency: []string{
			(&pb.ResponseHeader{}).ProtoReflect().Descriptor().ParentFile().Path(),
			(&mvccpb.KeyValue{}).ProtoReflect().Descriptor().ParentFile().Path(),
		},
	}
	messages := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(schema), messages); err != nil {
		panic(err)
	}
	d.MessageType = messages.MessageType
	for _, m := range d.MessageType {
		for _, f := range m.Field {
			f.Label = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
		}
	}
	file, err := protodesc.NewFile(d, protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	maker := func(message string) func() proto.Message {
		of := file.Messages().ByName(protoreflect.Name(message))
		return func() proto.Message { return dynamicpb.NewMessage(of) }
	}
	return method{fmt.Sprintf("/%s.%s/%s", pkg, service, name), maker(request), maker(response)}
}
