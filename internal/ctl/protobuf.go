package ctl

import (
	"io"

	"google.golang.org/protobuf/proto"
)

// protobufPrinter writes the bare message, with no frame and no newline.
type protobufPrinter struct{ out io.Writer }

func (p *protobufPrinter) print(a answer) error {
	m, ok := a.(messageAnswer)
	if !ok {
		return notSupported("protobuf")
	}
	message, err := m.message()
	if err != nil {
		return fail(exitUnsupported, err)
	}
	encoded, err := proto.Marshal(message)
	if err != nil {
		return fail(exitUnsupported, err)
	}
	_, err = p.out.Write(encoded)
	return err
}
