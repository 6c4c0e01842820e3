package rpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"keelson/internal/errs"
	"keelson/internal/watch"
	"keelson/internal/wire"
)

// watchService is etcdserverpb.Watch. A stream has two goroutines:
//
//	receiver: RecvMsg -> Create, Cancel, Progress     ends with the stream
//	sender:   Next    -> SendMsg                      the engine's own
//
// The client closing its half ends the receiver only: watchers live on. What
// is wrong with one watcher is told in a response, never by ending the stream.
type watchService struct {
	watch Watch
	info  Info
}

func (s *watchService) watchKeys(ss grpc.ServerStream) error {
	ctx, end := context.WithCancelCause(ss.Context())
	defer end(nil)
	stream := s.watch.NewStream(ctx)
	defer stream.Close()

	// The engine lets RecvMsg go when this function has returned, so the
	// receiver cannot be waited for here; it touches nothing but the stream,
	// which allows calls after Close.
	go func() {
		if err := receiveWatchRequests(ss, stream); err != nil {
			end(err)
		}
	}()
	err := s.sendWatchResponses(ctx, ss, stream)
	return watchEnd(ctx, err)
}

// receiveWatchRequests feeds requests to the stream in arrival order. It
// returns nil when the client has closed its half.
func receiveWatchRequests(ss grpc.ServerStream, stream WatchStream) error {
	for {
		var req wire.WatchRequest
		if err := ss.RecvMsg(&req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case req.Create != nil:
			stream.Create(createRequest(req.Create))
		case req.Cancel != nil:
			stream.Cancel(req.Cancel.WatchID)
		case req.Progress:
			stream.Progress()
		}
	}
}

func createRequest(r *wire.WatchCreateRequest) watch.CreateRequest {
	out := watch.CreateRequest{
		KeyRange:       r.Range(),
		StartRev:       r.StartRevision,
		WatchID:        r.WatchID,
		ProgressNotify: r.ProgressNotify,
		PrevKV:         r.PrevKV,
		Fragment:       r.Fragment,
	}
	for _, f := range r.Filters {
		switch f {
		case wire.FilterNoPut:
			out.NoPut = true
		case wire.FilterNoDelete:
			out.NoDelete = true
		}
	}
	return out
}

func (s *watchService) sendWatchResponses(ctx context.Context, ss grpc.ServerStream, stream WatchStream) error {
	for {
		resp, err := stream.Next(ctx)
		if err != nil {
			return err
		}
		header := s.info.Header()
		header.Revision = resp.HeaderRevision
		msg := wire.WatchResponse{
			Header:          header,
			WatchID:         resp.WatchID,
			Created:         resp.Created,
			Canceled:        resp.Canceled,
			Fragment:        resp.Fragment,
			CompactRevision: resp.CompactRevision,
			CancelReason:    resp.CancelReason,
			Events:          resp.Events,
		}
		if err := ss.SendMsg(msg.Frame()); err != nil {
			return err
		}
	}
}

// watchEnd decides how the stream ends: by what ended its context, if that is
// over, else by what the sender met. A client that goes away is told that its
// watch is cancelled, not its request.
func watchEnd(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, watch.ErrClosed) {
		return errs.ErrStopped
	}
	if errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled {
		return errs.ErrWatchCanceled
	}
	return err
}

// watcherGone returns the error of a watcher that a response says is over, in
// the words clients use for it, and nil for every other response.
func watcherGone(resp watch.Response) error {
	switch {
	case !resp.Canceled:
		return nil
	case resp.CompactRevision != 0:
		return errs.ErrCompacted
	case resp.CancelReason != "":
		return errs.New(errs.Unknown, resp.CancelReason)
	}
	return errs.ErrFutureRev
}
