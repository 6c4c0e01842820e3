package state

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"keelson/internal/alarm"
	"keelson/internal/base"
	"keelson/internal/mvcc"
	"keelson/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expectations in testdata; then read the diff")

// TestScenarios runs the texts in testdata against api.md sections 2, 4 and 7.
// A text is a list of cases separated by blank lines,
//
//	command request as protobuf text, on as many lines as it likes
//	----
//	what came of it
//
// The commands are those of requests below, "conf TYPE JSON" for a
// configuration change, "read REQUEST" for a read-only transaction on the
// published view, and "dump" for the whole state. # starts a comment.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			must(t, err)
			got := playScenario(t, string(text))
			switch {
			case got == string(text):
			case *rewrite:
				must(t, os.WriteFile(file, []byte(got), 0o644))
			default:
				t.Fatalf("%s differs (go test -rewrite accepts it); got:\n%s", file, got)
			}
		})
	}
}

func playScenario(t *testing.T, text string) string {
	f := newFeed(t)
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			out.WriteString("\n")
		}
		block = strings.TrimSpace(block)
		command, _, isCase := strings.Cut(block, "\n----")
		out.WriteString(command + "\n")
		var code []string
		for _, line := range strings.Split(command, "\n") {
			if !strings.HasPrefix(line, "#") {
				code = append(code, line)
			}
		}
		if len(code) > 0 && (isCase || code[0] != "") {
			out.WriteString("----\n" + f.play(strings.Join(code, "\n")))
		}
	}
	return out.String()
}

// requests are the commands that are an entry.
var requests = map[string]struct {
	kind wire.Kind
	msg  func() proto.Message
}{
	"put":        {wire.KindPut, func() proto.Message { return &etcdserverpb.PutRequest{} }},
	"delete":     {wire.KindDeleteRange, func() proto.Message { return &etcdserverpb.DeleteRangeRequest{} }},
	"range":      {wire.KindRange, func() proto.Message { return &etcdserverpb.RangeRequest{} }},
	"txn":        {wire.KindTxn, func() proto.Message { return &etcdserverpb.TxnRequest{} }},
	"compact":    {wire.KindCompaction, func() proto.Message { return &etcdserverpb.CompactionRequest{} }},
	"grant":      {wire.KindLeaseGrant, func() proto.Message { return &etcdserverpb.LeaseGrantRequest{} }},
	"revoke":     {wire.KindLeaseRevoke, func() proto.Message { return &etcdserverpb.LeaseRevokeRequest{} }},
	"checkpoint": {wire.KindLeaseCheckpoint, func() proto.Message { return &etcdserverpb.LeaseCheckpointRequest{} }},
	"alarm":      {wire.KindAlarm, func() proto.Message { return &etcdserverpb.AlarmRequest{} }},
	"version":    {wire.KindClusterVersionSet, func() proto.Message { return &membershippb.ClusterVersionSetRequest{} }},
	"attributes": {wire.KindClusterMemberAttrSet, func() proto.Message { return &membershippb.ClusterMemberAttrSetRequest{} }},
	"downgrade":  {wire.KindDowngradeInfoSet, func() proto.Message { return &membershippb.DowngradeInfoSetRequest{} }},
	"test":       {wire.KindDowngradeVersionTest, func() proto.Message { return &etcdserverpb.DowngradeVersionTestRequest{} }},
	"auth":       {wire.KindAuthEnable, func() proto.Message { return &etcdserverpb.AuthEnableRequest{} }},
}

func (f *feed) play(code string) string {
	command, rest, _ := strings.Cut(code, " ")
	switch r, ok := requests[command]; {
	case ok:
		m := r.msg()
		must(f.t, prototext.Unmarshal([]byte(rest), m))
		return f.show(f.request(r.kind, m))
	case command == "dump":
		return f.dump()
	case command == "conf":
		return f.conf(rest)
	case command == "read":
		return f.readTxn(rest)
	}
	f.t.Fatalf("unknown command %q", command)
	return ""
}

func (f *feed) conf(args string) string {
	name, context, _ := strings.Cut(args, " ")
	var id uint64
	fmt.Sscanf(context, `{"id":%d`, &id)
	if name == "remove" {
		fmt.Sscan(context, &id)
		context = ""
	}
	types := map[string]raftpb.ConfChangeType{"add": raftpb.ConfChangeAddNode, "learner": raftpb.ConfChangeAddLearnerNode,
		"update": raftpb.ConfChangeUpdateNode, "remove": raftpb.ConfChangeRemoveNode}
	cc := &raftpb.ConfChange{Type: types[name].Enum(), NodeId: &id, Context: []byte(context)}
	data, err := proto.Marshal(cc)
	must(f.t, err)
	res, err := f.entry(raftpb.EntryConfChange, data)
	if err == nil && (res.Conf != nil) != (res.Err == nil) {
		f.t.Errorf("%s: Conf %v, Err %v", args, res.Conf, res.Err)
	}
	return f.show(res, err)
}

// readTxn evaluates a transaction on what is published.
func (f *feed) readTxn(text string) string {
	var m etcdserverpb.TxnRequest
	must(f.t, prototext.Unmarshal([]byte(text), &m))
	body, err := proto.Marshal(&m)
	must(f.t, err)
	var r wire.TxnRequest
	must(f.t, r.UnmarshalWire(body))
	v := f.KV.View()
	defer v.Release()
	out := fmt.Sprintf("readonly=%v serializable=%v ", IsReadOnly(&r), IsSerializable(&r))
	succeeded, responses, err := f.ReadTxn(f.t.Context(), v, &r)
	if err != nil {
		return out + "refused: " + err.Error() + "\n"
	}
	return out + f.showTxn(succeeded, responses)
}

// show prints a result and publishes what was done.
func (f *feed) show(res Result, err error) string {
	defer f.KV.Publish()
	switch {
	case err != nil:
		return "error: " + strings.ReplaceAll(err.Error(), "\u00a0", " ") + "\n"
	case res.Err != nil:
		return fmt.Sprintf("refused: %v\n", res.Err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rev=%d", res.Revision)
	if res.Cost > 0 {
		fmt.Fprintf(&b, " cost=%d", res.Cost)
	}
	switch res.Kind {
	case wire.KindDeleteRange:
		fmt.Fprintf(&b, " deleted=%d", res.Deleted)
	case wire.KindRange:
		fmt.Fprintf(&b, " count=%d more=%v", res.Range.Count, res.Range.More)
		res.PrevKVs = res.Range.KVs
	case wire.KindLeaseGrant:
		fmt.Fprintf(&b, " granted %d for %d s", res.Granted.ID, res.Granted.TTL)
	case wire.KindLeaseRevoke:
		fmt.Fprintf(&b, " revoked %d", res.Revoked)
	case wire.KindLeaseCheckpoint:
		fmt.Fprintf(&b, " checkpoints %v", res.Checkpoints)
	case wire.KindAlarm:
		fmt.Fprintf(&b, " alarms %v", res.Alarms)
	case wire.KindCompaction:
		fmt.Fprintf(&b, " compaction %+v", res.Compaction)
	case wire.KindTxn:
		b.WriteString(" " + f.showTxn(res.Succeeded, res.Responses))
		return b.String()
	}
	b.WriteString("\n")
	for _, kv := range res.PrevKVs {
		b.WriteString("  " + showKV(f.t, kv) + "\n")
	}
	return b.String()
}

func showKV(t testing.TB, payload []byte) string {
	var kv mvccpb.KeyValue
	must(t, proto.Unmarshal(payload, &kv))
	return fmtKV(&kv)
}

func fmtKV(kv *mvccpb.KeyValue) string {
	s := fmt.Sprintf("%s=%q create=%d mod=%d version=%d", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version)
	if kv.Lease != 0 {
		s += fmt.Sprintf(" lease=%d", kv.Lease)
	}
	return s
}

func (f *feed) showTxn(succeeded bool, responses []byte) string {
	var res etcdserverpb.TxnResponse
	must(f.t, proto.Unmarshal(responses, &res))
	var b strings.Builder
	fmt.Fprintf(&b, "succeeded=%v\n", succeeded)
	showResponses(&b, "  ", res.Responses)
	return b.String()
}

func showResponses(b *strings.Builder, indent string, all []*etcdserverpb.ResponseOp) {
	for _, op := range all {
		var h *etcdserverpb.ResponseHeader
		var kvs []*mvccpb.KeyValue
		line := ""
		switch r := op.Response.(type) {
		case *etcdserverpb.ResponseOp_ResponsePut:
			h, line = r.ResponsePut.Header, "put"
			if r.ResponsePut.PrevKv != nil {
				kvs = append(kvs, r.ResponsePut.PrevKv)
			}
		case *etcdserverpb.ResponseOp_ResponseDeleteRange:
			h, line, kvs = r.ResponseDeleteRange.Header, fmt.Sprint("delete ", r.ResponseDeleteRange.Deleted), r.ResponseDeleteRange.PrevKvs
		case *etcdserverpb.ResponseOp_ResponseRange:
			rr := r.ResponseRange
			h, line, kvs = rr.Header, fmt.Sprintf("range count=%d more=%v", rr.Count, rr.More), rr.Kvs
		case *etcdserverpb.ResponseOp_ResponseTxn:
			h, line = r.ResponseTxn.Header, fmt.Sprint("txn succeeded=", r.ResponseTxn.Succeeded)
		}
		fmt.Fprintf(b, "%s%s {rev %d member %d term %d}\n", indent, line, h.GetRevision(), h.GetMemberId(), h.GetRaftTerm())
		for _, kv := range kvs {
			fmt.Fprintf(b, "%s  %s\n", indent, fmtKV(kv))
		}
		if r, ok := op.Response.(*etcdserverpb.ResponseOp_ResponseTxn); ok {
			showResponses(b, indent+"  ", r.ResponseTxn.Responses)
		}
	}
}

// dump prints the state.
func (f *feed) dump() string {
	f.KV.Publish()
	v := f.KV.View()
	defer v.Release()
	var b strings.Builder
	fmt.Fprintf(&b, "revision %d compacted %d\n", v.Revision(), v.CompactRevision())
	res, err := v.Range(f.t.Context(), mvcc.RangeOptions{KeyRange: base.KeyRange{Key: []byte{0}, End: []byte{0}}})
	must(f.t, err)
	for _, kv := range res.KVs {
		fmt.Fprintf(&b, "  %s\n", showKV(f.t, kv))
	}
	for _, l := range f.Leases.All() {
		keys, _ := f.Leases.Keys(l.ID)
		fmt.Fprintf(&b, "lease %d ttl %d remaining %d keys %q\n", l.ID, l.TTL, l.Remaining, keys)
	}
	for _, m := range f.Members.All() {
		fmt.Fprintf(&b, "member %+v\n", m)
	}
	if ids := f.Members.Removed(); len(ids) > 0 {
		fmt.Fprintf(&b, "removed %v\n", ids)
	}
	if ver := f.Members.Version(); ver != "" {
		fmt.Fprintf(&b, "cluster version %s, downgrade %+v\n", ver, f.Members.DowngradeJob())
	}
	if a := f.Alarms.List(alarm.None); len(a) > 0 {
		fmt.Fprintf(&b, "alarms %v\n", a)
	}
	return b.String()
}
