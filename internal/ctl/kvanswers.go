package ctl

import (
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// getAnswer also shows the key that lock and elect hold.
type getAnswer struct {
	resp      *pb.RangeResponse
	valueOnly bool // --print-value-only
}

func (a getAnswer) value() any                      { return a.resp }
func (a getAnswer) message() (proto.Message, error) { return a.resp, nil }

func (a getAnswer) simple(w *simpleWriter) {
	for _, kv := range a.resp.Kvs {
		if !a.valueOnly {
			w.bytesLine(kv.Key)
		}
		w.bytesLine(kv.Value)
	}
}

func (a getAnswer) fields(w *fieldsWriter) {
	w.header(a.resp.Header)
	for _, kv := range a.resp.Kvs {
		w.kv("", kv)
	}
	w.field("More", a.resp.More)
	w.field("Count", a.resp.Count)
}

type putAnswer struct{ resp *pb.PutResponse }

func (a putAnswer) value() any                      { return a.resp }
func (a putAnswer) message() (proto.Message, error) { return a.resp, nil }

func (a putAnswer) simple(w *simpleWriter) {
	w.printf("OK\n")
	if a.resp.PrevKv != nil {
		w.kv(a.resp.PrevKv)
	}
}

func (a putAnswer) fields(w *fieldsWriter) {
	w.header(a.resp.Header)
	if a.resp.PrevKv != nil {
		w.kv("Prev", a.resp.PrevKv)
	}
}

type delAnswer struct{ resp *pb.DeleteRangeResponse }

func (a delAnswer) value() any                      { return a.resp }
func (a delAnswer) message() (proto.Message, error) { return a.resp, nil }

func (a delAnswer) simple(w *simpleWriter) {
	w.printf("%d\n", a.resp.Deleted)
	for _, kv := range a.resp.PrevKvs {
		w.kv(kv)
	}
}

func (a delAnswer) fields(w *fieldsWriter) {
	w.header(a.resp.Header)
	w.field("Deleted", a.resp.Deleted)
	for _, kv := range a.resp.PrevKvs {
		w.kv("Prev", kv)
	}
}

type txnAnswer struct{ resp *pb.TxnResponse }

func (a txnAnswer) value() any                      { return newTxnJSON(a.resp) }
func (a txnAnswer) message() (proto.Message, error) { return a.resp, nil }

func (a txnAnswer) simple(w *simpleWriter) {
	if a.resp.Succeeded {
		w.printf("SUCCESS\n")
	} else {
		w.printf("FAILURE\n")
	}
	for _, op := range a.operations() {
		w.printf("\n")
		op.simple(w)
	}
}

func (a txnAnswer) fields(w *fieldsWriter) {
	w.header(a.resp.Header)
	w.field("Succeeded", a.resp.Succeeded)
	for _, op := range a.operations() {
		op.fields(w)
	}
}

// kvAnswer is the answer of one operation inside a transaction.
type kvAnswer interface {
	answer
	fieldsAnswer
}

func (a txnAnswer) operations() []kvAnswer {
	out := make([]kvAnswer, 0, len(a.resp.Responses))
	for _, op := range a.resp.Responses {
		switch r := op.Response.(type) {
		case *pb.ResponseOp_ResponseRange:
			out = append(out, getAnswer{resp: r.ResponseRange})
		case *pb.ResponseOp_ResponsePut:
			out = append(out, putAnswer{r.ResponsePut})
		case *pb.ResponseOp_ResponseDeleteRange:
			out = append(out, delAnswer{r.ResponseDeleteRange})
		case *pb.ResponseOp_ResponseTxn:
			out = append(out, txnAnswer{r.ResponseTxn})
		}
	}
	return out
}
