// Package errs is the one table of what a client can be told: every error a
// request may be refused with, its gRPC code and its exact text. Packages
// return these values, wrapped where more context helps the log; the RPC layer
// finds them with errors.As and sends code and text unchanged, because clients
// recognise errors by text. It imports nothing and owns nothing.
package errs
