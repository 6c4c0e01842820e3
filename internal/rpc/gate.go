package rpc

import (
	"context"
	"unicode/utf8"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"

	"keelson/internal/errs"
	"keelson/internal/wire"
)

// Request metadata that the gate reads.
const (
	metaHasLeader     = "hasleader" // "true": refuse me while there is no leader
	metaClientVersion = "client-api-version"
	unknownVersion    = "unknown" // of a client that does not say
)

// gate holds the checks that every call passes before its method.
type gate struct {
	info     Info
	leader   LeaderMonitor
	observer Observer
}

// admitUnary checks a unary call whose request is decoded.
func (g *gate) admitUnary(ctx context.Context, req any) error {
	if !g.info.IsCapable() {
		return errs.ErrNotCapable
	}
	if g.info.IsLearner() && !learnerServes(req) {
		return errs.ErrNotSupportedForLearner
	}
	_, err := g.admitClient(ctx, Unary)
	return err
}

// learnerServes reports whether a member without a vote may answer: only what
// never pretends to be the cluster's word.
func learnerServes(req any) bool {
	switch r := req.(type) {
	case *pb.StatusRequest:
		return true
	case *wire.RangeRequest:
		return r.Serializable
	}
	return false
}

// admitStream checks a stream before its first message. The context it returns
// ends early, with errs.ErrNoLeader as its cause, when the client wants a
// leader and there is none for a while; end must be called when the stream is
// over.
func (g *gate) admitStream(ctx context.Context, kind MethodKind, learnerServes bool) (_ context.Context, end func(), err error) {
	if !g.info.IsCapable() {
		return nil, nil, errs.ErrNotCapable
	}
	if g.info.IsLearner() && !learnerServes {
		return nil, nil, errs.ErrNotSupportedForLearner
	}
	wantsLeader, err := g.admitClient(ctx, kind)
	if err != nil {
		return nil, nil, err
	}
	if !wantsLeader {
		return ctx, func() {}, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	unregister := g.leader.Register(func() { cancel(errs.ErrNoLeader) })
	return ctx, func() { unregister(); cancel(nil) }, nil
}

// admitClient looks at what the client says of itself.
func (g *gate) admitClient(ctx context.Context, kind MethodKind) (wantsLeader bool, err error) {
	version := unknownVersion
	if vs := metadata.ValueFromIncomingContext(ctx, metaClientVersion); len(vs) > 0 {
		version = vs[0]
	}
	if !utf8.ValidString(version) {
		return false, errs.ErrInvalidClientAPIVersion
	}
	g.observer.ClientRequest(kind, version)
	vs := metadata.ValueFromIncomingContext(ctx, metaHasLeader)
	wantsLeader = len(vs) > 0 && vs[0] == "true"
	if wantsLeader && !g.info.HasLeader() {
		return wantsLeader, errs.ErrNoLeader
	}
	return wantsLeader, nil
}
