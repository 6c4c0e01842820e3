package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Input is all that Parse looks at.
type Input struct {
	Args     []string // without the program's name
	Environ  []string // "KEY=VALUE", as os.Environ returns them
	ReadFile func(name string) ([]byte, error)
	Build    Build
}

// Note is a line for the log, kept until there is a logger.
type Note struct {
	Level  zapcore.Level
	Msg    string
	Fields []zap.Field
}

// Outcome says what became of the input besides the Config. At most one of
// Done, Err and Fatal is set; with none of them the member can start.
type Outcome struct {
	// Done: nothing is to be started and nothing logged. Print Stdout and
	// Stderr and end with Code.
	Done           bool
	Code           int
	Stdout, Stderr string
	// Notes are logged in order, before Err or Fatal.
	Notes []Note
	// Err is a refused configuration: log it as "failed to verify flags" and
	// end with 1. Log holds what can be used of the logging options.
	Err error
	// Fatal is a line to log at fatal level before ending with 1.
	Fatal *Note
}

// ErrAdvertiseRequired is the refusal etcd explains with a line of its own.
var ErrAdvertiseRequired = errors.New("--advertise-client-urls is required when --listen-client-urls is set explicitly")

// parser is the state of one Parse.
type parser struct {
	in    Input
	c     Config
	table []setting
	flags *flag.FlagSet
	// given holds the flag names (or file keys) the operator set.
	given map[string]bool
	// fromFile: names in messages are file keys, not flags.
	fromFile bool
	notes    []Note
}

func (p *parser) note(level zapcore.Level, msg string, fields ...zap.Field) {
	p.notes = append(p.notes, Note{level, msg, fields})
}

// Parse reads the command line, then either the configuration file or the
// environment, and checks the result.
func Parse(in Input) (Config, Outcome) {
	p := &parser{in: in, c: Default(), given: map[string]bool{}}
	p.table = settings(&p.c)

	var file string
	var version bool
	var stderr strings.Builder
	p.flags = p.flagSet(&stderr, &file, &version)
	if err := p.flags.Parse(in.Args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return p.c, Outcome{Done: true, Stderr: stderr.String(), Stdout: HelpText()}
		}
		return p.c, Outcome{Done: true, Code: 2, Stderr: stderr.String()}
	}
	if word := p.flags.Arg(0); p.flags.NArg() > 0 {
		return p.c, Outcome{Err: fmt.Errorf("%q is not a valid flag", word)}
	}
	if version {
		return p.c, Outcome{Done: true, Stdout: in.Build.VersionText()}
	}

	if file == "" {
		file = getenv(in.Environ, "ETCD_CONFIG_FILE")
	}
	var out Outcome
	if file != "" {
		out = p.readFile(file)
	} else {
		out = p.readEnv()
	}
	if !out.Done && out.Fatal == nil && out.Err == nil {
		out = p.finish()
	}
	out.Notes = p.notes
	return p.c, out
}

// flagSet registers the table and the two flags that are not settings.
func (p *parser) flagSet(stderr io.Writer, file *string, version *bool) *flag.FlagSet {
	fs := flag.NewFlagSet("etcd", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { fmt.Fprintln(stderr, "\n"+UsageText()) }
	for _, s := range p.table {
		if s.name != "" {
			fs.Var(s.option, s.name, s.help)
		}
	}
	fs.StringVar(file, "config-file", "", "")
	fs.BoolVar(version, "version", false, "")
	return fs
}

// getenv returns the first value of a variable, as the C library does.
func getenv(environ []string, key string) string {
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && k == key {
			return v
		}
	}
	return ""
}

// envName is the variable of a flag.
func envName(flagName string) string {
	return "ETCD_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// readEnv fills in from the environment what the command line left open.
func (p *parser) readEnv() Outcome {
	if v := getenv(p.in.Environ, "ETCD_VERSION"); v != "" {
		p.note(zap.WarnLevel, "cannot set special environment variable",
			zap.String("key", "ETCD_VERSION"), zap.String("value", v))
		p.in.Environ = slices.DeleteFunc(slices.Clone(p.in.Environ), func(kv string) bool {
			return strings.HasPrefix(kv, "ETCD_VERSION=")
		})
	}
	onCommandLine := map[string]bool{}
	p.flags.Visit(func(f *flag.Flag) { onCommandLine[envName(f.Name)] = true })

	used := map[string]bool{}
	var bad error
	p.flags.VisitAll(func(f *flag.Flag) {
		key := envName(f.Name)
		value := getenv(p.in.Environ, key)
		if onCommandLine[key] || value == "" {
			return
		}
		used[key] = true
		if err := p.flags.Set(f.Name, value); err != nil {
			bad = fmt.Errorf("invalid value %q for %s: %w", value, key, err)
			return
		}
		if f.Name == "discovery-password" {
			value = "***" // a secret has no place in a log
		}
		p.note(zap.InfoLevel, "recognized and used environment variable",
			zap.String("variable-name", key), zap.String("variable-value", value))
	})
	if fatal := p.checkUnusedEnv(used, onCommandLine); fatal != nil {
		return Outcome{Fatal: fatal}
	}
	p.flags.Visit(func(f *flag.Flag) { p.given[f.Name] = true })
	return Outcome{Err: bad}
}

// checkUnusedEnv warns about variables that mean nothing to us. One that a
// flag shadows is fatal: etcd does not decide which of the two was meant.
func (p *parser) checkUnusedEnv(used, onCommandLine map[string]bool) *Note {
	for _, kv := range p.in.Environ {
		key, _, ok := strings.Cut(kv, "=")
		switch {
		case !ok:
			p.note(zap.WarnLevel, "found invalid environment variable", zap.String("environment-variable", kv))
		case used[key]:
		case onCommandLine[key]:
			return &Note{zap.FatalLevel,
				"conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))",
				[]zap.Field{zap.String("environment-variable", key)}}
		case strings.HasPrefix(key, "ETCD_"):
			p.note(zap.WarnLevel, "unrecognized environment variable", zap.String("environment-variable", kv))
		}
	}
	return nil
}
