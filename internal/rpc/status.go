package rpc

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"keelson/internal/errs"
)

// toStatus turns an error into what the client is told. Clients recognise
// errors by text, so a refusal's own text is sent, without what it was wrapped
// in for the log.
func toStatus(err error) *status.Status {
	var refusal *errs.Error
	var hasStatus interface{ GRPCStatus() *status.Status }
	switch {
	case errors.As(err, &refusal):
		return status.New(codes.Code(refusal.Code), refusal.Text)
	case errors.As(err, &hasStatus):
		return hasStatus.GRPCStatus()
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, context.Canceled.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, context.DeadlineExceeded.Error())
	}
	return status.New(codes.Unknown, err.Error())
}

// How grpc-go starts the text of a decoding error: in every stream, and, before
// it handled unary calls as streams, in unary calls.
const (
	streamDecodePrefix = "grpc: failed to unmarshal the received message: "
	unaryDecodePrefix  = "grpc: error unmarshalling request: "
)

// unaryDecodeError gives the error of an engine that could not read a unary
// request the text that clients have always seen.
func unaryDecodeError(err error) error {
	st, ok := status.FromError(err)
	if !ok {
		return status.Error(codes.Internal, unaryDecodePrefix+err.Error())
	}
	if text, found := strings.CutPrefix(st.Message(), streamDecodePrefix); found {
		return status.Error(st.Code(), unaryDecodePrefix+text)
	}
	return err
}
