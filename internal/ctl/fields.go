package ctl

import (
	"bytes"
	"fmt"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// fieldsPrinter writes one "Name" : value per line.
type fieldsPrinter struct{ w fieldsWriter }

func (p *fieldsPrinter) print(a answer) error {
	f, ok := a.(fieldsAnswer)
	if !ok {
		return notSupported("fields")
	}
	var out bytes.Buffer
	w := p.w
	w.out = &out
	f.fields(&w)
	_, err := p.w.out.Write(out.Bytes())
	return err
}

type fieldsWriter struct {
	out io.Writer
	hex bool // ids in hexadecimal; keys and values stay quoted strings
}

// field writes numbers, booleans, durations and errors bare.
func (w *fieldsWriter) field(name string, value any) {
	fmt.Fprintf(w.out, "%q : %v\n", name, value)
}

func (w *fieldsWriter) quoted(name, value string) {
	fmt.Fprintf(w.out, "%q : %q\n", name, value)
}

// id is a cluster's or a member's.
func (w *fieldsWriter) id(name string, id uint64) {
	if w.hex {
		fmt.Fprintf(w.out, "%q : %x\n", name, id)
		return
	}
	w.field(name, id)
}

func (w *fieldsWriter) lease(name string, id int64) {
	if w.hex {
		fmt.Fprintf(w.out, "%q : %016x\n", name, id)
		return
	}
	w.field(name, id)
}

// header leaves the revision out when it is 0: answers about members have none.
func (w *fieldsWriter) header(h *pb.ResponseHeader) {
	w.id("ClusterID", h.GetClusterId())
	w.id("MemberID", h.GetMemberId())
	if h.GetRevision() != 0 {
		w.field("Revision", h.GetRevision())
	}
	w.field("RaftTerm", h.GetRaftTerm())
}

// kv writes a pair; prefix is "Prev" for the pair an operation replaced.
func (w *fieldsWriter) kv(prefix string, kv *mvccpb.KeyValue) {
	w.quoted(prefix+"Key", string(kv.GetKey()))
	w.field(prefix+"CreateRevision", kv.GetCreateRevision())
	w.field(prefix+"ModRevision", kv.GetModRevision())
	w.field(prefix+"Version", kv.GetVersion())
	w.quoted(prefix+"Value", string(kv.GetValue()))
	w.lease(prefix+"Lease", kv.GetLease())
}

func (w *fieldsWriter) blank() { fmt.Fprintln(w.out) }
