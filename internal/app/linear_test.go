package app

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/clock"
	"keelson/internal/config"
	"keelson/internal/vfs"
	"keelson/internal/wire"
)

// A register is one key: its value and the revision that set it.
type register struct {
	value string
	mod   int64
}

// call is what one client asks of one key, and answer what it got.
type call struct {
	kind  string // get, put, delete, cas
	key   string
	value string
	mod   int64 // cas: only if the key is at this revision
}

type answer struct {
	register
	swapped bool  // cas
	rev     int64 // header
}

// registers checks each key on its own: what a get returns, and that writes of
// a key get revisions in the order in which they take effect.
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			k := op.Input.(call).key
			byKey[k] = append(byKey[k], op)
		}
		var parts [][]porcupine.Operation
		for _, ops := range byKey {
			parts = append(parts, ops)
		}
		return parts
	},
	Init: func() any { return register{} },
	Step: func(st, in, out any) (bool, any) {
		r, c, a := st.(register), in.(call), out.(answer)
		switch c.kind {
		case "get":
			return a.register == r && a.rev >= r.mod, r
		case "put":
			return a.rev > r.mod, register{c.value, a.rev}
		case "delete":
			if a.swapped != (r.mod != 0 && r.value != "") {
				return false, r
			}
			return true, register{}
		default:
			if a.swapped != (r.mod == c.mod) {
				return false, r
			}
			if !a.swapped {
				return true, r
			}
			return a.rev > r.mod, register{c.value, a.rev}
		}
	},
	Equal: func(a, b any) bool { return a == b },
}

// client makes calls and remembers what happened when.
type client struct {
	t       *testing.T
	m       *Member
	id      int
	rng     *rand.Rand
	start   time.Time
	clock   clock.Clock
	seen    map[string]int64 // newest revision seen of each key
	history []porcupine.Operation
}

func (c *client) now() int64 { return int64(c.clock.Now().Sub(c.start)) }

func (c *client) run(calls int) {
	for i := range calls {
		in := call{key: fmt.Sprint("key", c.rng.IntN(3)), value: fmt.Sprintf("c%d-%d", c.id, i)}
		in.kind = []string{"get", "get", "put", "cas", "cas", "delete"}[c.rng.IntN(6)]
		in.mod = c.seen[in.key]
		begun := c.now()
		out := c.do(in)
		c.history = append(c.history, porcupine.Operation{ClientId: c.id, Input: in, Call: begun, Output: out, Return: c.now()})
		c.seen[in.key] = cmp.Or(out.mod, c.seen[in.key])
	}
}

func (c *client) do(in call) (a answer) {
	key, value := []byte(in.key), []byte(in.value)
	send := func(k wire.Kind, req, res proto.Message) {
		b, err := request{k, req}.send(c.t.Context(), c.t, c.m)
		if err != nil {
			c.t.Errorf("%v: %v", req, err)
			return
		}
		must(c.t, proto.Unmarshal(b, res))
	}
	switch in.kind {
	case "get":
		var res pb.RangeResponse
		send(wire.KindRange, &pb.RangeRequest{Key: key}, &res)
		a.rev = res.Header.GetRevision()
		for _, kv := range res.Kvs {
			a.register = register{string(kv.Value), kv.ModRevision}
		}
	case "put":
		var res pb.PutResponse
		send(wire.KindPut, &pb.PutRequest{Key: key, Value: value}, &res)
		a.rev = res.Header.GetRevision()
	case "delete":
		var res pb.DeleteRangeResponse
		send(wire.KindDeleteRange, &pb.DeleteRangeRequest{Key: key}, &res)
		a.rev, a.swapped = res.Header.GetRevision(), res.Deleted > 0
	case "cas":
		var res pb.TxnResponse
		send(wire.KindTxn, &pb.TxnRequest{
			Compare: []*pb.Compare{{Key: key, Target: pb.Compare_MOD, Result: pb.Compare_EQUAL,
				TargetUnion: &pb.Compare_ModRevision{ModRevision: in.mod}}},
			Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: value}}}},
		}, &res)
		a.rev, a.swapped = res.Header.GetRevision(), res.Succeeded
	}
	return a
}

// TestLinearizable: what concurrent clients see could have happened one call
// after the other, in the order of real time, while checkpoints are taken and
// segments change.
func TestLinearizable(t *testing.T) {
	const clients, calls = 6, 150
	for seed := range uint64(4) {
		m := startSized(t, vfs.NewMem(), smallSizes, func(c *config.Config) { c.Raft.SnapshotCount = 50 })
		var clk clock.Real
		start := clk.Now()
		all := make([]*client, clients)
		var wg sync.WaitGroup
		for i := range all {
			all[i] = &client{t: t, m: m, id: i, rng: rand.New(rand.NewPCG(seed, uint64(i))), start: start, clock: clk, seen: map[string]int64{}}
			wg.Go(func() { all[i].run(calls) })
		}
		wg.Wait()
		stopMember(t, m)
		var history []porcupine.Operation
		for _, c := range all {
			history = append(history, c.history...)
		}
		if res := porcupine.CheckOperationsTimeout(registers, history, 10*time.Second); res == porcupine.Illegal {
			t.Fatalf("seed %d: the history of %d calls is not linearizable", seed, len(history))
		} else if res == porcupine.Unknown {
			t.Logf("seed %d: not decided in time", seed)
		}
	}
}
