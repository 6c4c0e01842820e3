package obs

import (
	"fmt"
	"io"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/natefinch/lumberjack.v2"

	"keelson/internal/clock"
)

// LogOptions says what is logged where.
type LogOptions struct {
	Level   string // debug, info, warn, error, dpanic, panic, fatal
	Format  string // json or console
	Outputs []string
	// Rotate lets the one file in Outputs be rotated.
	Rotate     bool
	MaxSizeMB  int
	MaxAgeDays int
	MaxBackups int
	LocalTime  bool
	Compress   bool
	Clock      clock.Clock
	// Stderr is where "default" and "stderr" go; nil is the process's own.
	Stderr io.Writer
}

// timeLayout has microseconds, and Z or a numeric zone without colon.
const timeLayout = "2006-01-02T15:04:05.000000Z0700"

// Of lines with equal level and message, so many a second are kept before only
// every so-many-th is: a fault that repeats must not fill the disk.
const (
	sampleFirst      = 100
	sampleThereafter = 100
)

// Names of outputs that are not files.
const (
	outDefault = "default"
	outStderr  = "stderr"
	outStdout  = "stdout"
	outJournal = "systemd/journal"
	outNull    = "/dev/null"
)

// NewLogger builds the logger. close flushes it and closes the files it
// opened; call it last.
func NewLogger(o LogOptions) (lg *zap.Logger, close func(), err error) {
	level, err := zapcore.ParseLevel(o.Level)
	if err != nil {
		return nil, nil, err
	}
	encoder, err := newEncoder(o.Format)
	if err != nil {
		return nil, nil, err
	}
	var core zapcore.Core
	stop := func() {}
	switch {
	case slices.Contains(o.Outputs, outNull):
		core = zapcore.NewNopCore()
	case slices.Contains(o.Outputs, outJournal):
		if core, err = newJournalCore(encoder, level, journalSocket); err != nil {
			return nil, nil, err
		}
	default:
		sink, done, err := openSink(o)
		if err != nil {
			return nil, nil, err
		}
		stop = done
		core = zapcore.NewCore(encoder, sink, level)
	}
	lg = zap.New(core, loggerOptions(o.Clock)...)
	return lg, func() {
		_ = lg.Sync() // a terminal cannot be synced; there is nobody to tell
		stop()
	}, nil
}

// NewLoggerTo is the same logger into a writer, for tests and for the lines
// that must be said before the configuration is known.
func NewLoggerTo(w io.Writer, level zapcore.Level, c clock.Clock) *zap.Logger {
	encoder := zapcore.NewJSONEncoder(encoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level), loggerOptions(c)...)
}

func loggerOptions(c clock.Clock) []zap.Option {
	return []zap.Option{
		zap.AddCaller(),
		zap.AddStacktrace(zapcore.ErrorLevel),
		zap.WithClock(zapClock{zapcore.DefaultClock, c}),
		zap.WrapCore(func(core zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(core, time.Second, sampleFirst, sampleThereafter)
		}),
	}
}

func encoderConfig() zapcore.EncoderConfig {
	return zapcore.EncoderConfig{
		LevelKey:       "level",
		TimeKey:        "ts",
		NameKey:        "logger",
		CallerKey:      "caller",
		MessageKey:     "msg",
		StacktraceKey:  "stacktrace",
		LineEnding:     zapcore.DefaultLineEnding,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeTime:     zapcore.TimeEncoderOfLayout(timeLayout),
		EncodeDuration: zapcore.StringDurationEncoder,
		EncodeCaller:   zapcore.ShortCallerEncoder,
	}
}

func newEncoder(format string) (zapcore.Encoder, error) {
	switch format {
	case "json":
		return zapcore.NewJSONEncoder(encoderConfig()), nil
	case "console":
		return zapcore.NewConsoleEncoder(encoderConfig()), nil
	}
	return nil, fmt.Errorf("unknown log format: %s, supported values json, console", format)
}

// openSink opens every output; lines go to all of them.
func openSink(o LogOptions) (zapcore.WriteSyncer, func(), error) {
	var paths []string
	var others []zapcore.WriteSyncer
	var rotated *lumberjack.Logger
	for _, out := range o.Outputs {
		if out == outDefault {
			out = outStderr
		}
		switch {
		case out == outStderr && o.Stderr != nil:
			others = append(others, zapcore.Lock(zapcore.AddSync(o.Stderr)))
		case out == outStderr || out == outStdout || !o.Rotate:
			paths = append(paths, out)
		default:
			rotated = &lumberjack.Logger{
				Filename: out, MaxSize: o.MaxSizeMB, MaxAge: o.MaxAgeDays,
				MaxBackups: o.MaxBackups, LocalTime: o.LocalTime, Compress: o.Compress,
			}
			others = append(others, zapcore.Lock(zapcore.AddSync(rotated)))
		}
	}
	sink, closeFiles, err := zap.Open(paths...)
	if err != nil {
		return nil, nil, err
	}
	return zapcore.NewMultiWriteSyncer(append(others, sink)...), func() {
		closeFiles()
		if rotated != nil {
			_ = rotated.Close() // the last line is written already
		}
	}, nil
}

// zapClock stamps lines by our clock; the tickers zap asks for serve buffered
// writers, which are not used here.
type zapClock struct {
	zapcore.Clock
	clock clock.Clock
}

func (z zapClock) Now() time.Time { return z.clock.Now() }
