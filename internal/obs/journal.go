package obs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"strings"

	"go.uber.org/zap/zapcore"
)

const journalSocket = "/run/systemd/journal/socket"

// journalCore sends each entry to journald in its native protocol, so that
// the journal knows the priority. It holds one datagram socket; an entry that
// does not fit into a datagram (about 200 KiB) is refused by the kernel and
// reported as an error to zap.
type journalCore struct {
	zapcore.LevelEnabler
	encoder zapcore.Encoder
	conn    net.Conn
}

func newJournalCore(e zapcore.Encoder, level zapcore.LevelEnabler, socket string) (zapcore.Core, error) {
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return nil, fmt.Errorf("can't find journal (%w)", err)
	}
	return &journalCore{LevelEnabler: level, encoder: e, conn: conn}, nil
}

func (c *journalCore) With(fields []zapcore.Field) zapcore.Core {
	e := c.encoder.Clone()
	for _, f := range fields {
		f.AddTo(e)
	}
	return &journalCore{LevelEnabler: c.LevelEnabler, encoder: e, conn: c.conn}
}

func (c *journalCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *journalCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	line, err := c.encoder.EncodeEntry(e, fields)
	if err != nil {
		return err
	}
	defer line.Free()
	pkg, _, _ := strings.Cut(e.Caller.TrimmedPath(), "/")
	var msg bytes.Buffer
	journalField(&msg, "PRIORITY", journalPriority(e.Level))
	journalField(&msg, "PACKAGE", pkg)
	journalField(&msg, "SYSLOG_IDENTIFIER", "etcd")
	journalField(&msg, "MESSAGE", strings.TrimSuffix(line.String(), "\n"))
	_, err = c.conn.Write(msg.Bytes())
	return err
}

func (c *journalCore) Sync() error { return nil }

// journalField appends NAME=value, or the length-prefixed form that values
// with line breaks need.
func journalField(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	if strings.Contains(value, "\n") {
		b.WriteByte('\n')
		_ = binary.Write(b, binary.LittleEndian, uint64(len(value))) // a Buffer never fails
	} else {
		b.WriteByte('=')
	}
	b.WriteString(value)
	b.WriteByte('\n')
}

// journalPriority maps a level to syslog's.
func journalPriority(l zapcore.Level) string {
	switch l {
	case zapcore.DebugLevel:
		return "7"
	case zapcore.InfoLevel:
		return "6"
	case zapcore.WarnLevel:
		return "4"
	case zapcore.ErrorLevel:
		return "3"
	}
	return "2" // dpanic, panic, fatal
}
