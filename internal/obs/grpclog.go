package obs

import (
	"fmt"

	"go.uber.org/zap"
)

// GRPCLogger lets the gRPC library log through zap (grpclog.LoggerV2). It is
// used at debug level only; otherwise the library's warnings go to stderr as
// plain text, as etcd's do.
type GRPCLogger struct{ s *zap.SugaredLogger }

// NewGRPCLogger wraps lg.
func NewGRPCLogger(lg *zap.Logger) GRPCLogger {
	return GRPCLogger{lg.Named("grpc").WithOptions(zap.AddCallerSkip(2)).Sugar()}
}

func (g GRPCLogger) Info(args ...any)                    { g.s.Info(args...) }
func (g GRPCLogger) Infoln(args ...any)                  { g.s.Info(sprintln(args)) }
func (g GRPCLogger) Infof(format string, args ...any)    { g.s.Infof(format, args...) }
func (g GRPCLogger) Warning(args ...any)                 { g.s.Warn(args...) }
func (g GRPCLogger) Warningln(args ...any)               { g.s.Warn(sprintln(args)) }
func (g GRPCLogger) Warningf(format string, args ...any) { g.s.Warnf(format, args...) }
func (g GRPCLogger) Error(args ...any)                   { g.s.Error(args...) }
func (g GRPCLogger) Errorln(args ...any)                 { g.s.Error(sprintln(args)) }
func (g GRPCLogger) Errorf(format string, args ...any)   { g.s.Errorf(format, args...) }
func (g GRPCLogger) Fatal(args ...any)                   { g.s.Fatal(args...) }
func (g GRPCLogger) Fatalln(args ...any)                 { g.s.Fatal(sprintln(args)) }
func (g GRPCLogger) Fatalf(format string, args ...any)   { g.s.Fatalf(format, args...) }

// V says that everything may be logged; the zap level decides.
func (g GRPCLogger) V(int) bool { return true }

func sprintln(args []any) string {
	s := fmt.Sprintln(args...)
	return s[:len(s)-1]
}
