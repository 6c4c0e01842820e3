package ctl

import (
	"errors"
	"fmt"
)

// Exit codes. Scripts depend on them.
const (
	exitOK          = 0
	exitError       = 1   // the server refused, time ran out, or cobra refused the command line
	exitConnection  = 2   // no client could be made; also the lease queries' refusals
	exitInput       = 3   // what was read from stdin is not understood
	exitUnsupported = 4   // a known flag with a value that cannot be served
	exitInterrupted = 5   // the server ended a watch; a snapshot was not saved
	exitArguments   = 128 // wrong arguments, unusable TLS files
)

// failure is an error that asks for an exit code. A nil err means that the
// command has already said what went wrong.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit code %d", f.code)
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

func fail(code int, err error) error { return &failure{code: code, err: err} }

func failf(code int, format string, args ...any) error {
	return &failure{code: code, err: fmt.Errorf(format, args...)}
}

// badArguments is the answer to a wrong number or kind of arguments.
func badArguments(format string, args ...any) error { return failf(exitArguments, format, args...) }

// silent ends the process with a code after the command has reported for itself.
func silent(code int) error { return &failure{code: code} }

// asFailure gives every error a code: plain errors are refusals by the server.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{code: exitError, err: err}
}
