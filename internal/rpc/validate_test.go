package rpc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"keelson/internal/errs"
	"keelson/internal/wire"
)

// parseOps reads a branch of a transaction from text: "put k", "del a", "del a
// b" (a range), "del a 0" (from a on), "get k", "nil", and "txn(then | else)".
func parseOps(text string) (ops []wire.RequestOp) {
	depth, start := 0, 0
	var parts []string
	for i, c := range text {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ';':
			if depth == 0 {
				parts = append(parts, text[start:i])
				start = i + 1
			}
		}
	}
	parts = append(parts, text[start:])
	for _, part := range parts {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if inner, isTxn := strings.CutPrefix(part, "txn("); isTxn {
			then, orElse := splitBranches(strings.TrimSuffix(inner, ")"))
			ops = append(ops, wire.RequestOp{Txn: &wire.TxnRequest{Success: parseOps(then), Failure: parseOps(orElse)}})
			continue
		}
		words := strings.Fields(part)
		switch words[0] {
		case "put":
			ops = append(ops, wire.RequestOp{Put: &wire.PutRequest{Key: []byte(words[1])}})
		case "get":
			ops = append(ops, wire.RequestOp{Range: &wire.RangeRequest{Key: []byte(words[1])}})
		case "del":
			d := &wire.DeleteRangeRequest{Key: []byte(words[1])}
			if len(words) == 3 {
				d.RangeEnd = []byte(words[2])
			}
			if string(d.RangeEnd) == "0" {
				d.RangeEnd = []byte{0}
			}
			ops = append(ops, wire.RequestOp{DeleteRange: d})
		case "nil":
			ops = append(ops, wire.RequestOp{})
		}
	}
	return ops
}

func splitBranches(text string) (then, orElse string) {
	depth := 0
	for i, c := range text {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

// TestDuplicateKeys is rule 2.6.4 of the reference, bullet by bullet.
func TestDuplicateKeys(t *testing.T) {
	cases := []struct {
		ops string
		dup bool
	}{
		{ops: ""},
		{ops: "put a"},
		{ops: "put a; put b"},
		{ops: "put a; get a"},
		// Two puts of one key in one branch, at any depth.
		{ops: "put a; put a", dup: true},
		{ops: "put a; txn(put a)", dup: true},
		{ops: "txn(put a); put a", dup: true},
		{ops: "put a; txn(txn(get x | put a))", dup: true},
		{ops: "txn(put a); txn(put a)", dup: true},
		{ops: "txn(put a); txn(get x | put a)", dup: true},
		{ops: "txn(put a; put a)", dup: true},
		// A put of a key that the same level deletes, either order.
		{ops: "put a; del a", dup: true},
		{ops: "del a; put a", dup: true},
		{ops: "del a c; put b", dup: true},
		{ops: "put b; del a c", dup: true},
		{ops: "del a c; put c"},
		{ops: "del b c; put a"},
		{ops: "del c a; put b"},
		// A put of a key that a nested transaction deletes, and the reverse.
		{ops: "put a; txn(del a)", dup: true},
		{ops: "put a; txn(get x | txn(del a b))", dup: true},
		{ops: "del a; txn(put a)", dup: true},
		{ops: "txn(put a); del a", dup: true},
		{ops: "del a c; txn(get x | txn(put b))", dup: true},
		// The branches of one nested transaction exclude each other.
		{ops: "txn(put a | put a)"},
		{ops: "txn(put a | del a)"},
		{ops: "txn(del a | put a)"},
		{ops: "txn(put a | put a); put a", dup: true},
		// Deletes may overlap.
		{ops: "del a; del a"},
		{ops: "del a c; del b d; txn(del b)"},
		// Siblings in order: an earlier delete conflicts with a later put, an
		// earlier put does not conflict with a later delete.
		{ops: "txn(del a); txn(put a)", dup: true},
		{ops: "txn(get x | del a c); txn(put b)", dup: true},
		{ops: "txn(put a); txn(del a)"},
		{ops: "txn(put b); txn(get x | del a c)"},
		// From a key on: conflicts with nothing.
		{ops: "del a 0; put b"},
		{ops: "put b; del a 0"},
		{ops: "del a 0; txn(put b)"},
		{ops: "put b; txn(del a 0)"},
		{ops: "txn(del a 0); txn(put b)"},
	}
	for _, c := range cases {
		t.Run(c.ops, func(t *testing.T) {
			branches := map[string]*wire.TxnRequest{
				"then": {Success: parseOps(c.ops)},
				"else": {Failure: parseOps(c.ops)}, // looked at although not taken
			}
			for name, txn := range branches {
				err := checkTxn(txn, 128)
				if want := c.dup; errors.Is(err, errs.ErrDuplicateKey) != want || err != nil && !want {
					t.Errorf("%s: got %v, duplicate wanted: %v", name, err, want)
				}
			}
		})
	}
}

// listedChanges is the same rule written naively, with lists instead of sets.
func listedChanges(ops []wire.RequestOp) (puts []string, dels []span, ok bool) {
	conflicts := func(key string, puts []string) bool {
		for _, p := range puts {
			if p == key {
				return true
			}
		}
		for _, d := range dels {
			if d.contains([]byte(key)) {
				return true
			}
		}
		return false
	}
	for _, op := range ops {
		if op.DeleteRange != nil {
			dels = append(dels, spanOf(op.DeleteRange.Range()))
		}
	}
	for _, op := range ops {
		if op.Txn == nil {
			continue
		}
		thenPuts, thenDels, thenOK := listedChanges(op.Txn.Success)
		elsePuts, elseDels, elseOK := listedChanges(op.Txn.Failure)
		if !thenOK || !elseOK {
			return nil, nil, false
		}
		both := append(thenPuts, elsePuts...)
		for _, key := range both {
			if conflicts(key, puts) {
				return nil, nil, false
			}
		}
		puts = append(puts, both...)
		dels = append(append(dels, thenDels...), elseDels...)
	}
	for _, op := range ops {
		if op.Put != nil {
			if conflicts(string(op.Put.Key), puts) {
				return nil, nil, false
			}
			puts = append(puts, string(op.Put.Key))
		}
	}
	return puts, dels, true
}

// TestDuplicatesAgainstLists compares the sets with the naive rule on random
// transactions, small keys so that they meet.
func TestDuplicatesAgainstLists(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 0))
	key := func() []byte { return []byte{byte('a' + rng.IntN(20)), byte('a' + rng.IntN(20))} }
	var random func(depth int) []wire.RequestOp
	random = func(depth int) (ops []wire.RequestOp) {
		for range rng.IntN(5) {
			switch n := rng.IntN(8); {
			case n < 3:
				ops = append(ops, wire.RequestOp{Put: &wire.PutRequest{Key: key()}})
			case n == 3:
				ops = append(ops, wire.RequestOp{DeleteRange: &wire.DeleteRangeRequest{Key: key()}})
			case n == 4:
				ops = append(ops, wire.RequestOp{DeleteRange: &wire.DeleteRangeRequest{Key: key(), RangeEnd: key()}})
			case depth > 0:
				ops = append(ops, wire.RequestOp{Txn: &wire.TxnRequest{Success: random(depth - 1), Failure: random(depth - 1)}})
			}
		}
		return ops
	}
	refused := 0
	for i := range 20000 {
		ops := random(i % 5)
		_, _, ok := listedChanges(ops)
		if err := checkDuplicates(ops); (err == nil) != ok {
			t.Fatalf("seed %d, transaction %d: got %v, the lists say ok=%v", seed, i, err, ok)
		}
		if _, err := changesOf(ops); (err == nil) != ok {
			t.Fatalf("seed %d, transaction %d: sets say %v, the lists say ok=%v", seed, i, err, ok)
		}
		if !ok {
			refused++
		}
	}
	if refused == 0 || refused == 20000 {
		t.Fatalf("%d of 20000 refused: the generator proves nothing", refused)
	}
}

// TestHostileDuplicates: a request full of nested deletes and puts, as large
// as a request can be, must not cost more than it is worth. What guards it is
// the test's time limit; quadratic work would be hours.
func TestHostileDuplicates(t *testing.T) {
	var ops []wire.RequestOp
	for i := range 100 {
		var then []wire.RequestOp
		for j := range 1000 {
			key := fmt.Appendf(nil, "%03d/%04d", i, j)
			then = append(then, wire.RequestOp{DeleteRange: &wire.DeleteRangeRequest{Key: key, RangeEnd: append(key, 1)}},
				wire.RequestOp{Put: &wire.PutRequest{Key: fmt.Appendf(nil, "%03d/%04dx", i, j)}})
		}
		ops = append(ops, wire.RequestOp{Txn: &wire.TxnRequest{Success: then}})
	}
	if err := checkDuplicates(ops); err != nil {
		t.Fatal(err)
	}
}

func TestCheckTxn(t *testing.T) {
	many := func(n int) string { return strings.Repeat("get k;", n) }
	compares := func(n int) []wire.Compare {
		list := make([]wire.Compare, n)
		for i := range list {
			list[i].Key = []byte("k")
		}
		return list
	}
	cases := []struct {
		name string
		txn  wire.TxnRequest
		want error
	}{
		{"empty", wire.TxnRequest{}, nil},
		{"128 operations", wire.TxnRequest{Success: parseOps(many(128))}, nil},
		{"129 in then", wire.TxnRequest{Success: parseOps(many(129))}, errs.ErrTooManyOps},
		{"129 in else", wire.TxnRequest{Failure: parseOps(many(129))}, errs.ErrTooManyOps},
		{"129 compares", wire.TxnRequest{Compare: compares(129)}, errs.ErrTooManyOps},
		{"128 of each", wire.TxnRequest{Compare: compares(128), Success: parseOps(many(128)), Failure: parseOps(many(128))}, nil},
		{"nested within the rest", wire.TxnRequest{Success: parseOps("txn(" + many(127) + ")")}, nil},
		{"nested beyond the rest", wire.TxnRequest{Success: parseOps("txn(" + many(128) + ")")}, errs.ErrTooManyOps},
		{"siblings do not add up", wire.TxnRequest{Success: parseOps("txn(" + many(126) + ");txn(" + many(126) + ")")}, nil},
		{"the longest list counts", wire.TxnRequest{Compare: compares(100), Success: parseOps("txn(" + many(29) + ")")}, errs.ErrTooManyOps},
		{"too many before empty key", wire.TxnRequest{Compare: make([]wire.Compare, 129)}, errs.ErrTooManyOps},
		{"compare without key", wire.TxnRequest{Compare: make([]wire.Compare, 1), Success: parseOps("nil")}, errs.ErrEmptyKey},
		{"nil operation", wire.TxnRequest{Success: parseOps("nil")}, errs.ErrKeyNotFound},
		{"nil operation in a nested else", wire.TxnRequest{Failure: parseOps("txn(get x | nil)")}, errs.ErrKeyNotFound},
		{"first bad operation in list order", wire.TxnRequest{Success: parseOps("get k; nil"), Failure: []wire.RequestOp{{Put: &wire.PutRequest{}}}}, errs.ErrKeyNotFound},
		{"then before else", wire.TxnRequest{Success: []wire.RequestOp{{Put: &wire.PutRequest{}}}, Failure: parseOps("nil")}, errs.ErrEmptyKey},
		{"operations before duplicates", wire.TxnRequest{Success: parseOps("put a; put a; nil")}, errs.ErrKeyNotFound},
		{"bad range in a list", wire.TxnRequest{Success: []wire.RequestOp{{Range: &wire.RangeRequest{Key: []byte("k"), SortOrder: 9}}}}, errs.ErrInvalidSortOption},
		{"bad delete in a list", wire.TxnRequest{Success: []wire.RequestOp{{DeleteRange: &wire.DeleteRangeRequest{}}}}, errs.ErrEmptyKey},
		{"bad put in a list", wire.TxnRequest{Success: []wire.RequestOp{{Put: &wire.PutRequest{Key: []byte("k"), IgnoreLease: true, Lease: 1}}}}, errs.ErrLeaseProvided},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := checkTxn(&c.txn, 128); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestCheckRequests(t *testing.T) {
	k := []byte("k")
	cases := []struct {
		name      string
		got, want error
	}{
		{"range", checkRange(&wire.RangeRequest{Key: k, SortOrder: 2, SortTarget: 4}), nil},
		{"range without key", checkRange(&wire.RangeRequest{SortOrder: 9}), errs.ErrEmptyKey},
		{"range in unknown order", checkRange(&wire.RangeRequest{Key: k, SortOrder: 3}), errs.ErrInvalidSortOption},
		{"range in negative order", checkRange(&wire.RangeRequest{Key: k, SortOrder: -1}), errs.ErrInvalidSortOption},
		{"range by unknown target", checkRange(&wire.RangeRequest{Key: k, SortTarget: 5}), errs.ErrInvalidSortOption},
		{"range by negative target", checkRange(&wire.RangeRequest{Key: k, SortTarget: -1}), errs.ErrInvalidSortOption},
		{"stream", checkRangeStream(&wire.RangeRequest{Key: k}), nil},
		{"stream without key", checkRangeStream(&wire.RangeRequest{SortOrder: 1, SortTarget: 1}), errs.ErrEmptyKey},
		{"stream by key", checkRangeStream(&wire.RangeRequest{Key: k, SortOrder: 1}), nil},
		{"stream in no order by version", checkRangeStream(&wire.RangeRequest{Key: k, SortTarget: 1}), nil},
		{"stream by version", checkRangeStream(&wire.RangeRequest{Key: k, SortOrder: 1, SortTarget: 1}), errs.ErrStreamSort},
		{"stream descending", checkRangeStream(&wire.RangeRequest{Key: k, SortOrder: 2, MinModRevision: 1}), errs.ErrStreamSort},
		{"stream min mod", checkRangeStream(&wire.RangeRequest{Key: k, MinModRevision: 1}), errs.ErrStreamFilter},
		{"stream max mod", checkRangeStream(&wire.RangeRequest{Key: k, MaxModRevision: -1}), errs.ErrStreamFilter},
		{"stream min create", checkRangeStream(&wire.RangeRequest{Key: k, MinCreateRevision: 1}), errs.ErrStreamFilter},
		{"stream max create", checkRangeStream(&wire.RangeRequest{Key: k, MaxCreateRevision: 1}), errs.ErrStreamFilter},
		{"put", checkPut(&wire.PutRequest{Key: k, Value: k, Lease: 1}), nil},
		{"put without key", checkPut(&wire.PutRequest{IgnoreValue: true, Value: k}), errs.ErrEmptyKey},
		{"put with ignored value", checkPut(&wire.PutRequest{Key: k, IgnoreValue: true, Value: k, IgnoreLease: true, Lease: 1}), errs.ErrValueProvided},
		{"put with ignored lease", checkPut(&wire.PutRequest{Key: k, IgnoreLease: true, Lease: 1}), errs.ErrLeaseProvided},
		{"touch", checkPut(&wire.PutRequest{Key: k, IgnoreValue: true, IgnoreLease: true}), nil},
		{"delete without key", checkDeleteRange(&wire.DeleteRangeRequest{RangeEnd: k}), errs.ErrEmptyKey},
	}
	for _, c := range cases {
		if !errors.Is(c.got, c.want) || c.want == nil && c.got != nil {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestCosts(t *testing.T) {
	txn := &wire.TxnRequest{
		Success: parseOps("put k; get k; txn(put a; put b | put c)"),
		Failure: parseOps("put kk; del k"),
	}
	if got, want := txnCost(txn), int64(3*(256+1)); got != want {
		t.Errorf("the dearer branch costs %d, want %d", got, want)
	}
	if got := txnCost(&wire.TxnRequest{Success: parseOps("get k; del k")}); got != 0 {
		t.Errorf("a transaction without puts costs %d", got)
	}
	if got := putCost(&wire.PutRequest{Key: make([]byte, 10), Value: make([]byte, 20)}); got != 286 {
		t.Errorf("put costs %d, want 286", got)
	}
}
