package obs

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"keelson/internal/clock"
)

// fixedClock stamps every line with one moment.
type fixedClock struct {
	clock.Clock
	now time.Time
}

func (c fixedClock) Now() time.Time { return c.now }

func testClock(zone *time.Location) clock.Clock {
	return fixedClock{clock.Real{}, time.Date(2026, 3, 4, 5, 6, 7, 8000, zone)}
}

func fileOptions(t *testing.T) (LogOptions, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "etcd.log")
	return LogOptions{Level: "info", Format: "json", Outputs: []string{path}, Clock: testClock(time.UTC)}, path
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestJSONLine(t *testing.T) {
	o, path := fileOptions(t)
	lg, closeLog, err := NewLogger(o)
	if err != nil {
		t.Fatal(err)
	}
	lg.Debug("not logged")
	lg.Info("hello", zap.Duration("took", 1500*time.Microsecond), zap.Error(errors.New("x")), zap.Strings("args", []string{"a", "b"}))
	lg.Named("raft").Warn("named")
	lg.Error("bad")
	closeLog()
	lines := readLines(t, path)
	if len(lines) != 3 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	for i, want := range []string{
		`^\{"level":"info","ts":"2026-03-04T05:06:07.000008Z","caller":"obs/logger_test.go:\d+","msg":"hello","took":"1.5ms","error":"x","args":\["a","b"\]\}$`,
		`^\{"level":"warn","ts":"2026-03-04T05:06:07.000008Z","logger":"raft","caller":"obs/logger_test.go:\d+","msg":"named"\}$`,
		`^\{"level":"error","ts":"2026-03-04T05:06:07.000008Z","caller":"obs/logger_test.go:\d+","msg":"bad","stacktrace":".+"\}$`,
	} {
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d: %s", i, lines[i])
		}
		if !json.Valid([]byte(lines[i])) {
			t.Errorf("not JSON: %s", lines[i])
		}
	}
}

func TestZoneAndConsole(t *testing.T) {
	o, path := fileOptions(t)
	o.Format, o.Clock = "console", testClock(time.FixedZone("", 8*3600))
	lg, closeLog, err := NewLogger(o)
	if err != nil {
		t.Fatal(err)
	}
	lg.Info("hello", zap.Int("n", 1))
	closeLog()
	got := readLines(t, path)[0]
	if !regexp.MustCompile(`^2026-03-04T05:06:07.000008\+0800\tinfo\tobs/logger_test.go:\d+\thello\t\{"n": 1\}$`).MatchString(got) {
		t.Errorf("%q", got)
	}
}

func TestSampling(t *testing.T) {
	var b bytes.Buffer
	lg := NewLoggerTo(&b, zap.InfoLevel, testClock(time.UTC))
	for range 350 {
		lg.Info("again")
	}
	if n := strings.Count(b.String(), "\n"); n != 102 {
		t.Errorf("%d lines of 350, want the first 100 and two of the rest", n)
	}
}

func TestLoggerRefusals(t *testing.T) {
	for _, change := range []func(*LogOptions){
		func(o *LogOptions) { o.Level = "loud" },
		func(o *LogOptions) { o.Format = "xml" },
		func(o *LogOptions) { o.Outputs = []string{filepath.Join(o.Outputs[0], "no", "such", "dir")} },
	} {
		o, _ := fileOptions(t)
		change(&o)
		if _, _, err := NewLogger(o); err == nil {
			t.Errorf("accepted %+v", o)
		}
	}
}

func TestNullDiscardsAll(t *testing.T) {
	o, path := fileOptions(t)
	o.Outputs = append(o.Outputs, "/dev/null")
	lg, closeLog, err := NewLogger(o)
	if err != nil {
		t.Fatal(err)
	}
	lg.Info("hello")
	closeLog()
	if _, err := os.Stat(path); err == nil {
		t.Error("wrote to the other output")
	}
}

// TestRotation: one file is rotated by size, the others stay what they are.
func TestRotation(t *testing.T) {
	o, path := fileOptions(t)
	o.Rotate, o.MaxSizeMB = true, 1
	o.Outputs = append(o.Outputs, "stderr")
	o.Outputs = o.Outputs[:1] // keep the test quiet
	lg, closeLog, err := NewLogger(o)
	if err != nil {
		t.Fatal(err)
	}
	pad := strings.Repeat("x", 400<<10)
	for _, msg := range []string{"a", "b", "c", "d"} {
		lg.Info(msg + pad)
	}
	closeLog()
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 2 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

func TestJournal(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "j")
	if _, err := newJournalCore(nil, zap.InfoLevel, socket); err == nil || !strings.HasPrefix(err.Error(), "can't find journal (") {
		t.Fatalf("%v", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	core, err := newJournalCore(zapcore.NewJSONEncoder(encoderConfig()), zap.InfoLevel, socket)
	if err != nil {
		t.Fatal(err)
	}
	lg := zap.New(core, zap.AddCaller()).With(zap.Int("a", 1))
	lg.Debug("no")
	lg.Warn("yes")
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	got := string(buf[:n])
	if !strings.HasPrefix(got, "PRIORITY=4\nPACKAGE=obs\nSYSLOG_IDENTIFIER=etcd\nMESSAGE={\"level\":\"warn\"") || !strings.Contains(got, `"msg":"yes","a":1}`) {
		t.Errorf("%q", got)
	}
	var b bytes.Buffer
	journalField(&b, "MESSAGE", "a\nb")
	if b.String() != "MESSAGE\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\n" {
		t.Errorf("%q", b.String())
	}
}

func TestGRPCLogger(t *testing.T) {
	var b bytes.Buffer
	g := NewGRPCLogger(NewLoggerTo(&b, zap.DebugLevel, testClock(time.UTC)))
	g.Infoln("a", 1)
	g.Warningf("%d", 2)
	if got := b.String(); !strings.Contains(got, `"logger":"grpc"`) || !strings.Contains(got, `"msg":"a 1"`) || !strings.Contains(got, `"msg":"2"`) {
		t.Error(got)
	}
}
