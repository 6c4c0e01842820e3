package replica

import "go.uber.org/zap"

// raftLogger lets the raft library write to our log.
type raftLogger struct{ s *zap.SugaredLogger }

func (l raftLogger) Debug(v ...any)            { l.s.Debug(v...) }
func (l raftLogger) Debugf(f string, v ...any) { l.s.Debugf(f, v...) }
func (l raftLogger) Error(v ...any)            { l.s.Error(v...) }
func (l raftLogger) Errorf(f string, v ...any) { l.s.Errorf(f, v...) }
func (l raftLogger) Info(v ...any)             { l.s.Info(v...) }
func (l raftLogger) Infof(f string, v ...any)  { l.s.Infof(f, v...) }
func (l raftLogger) Warning(v ...any)          { l.s.Warn(v...) }
func (l raftLogger) Warningf(f string, v ...any) {
	l.s.Warnf(f, v...)
}
func (l raftLogger) Fatal(v ...any)            { l.s.Panic(v...) }
func (l raftLogger) Fatalf(f string, v ...any) { l.s.Panicf(f, v...) }
func (l raftLogger) Panic(v ...any)            { l.s.Panic(v...) }
func (l raftLogger) Panicf(f string, v ...any) { l.s.Panicf(f, v...) }
