package ctl

import "google.golang.org/protobuf/proto"

// printer shows answers in one output format on stdout. It keeps no
// state between answers, and an answer reaches the stream in one piece, so several
// goroutines may share one.
type printer interface {
	print(a answer) error
}

// answer is what every result of a command can do: be shown as plain text, and
// be handed to encoding/json. What else it can do decides which formats accept it:
//
//	fieldsAnswer   -w fields
//	tableAnswer    -w table
//	messageAnswer  -w protobuf
//	hexAnswer      -w json --hex differs from -w json
type answer interface {
	simple(w *simpleWriter)
	value() any
}

type fieldsAnswer interface{ fields(w *fieldsWriter) }

type tableAnswer interface {
	table() (header []string, rows [][]string)
}

type messageAnswer interface{ message() (proto.Message, error) }

type hexAnswer interface{ hexValue() any }

// choosePrinter refuses a name that is no format. Whether the format suits the
// command is only known when the answer is there.
func (c *ctl) choosePrinter() (printer, error) {
	switch c.globals.writeOut {
	case "simple":
		return &simplePrinter{simpleWriter{out: c.Stdout, errOut: c.Stderr, hex: c.globals.hex}}, nil
	case "fields":
		return &fieldsPrinter{fieldsWriter{out: c.Stdout, hex: c.globals.hex}}, nil
	case "json":
		return &jsonPrinter{out: c.Stdout, hex: c.globals.hex}, nil
	case "table":
		return &tablePrinter{out: c.Stdout}, nil
	case "protobuf":
		return &protobufPrinter{out: c.Stdout}, nil
	}
	return nil, failf(exitUnsupported, "unsupported output format")
}

func notSupported(format string) error {
	return failf(exitUnsupported, "%s not supported as output format", format)
}
