package ctl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const envPrefix = "ETCDCTL_"

// Variables that only the watch command reads.
const (
	envWatchKey      = envPrefix + "WATCH_KEY"
	envWatchRangeEnd = envPrefix + "WATCH_RANGE_END"
)

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// applyEnviron gives the inherited flags that stand in the environment their
// values. A flag that stands in both places is a conflict even when the two agree:
// nobody shall wonder which one counts. Flags of the command itself have no variable.
func (c *ctl) applyEnviron(cmd *cobra.Command) error {
	known := map[string]bool{}
	if cmd.Name() == "watch" {
		known[envWatchKey], known[envWatchRangeEnd] = true, true
	}
	present := map[string]bool{}
	for _, entry := range c.Environ {
		name, _, _ := strings.Cut(entry, "=")
		present[name] = true
	}

	conflict := ""
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		name := envName(f.Name)
		known[name] = true
		switch value := c.getenv(name); {
		case f.Changed && present[name]:
			if conflict == "" {
				conflict = name
			}
		case value != "" && !f.Changed:
			// A value that does not parse counts as unset, as it always has.
			_ = cmd.InheritedFlags().Set(f.Name, value)
		}
	})
	if conflict != "" {
		c.logFatal("conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))",
			zap.String("environment-variable", conflict))
		return silent(exitError)
	}

	for _, entry := range c.Environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix) && !known[name] {
			c.logger(zapcore.WarnLevel).Warn("unrecognized environment variable",
				zap.String("environment-variable", entry))
		}
	}
	return nil
}

// dumpSettings is the first part of --debug.
func (c *ctl) dumpSettings(cmd *cobra.Command) {
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		value := f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			value = fmt.Sprint(list.GetSlice())
		}
		fmt.Fprintf(c.Stderr, "%s=%s\n", envName(f.Name), value)
	})
}

// logger writes JSON lines to stderr.
func (c *ctl) logger(level zapcore.Level) *zap.Logger {
	return zap.New(c.logCore(level), zap.AddCaller(), zap.WithClock(zapClock{c.Clock}))
}

// logFatal writes a line of level fatal. zap's own Fatal would end the process.
func (c *ctl) logFatal(message string, fields ...zap.Field) {
	entry := zapcore.Entry{Level: zapcore.FatalLevel, Time: c.Clock.Now().UTC(), Message: message}
	_ = c.logCore(zapcore.FatalLevel).Write(entry, fields) // nowhere to report a broken stderr
}

func (c *ctl) logCore(level zapcore.Level) zapcore.Core {
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000000Z0700")
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	return zapcore.NewCore(zapcore.NewJSONEncoder(cfg), zapcore.AddSync(c.Stderr), level)
}
