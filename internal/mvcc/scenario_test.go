package mvcc

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"keelson/internal/base"
	"keelson/internal/errs"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expectations in testdata; then read the diff")

// TestScenarios runs the texts in testdata. A text is a list of cases,
//
//	command arguments
//	  op arguments        (of a tx)
//	----
//	what it prints
//
// separated by blank lines; # starts a comment. Commands: see scenario.run.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playScenario(t, string(text))
			if got == string(text) {
				return
			}
			if !*rewrite {
				t.Fatalf("%s differs (go test -rewrite accepts it); got:\n%s", file, got)
			}
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// playScenario returns the text with what the commands print now.
func playScenario(t *testing.T, text string) string {
	sc := scenario{member: newMember(t)}
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimRight(text, "\n"), "\n\n") {
		command, _, isCase := strings.Cut(block, "\n----")
		out.WriteString(command)
		out.WriteByte('\n')
		if isCase {
			var lines []string
			for _, line := range strings.Split(command, "\n") {
				if !strings.HasPrefix(line, "#") {
					lines = append(lines, line)
				}
			}
			sc.out.Reset()
			sc.run(lines)
			out.WriteString("----\n" + sc.out.String())
		}
		out.WriteByte('\n')
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

type scenario struct {
	*member
	out strings.Builder
}

func (sc *scenario) printf(format string, args ...any) { fmt.Fprintf(&sc.out, format+"\n", args...) }

func (sc *scenario) run(lines []string) {
	f := strings.Fields(lines[0])
	switch f[0] {
	case "put", "del":
		sc.tx([]string{lines[0]})
	case "tx":
		sc.tx(lines[1:])
	case "range":
		v := sc.View()
		defer v.Release()
		sc.printRange(v.Range(context.Background(), parseRange(f[1:])))
	case "stream":
		sc.stream(atoi(f[1]), parseRange(f[2:]))
	case "scan":
		sc.scan(atoi(f[1]), atoi(f[2]))
	case "compact":
		if err := sc.Compact(atoi(f[1])); err != nil {
			sc.printf("error: %v", err)
		}
		sc.Publish()
	case "step":
		more, err := sc.CompactStep(int(atoi(f[1])))
		sc.hashes.idle.Wait()
		sc.printf("more=%v err=%v finished=%d", more, err, sc.FinishedCompaction())
	case "hash":
		h, current, err := sc.HashKV(context.Background(), atoi(f[1]))
		if err != nil {
			sc.printf("error: %v", err)
			return
		}
		sc.printf("hash=%d compact=%d rev=%d current=%d", h.Hash, h.CompactRev, h.Revision, current)
	case "reopen":
		sc.reopen()
		sc.printf("rev=%d compact=%d finished=%d", sc.Revision(), sc.CompactRevision(), sc.FinishedCompaction())
	default:
		sc.t.Fatalf("unknown command %q", lines[0])
	}
}

// tx runs a transaction and publishes it.
func (sc *scenario) tx(ops []string) {
	tx := sc.Begin()
	for _, op := range ops {
		f := strings.Fields(op)
		switch f[0] {
		case "put":
			var lease base.LeaseID
			if len(f) > 3 {
				lease = base.LeaseID(atoi(strings.TrimPrefix(f[3], "lease=")))
			}
			if err := tx.Put([]byte(f[1]), []byte(f[2]), lease); err != nil {
				sc.t.Fatal(err)
			}
		case "del":
			gone, err := tx.DeleteRange(parseRange(f[1:]).KeyRange)
			if err != nil {
				sc.t.Fatal(err)
			}
			for _, d := range gone {
				sc.printf("deleted %s create=%d mod=%v version=%d lease=%d", d.Key, d.Last.Create, d.Last.Mod, d.Last.Version, d.Last.Lease)
			}
		case "range":
			sc.printRange(tx.Range(parseRange(f[1:])))
		case "kv":
			payload, ok, err := tx.KV([]byte(f[1]))
			if err != nil {
				sc.t.Fatal(err)
			}
			sc.printf("kv %v %s", ok, show(payload))
		}
	}
	changed := tx.Changed()
	events := tx.End()
	b := sc.Publish()
	sc.printf("changed=%v rev=%d", changed, b.Revision)
	if len(events) != len(b.Events) {
		sc.t.Fatalf("the transaction made %d events, the batch has %d", len(events), len(b.Events))
	}
	for _, e := range b.Events {
		sc.printEvent(e)
	}
}

func (sc *scenario) printEvent(e Event) {
	kind := "PUT"
	if e.Delete {
		kind = "DELETE"
	}
	line := fmt.Sprintf("%s %v %s", kind, e.Rev, e.Key)
	if !e.Delete {
		line = fmt.Sprintf("%s %v %s", kind, e.Rev, show(e.KV))
	}
	v := sc.View()
	defer v.Release()
	prev, ok, err := v.KVAt(e.Prev)
	if err != nil {
		sc.t.Fatal(err)
	}
	if ok {
		line += " prev: " + show(prev)
	}
	sc.printf("%s", line)
}

func (sc *scenario) printRange(res RangeResult, err error) {
	if err != nil {
		sc.printf("error: %v", err)
		return
	}
	for _, kv := range res.KVs {
		sc.printf("%s", show(kv))
	}
	sc.printf("count=%d more=%v revision=%d", res.Count, res.More, res.Revision)
}

func (sc *scenario) scan(from, to int64) {
	v := sc.View()
	defer v.Release()
	if err := v.Scan(from, to, func(e Event) bool {
		sc.printEvent(e)
		return true
	}); err != nil {
		sc.printf("error: %v", err)
	}
}

func (sc *scenario) stream(chunk int64, o RangeOptions) {
	st := sc.Stream(o)
	defer st.Close()
	for last := false; !last; {
		c, err := st.Next(context.Background(), int(chunk))
		if err != nil {
			sc.printf("error: %v", err)
			return
		}
		for _, kv := range c.KVs {
			sc.printf("%s", show(kv))
		}
		sc.printf("chunk keys=%d last=%v count=%d more=%v", len(c.KVs), c.Last, c.Count, c.More)
		last = c.Last
	}
}

// parseRange reads "key [end] [option=value ...]"; the end "0" is the zero byte.
func parseRange(f []string) RangeOptions {
	var o RangeOptions
	o.Key = []byte(f[0])
	for _, arg := range f[1:] {
		name, value, isOption := strings.Cut(arg, "=")
		if !isOption {
			o.End = []byte(arg)
			if arg == "0" {
				o.End = []byte{0}
			}
			continue
		}
		switch name {
		case "limit":
			o.Limit = atoi(value)
		case "rev":
			o.Revision = atoi(value)
		case "order":
			o.SortOrder = map[string]int32{"none": SortNone, "asc": SortAscend, "desc": SortDescend}[value]
		case "target":
			o.SortTarget = map[string]int32{"key": TargetKey, "version": TargetVersion, "create": TargetCreate,
				"mod": TargetMod, "value": TargetValue}[value]
		case "keysonly":
			o.KeysOnly = true
		case "countonly":
			o.CountOnly = true
		case "minmod":
			o.MinMod = atoi(value)
		case "maxmod":
			o.MaxMod = atoi(value)
		case "mincreate":
			o.MinCreate = atoi(value)
		case "maxcreate":
			o.MaxCreate = atoi(value)
		default:
			panic("unknown option " + arg)
		}
	}
	return o
}

func atoi(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func TestRangeRefusesUnknownSort(t *testing.T) {
	m := newMember(t)
	m.put("a", "1")
	m.put("b", "1")
	v := m.View()
	defer v.Release()
	for _, o := range []RangeOptions{{SortOrder: 3}, {SortOrder: -1}, {SortTarget: 5}, {SortTarget: -1}} {
		o.Key, o.End = []byte("a"), []byte{0}
		if _, err := v.Range(context.Background(), o); !errors.Is(err, errs.ErrInvalidSortOption) {
			t.Errorf("order %d target %d: %v", o.SortOrder, o.SortTarget, err)
		}
	}
}
