package rpc

import (
	"context"
	"errors"

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

// unaryDecodeError tells a client that its request is not what the method
// takes. The words are those of grpc-go when etcd 3.7 was made.
func unaryDecodeError(err error) error {
	return status.Error(codes.Internal, "grpc: error unmarshalling request: "+err.Error())
}
