package ctl

import (
	"encoding/json"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// jsonPrinter writes one value per line by the rules of encoding/json, not of
// protobuf's JSON: programs decode it into the structs of clientv3.
type jsonPrinter struct {
	out io.Writer
	hex bool
}

func (p *jsonPrinter) print(a answer) error {
	v := a.value()
	if h, ok := a.(hexAnswer); ok && p.hex {
		v = h.hexValue()
	}
	line, err := json.Marshal(v)
	if err != nil {
		return fail(exitError, err)
	}
	_, err = p.out.Write(append(line, '\n'))
	return err
}

// The shapes below stand in for messages whose oneof fields carry no JSON names.

type txnJSON struct {
	Header    *pb.ResponseHeader `json:"header,omitempty"`
	Succeeded bool               `json:"succeeded,omitempty"`
	Responses []opJSON           `json:"responses,omitempty"`
}

type opJSON struct{ Response opResponseJSON }

type opResponseJSON struct {
	Range  *pb.RangeResponse       `json:"response_range,omitempty"`
	Put    *pb.PutResponse         `json:"response_put,omitempty"`
	Delete *pb.DeleteRangeResponse `json:"response_delete_range,omitempty"`
	Txn    *txnJSON                `json:"response_txn,omitempty"`
}

func newTxnJSON(r *pb.TxnResponse) *txnJSON {
	out := &txnJSON{Header: r.GetHeader(), Succeeded: r.GetSucceeded()}
	for _, op := range r.GetResponses() {
		one := opResponseJSON{Range: op.GetResponseRange(), Put: op.GetResponsePut(), Delete: op.GetResponseDeleteRange()}
		if inner := op.GetResponseTxn(); inner != nil {
			one.Txn = newTxnJSON(inner)
		}
		out.Responses = append(out.Responses, opJSON{one})
	}
	return out
}
