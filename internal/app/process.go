package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"path"
	"slices"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/grpclog"

	"keelson/internal/clock"
	"keelson/internal/config"
	"keelson/internal/obs"
	"keelson/internal/vfs"
)

// System is what a process gets from its operating system. The command fills
// it in; tests use their own.
type System struct {
	Args           []string // with the program's name
	Environ        []string
	PID            int
	Stdout, Stderr io.Writer
	Build          config.Build
	ReadFile       func(name string) ([]byte, error)
	// Signals installs handlers for SIGINT and SIGTERM. It is called once, when
	// the member is ready: before that a signal simply ends the process.
	Signals func() <-chan syscall.Signal
	// Notify tells the init daemon; it does nothing without one.
	Notify func(state string) error
	FS     vfs.FS
	Clock  clock.Clock
}

// Running is a member with its listeners.
type Running interface {
	// Ready is closed when the member has announced itself and serves clients.
	Ready() <-chan struct{}
	// Done is closed when it has stopped by itself.
	Done() <-chan struct{}
	// Err tells why, after Done; nil means that it was removed from the
	// cluster.
	Err() error
	// Close stops everything in order and returns when it has.
	Close()
}

// StartFunc recovers or founds the member and binds its listeners. It returns
// before the member is ready.
type StartFunc func(ctx context.Context, cfg *config.Config, out Outside) (Running, error)

// Exit is how the process has to end.
type Exit struct {
	Code int
	// Signal, if not 0, is to be raised again with its default action, so that
	// whoever waits for the process sees what killed it.
	Signal syscall.Signal
}

// Main is the process from its arguments to its end. It prints and logs, and
// leaves the ending to the caller.
func Main(ctx context.Context, sys System, start StartFunc) Exit {
	line, ok := config.CheckArch(sys.Build.Arch, sys.Environ)
	fmt.Fprint(sys.Stdout, line)
	if !ok {
		return Exit{Code: 1}
	}
	if line, ok := config.SubCommand(sys.Args[1:]); ok {
		fmt.Fprint(sys.Stderr, line)
		return Exit{Code: 1}
	}
	cfg, out := config.Parse(config.Input{
		Args: sys.Args[1:], Environ: sys.Environ, ReadFile: sys.ReadFile, Build: sys.Build,
	})
	if out.Done {
		fmt.Fprint(sys.Stderr, out.Stderr)
		fmt.Fprint(sys.Stdout, out.Stdout)
		return Exit{Code: out.Code}
	}
	lg, closeLog, err := obs.NewLogger(logOptions(cfg.Log, sys))
	if err != nil {
		out.Err = err
		lg, closeLog = obs.NewLoggerTo(sys.Stderr, zap.InfoLevel, sys.Clock), func() {}
	}
	defer closeLog()
	lg = lg.WithOptions(zap.WithFatalHook(stayAlive{}))

	lg.Info("Running: ", zap.Strings("args", sys.Args))
	for _, n := range out.Notes {
		lg.Log(n.Level, n.Msg, n.Fields...)
	}
	switch {
	case out.Fatal != nil:
		lg.Log(zap.FatalLevel, out.Fatal.Msg, out.Fatal.Fields...)
		return Exit{Code: 1}
	case out.Err != nil:
		lg.Warn("failed to verify flags", zap.Error(out.Err))
		if errors.Is(out.Err, config.ErrAdvertiseRequired) {
			lg.Warn("advertise client URLs are not set", zap.Error(out.Err))
		}
		return Exit{Code: 1}
	}
	return runMember(ctx, sys, cfg, lg, start)
}

// runMember starts the member and waits for its end or for a signal.
func runMember(ctx context.Context, sys System, cfg config.Config, lg *zap.Logger, start StartFunc) Exit {
	setGRPCLog(cfg.Log, lg, sys.Stderr)
	cfg = useDefaultHost(cfg, lg)
	if exit, ok := lookAtDataDir(sys.FS, cfg.DataDir, lg); !ok {
		return exit
	}
	m, err := start(ctx, &cfg, Outside{
		FS: sys.FS, Clock: sys.Clock, Logger: lg, Metrics: newMetrics(cfg, sys.Clock),
		Rand:   rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		Lookup: net.DefaultResolver.LookupHost, Args: sys.Args,
	})
	if err != nil {
		lg.Fatal("discovery failed", zap.Error(err)) // etcd's line for every failed start
		return Exit{Code: 1}
	}
	select {
	case <-m.Ready():
	case <-m.Done():
		return stoppedItself(m, lg, 1)
	}
	signals := sys.Signals()
	notifyReady(sys.Notify, lg)
	select {
	case <-m.Done():
		return stoppedItself(m, lg, 0)
	case sig := <-signals:
		lg.Info("received signal; shutting down", zap.Stringer("signal", sig))
		m.Close()
		if sys.PID == 1 { // the kernel ignores a default action there
			return Exit{}
		}
		return Exit{Signal: sig}
	}
}

// stoppedItself: a listener or the storage failed, or the member was removed
// from its cluster, which is no failure once it served.
func stoppedItself(m Running, lg *zap.Logger, removedCode int) Exit {
	err := m.Err()
	m.Close()
	if err != nil {
		lg.Fatal("listener failed", zap.Error(err))
		return Exit{Code: 1}
	}
	return Exit{Code: removedCode}
}

func notifyReady(notify func(state string) error, lg *zap.Logger) {
	lg.Info("notifying init daemon")
	if err := notify("READY=1"); err != nil {
		lg.Error("failed to notify systemd for readiness", zap.Error(err))
		return
	}
	lg.Info("successfully notified init daemon")
}

// stayAlive lets a fatal line be logged without zap ending the process: only
// the command does that.
type stayAlive struct{}

func (stayAlive) OnWrite(*zapcore.CheckedEntry, []zapcore.Field) {}

func logOptions(l config.Log, sys System) obs.LogOptions {
	return obs.LogOptions{
		Level: l.Level, Format: l.Format, Outputs: l.Outputs,
		Rotate: l.Rotate, MaxSizeMB: l.Rotation.MaxSizeMB, MaxAgeDays: l.Rotation.MaxAgeDays,
		MaxBackups: l.Rotation.MaxBackups, LocalTime: l.Rotation.LocalTime, Compress: l.Rotation.Compress,
		Clock: sys.Clock, Stderr: sys.Stderr,
	}
}

// setGRPCLog: the gRPC library has one logger per process. At debug level it
// is ours, otherwise its warnings are plain text.
func setGRPCLog(l config.Log, lg *zap.Logger, stderr io.Writer) {
	if l.Debug() {
		grpclog.SetLoggerV2(obs.NewGRPCLogger(lg))
		return
	}
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, stderr, stderr))
}

// newMetrics makes the member's own registry and fills in what only the
// configuration knows.
func newMetrics(cfg config.Config, c clock.Clock) *obs.Metrics {
	o := obs.MetricsOptions{ServerVersion: config.Version, Extensive: cfg.HTTP.ExtensiveMetrics(), Clock: c}
	for _, g := range config.KnownGates() {
		o.Features = append(o.Features, obs.Feature{Name: g.Name, Stage: g.Stage, Enabled: cfg.Gates.Enabled(g.Name)})
	}
	m := obs.NewMetrics(prometheus.NewRegistry(), o)
	quota, limited := cfg.Storage.Quota()
	if !limited {
		quota = cfg.Storage.QuotaBytes
	}
	m.Server.QuotaBytes.Set(float64(quota))
	return m
}

// useDefaultHost advertises the host's own address where the configuration
// says "all addresses" and nothing else.
func useDefaultHost(cfg config.Config, lg *zap.Logger) config.Config {
	if !cfg.WantsDefaultHost() {
		return cfg
	}
	host, err := defaultHost()
	if err != nil {
		lg.Info("failed to detect default host", zap.Error(err))
		return cfg
	}
	lg.Info("detected default host for advertise", zap.String("host", host))
	return cfg.UseDefaultHost(host)
}

// defaultHost is the address this host sends from towards the world: that of
// the default route, IPv4 first. Connecting a datagram socket asks the kernel
// and sends nothing; the two addresses are reserved for documentation.
func defaultHost() (string, error) {
	var errs []error
	for _, to := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		c, err := net.Dial("udp", to)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		host, _, err := net.SplitHostPort(c.LocalAddr().String())
		return host, errors.Join(err, c.Close())
	}
	return "", errors.Join(errs...)
}

// lookAtDataDir says what the data directory holds. ok is false when the
// process must end.
func lookAtDataDir(files vfs.FS, dir string, lg *zap.Logger) (exit Exit, ok bool) {
	names, err := files.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		lg.Fatal("failed to list data directory", zap.String("dir", dir), zap.Error(err))
		return Exit{Code: 1}, false
	}
	hasMember, hasProxy := slices.Contains(names, "member"), slices.Contains(names, "proxy")
	for _, name := range names {
		if name != "member" && name != "proxy" {
			lg.Warn("found invalid file under data directory", zap.String("filename", path.Join(dir, name)), zap.String("data-dir", dir))
		}
	}
	switch {
	case hasMember && hasProxy:
		lg.Fatal("invalid datadir; both member and proxy directories exist")
		return Exit{Code: 1}, false
	case hasProxy:
		lg.Error("v2 http proxy has already been deprecated in 3.6", zap.String("dir-type", "proxy"))
		return Exit{Code: 2}, false // etcd panics
	case hasMember:
		lg.Info("server has already been initialized", zap.String("data-dir", dir), zap.String("dir-type", "member"))
	default:
		lg.Info("Initialize and start etcd server", zap.String("data-dir", dir), zap.String("dir-type", "empty"))
	}
	return Exit{}, true
}
