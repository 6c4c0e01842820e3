package table

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// patience is how long one answer may take before the row gives up. Only an
// answer that never comes takes as long.
const patience = 30 * time.Second

// leaseBase is where the rows' own lease IDs begin; each row has 16.
const leaseBase = 0x7e0000000000

// target is the server under test.
type target struct {
	conn              *grpc.ClientConn
	cluster, memberID uint64
}

// scene is one row while it runs.
type scene struct {
	*target
	ctx        context.Context
	metadata   metadata.MD
	prefix     string
	revision   int64 // of the store when the row began
	lease      int64 // the row's lease IDs are lease+1 to lease+15
	streams    map[string]*stream
	background map[string]call
}

// call is a command in the background.
type call struct {
	done   chan string
	cancel context.CancelFunc
}

// Run runs all rows against the server behind conn, which must be fresh: one
// member, nothing ever written, default settings. It returns how many there are.
func Run(t *testing.T, conn *grpc.ClientConn) int {
	t.Helper()
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	status, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	to := &target{conn, status.Header.ClusterId, status.Header.MemberId}
	count := 0
	for _, f := range all {
		for _, r := range f.rows {
			count++
			t.Run(f.name+"/"+r.name, func(t *testing.T) { to.run(t, f, r, count) })
		}
	}
	if os.Getenv("KEELSON_TABLE_REWRITE") != "" {
		for _, f := range all {
			if err := os.WriteFile(filepath.Join("rows", f.name+".txt"), []byte(f.rewritten()), 0o644); err != nil {
				t.Error(err)
			}
		}
	}
	return count
}

// run plays one row.
func (to *target) run(t *testing.T, f *file, r *row, number int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	now, err := pb.NewKVClient(to.conn).Range(ctx, &pb.RangeRequest{Key: []byte("t")})
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{
		target: to, ctx: ctx, metadata: metadata.MD{},
		prefix: fmt.Sprintf("t%05d/", number), revision: now.Header.Revision, lease: leaseBase + int64(number)*16,
		streams: map[string]*stream{}, background: map[string]call{},
	}
	rewrite := os.Getenv("KEELSON_TABLE_REWRITE") != ""
	for _, st := range r.steps {
		where := fmt.Sprintf("rows/%s.txt:%d: %s", f.name, st.line+1, short(st.command))
		got, err := s.perform(st)
		if err != nil {
			t.Fatalf("%s\n%v", where, err)
		}
		if rewrite {
			st.got = got
		}
		if len(st.want) == 0 {
			if len(got) == 1 && strings.HasPrefix(got[0], "error ") {
				t.Fatalf("%s\ngot %s", where, got[0])
			}
			continue
		}
		if want := strings.Join(st.want, "\n"); !rewrite && want != strings.Join(got, "\n") {
			t.Errorf("%s\nwant %s\ngot  %s", where, want, strings.Join(got, "\n"))
		}
	}
}

// perform does one step and returns the answers in the form of the table.
func (s *scene) perform(st *step) ([]string, error) {
	word, rest, _ := strings.Cut(st.command, " ")
	rest, err := s.expand(rest)
	if err != nil {
		return nil, err
	}
	switch word {
	case "with":
		return nil, s.with(rest)
	case "go":
		name, command, _ := strings.Cut(rest, " ")
		word, rest, _ := strings.Cut(command, " ")
		done := make(chan string, 1)
		ctx, cancel := context.WithCancel(s.ctx)
		s.background[name] = call{done, cancel}
		go func() {
			defer cancel()
			answer, err := s.unary(ctx, word, rest)
			if err != nil {
				answer = err.Error()
			}
			done <- answer
		}()
		return nil, nil
	case "abandon":
		s.background[rest].cancel()
		return nil, nil
	case "join":
		select {
		case answer := <-s.background[rest].done:
			return []string{answer}, nil
		case <-time.After(patience):
			return nil, fmt.Errorf("%s did not end", rest)
		}
	case "recv":
		name, how, _ := strings.Cut(rest, " ")
		return s.receive(name, len(st.want), how == "sorted")
	case "half":
		return nil, s.streams[rest].CloseSend()
	case "end":
		return s.awaitEnd(rest)
	}
	if isStream(word) {
		if err := s.send(word, rest); err != nil {
			return nil, err
		}
		return s.receive(word, len(st.want), false)
	}
	answer, err := s.unary(s.ctx, word, rest)
	return []string{answer}, err
}

var (
	revisionVariable = regexp.MustCompile(`\$R([+-]\d+)?`)
	leaseVariable    = regexp.MustCompile(`\$([Lx])(\d+)`)
	nestVariable     = regexp.MustCompile(`\$nest\((\d+)\)`)
	bigVariable      = regexp.MustCompile(`\$big\((\d+)\)`)
	repetition       = regexp.MustCompile(`@(\d+)\{`)
)

// expand replaces the variables of a request.
func (s *scene) expand(text string) (string, error) {
	for {
		at := repetition.FindStringSubmatchIndex(text)
		if at == nil {
			break
		}
		body, rest, err := untilBrace(text[at[1]:])
		if err != nil {
			return "", err
		}
		n, _ := strconv.Atoi(text[at[2]:at[3]])
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(body, "$i", strconv.Itoa(i)) + " ")
		}
		text = text[:at[0]] + b.String() + rest
	}
	text = revisionVariable.ReplaceAllStringFunc(text, func(v string) string {
		delta, _ := strconv.ParseInt(strings.TrimPrefix(v, "$R"), 10, 64)
		return strconv.FormatInt(s.revision+delta, 10)
	})
	text = leaseVariable.ReplaceAllStringFunc(text, func(v string) string {
		n, _ := strconv.ParseInt(v[2:], 10, 64)
		if v[1] == 'x' {
			return strconv.FormatInt(s.lease+n, 16)
		}
		return strconv.FormatInt(s.lease+n, 10)
	})
	text = nestVariable.ReplaceAllStringFunc(text, func(v string) string {
		n, _ := strconv.Atoi(nestVariable.FindStringSubmatch(v)[1])
		return strings.Repeat("success{request_txn{", n) + strings.Repeat("}}", n)
	})
	text = strings.ReplaceAll(text, "$self", strconv.FormatUint(s.memberID, 10))
	text = bigVariable.ReplaceAllStringFunc(text, func(v string) string {
		n, _ := strconv.Atoi(bigVariable.FindStringSubmatch(v)[1])
		return strings.Repeat("x", n)
	})
	return strings.ReplaceAll(text, "~", s.prefix), nil
}

// untilBrace splits text at the brace that closes one opened before it.
func untilBrace(text string) (body, rest string, err error) {
	depth := 1
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			return text[:i], text[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("a repetition without its end: %s", short(text))
}

// with adds metadata.
func (s *scene) with(text string) error {
	key, quoted, _ := strings.Cut(text, "=")
	value, err := strconv.Unquote(quoted)
	if err != nil {
		return fmt.Errorf("value of %s: %w", key, err)
	}
	s.metadata = metadata.Join(s.metadata, metadata.Pairs(key, value))
	return nil
}

// outgoing is the context of a call or a stream.
func (s *scene) outgoing() context.Context { return metadata.NewOutgoingContext(s.ctx, s.metadata) }

func short(text string) string {
	const limit = 300
	if len(text) <= limit {
		return text
	}
	return text[:limit] + "..."
}
