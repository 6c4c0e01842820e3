package ctl

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// simplePrinter is the default format: bare text for people and pipes.
type simplePrinter struct{ w simpleWriter }

func (p *simplePrinter) print(a answer) error {
	var out bytes.Buffer
	w := p.w
	w.out = &out
	a.simple(&w)
	_, err := p.w.out.Write(out.Bytes())
	return err
}

// simpleWriter has the phrases that plain text answers are made of.
type simpleWriter struct {
	out, errOut io.Writer
	hex         bool // keys and values as \x61\x62
}

func (w *simpleWriter) printf(format string, args ...any) { fmt.Fprintf(w.out, format, args...) }

// bytesLine writes a key or a value and ends the line.
func (w *simpleWriter) bytesLine(b []byte) {
	if w.hex {
		for _, x := range b {
			fmt.Fprintf(w.out, `\x%02x`, x)
		}
		fmt.Fprintln(w.out)
		return
	}
	fmt.Fprintf(w.out, "%s\n", b)
}

func (w *simpleWriter) kv(kv *mvccpb.KeyValue) {
	w.bytesLine(kv.GetKey())
	w.bytesLine(kv.GetValue())
}

// rows are lists of columns, one per line.
func (w *simpleWriter) rows(rows [][]string) {
	for _, row := range rows {
		w.printf("%s\n", strings.Join(row, ", "))
	}
}
