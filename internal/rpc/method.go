package rpc

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"keelson/internal/errs"
)

// service collects the methods of one gRPC service. Each call passes
//
//	decode -> gate -> observer -> method
//
// and what the method returns becomes a message or a status.
type service struct {
	gate *gate
	desc grpc.ServiceDesc
}

func newService(g *gate, name string) *service {
	return &service{gate: g, desc: grpc.ServiceDesc{
		ServiceName: name,
		HandlerType: (*any)(nil), // the methods carry their receivers
	}}
}

func (s *service) observe(method string, kind MethodKind) MethodObserver {
	return s.gate.observer.Method(s.desc.ServiceName, method, kind)
}

// register hands the collected methods to an engine.
func (s *service) register(r grpc.ServiceRegistrar) { r.RegisterService(&s.desc, struct{}{}) }

// unary adds a method with one request and one response.
func unary[Req, Resp any](s *service, name string, call func(context.Context, *Req) (Resp, error)) {
	observer := s.observe(name, Unary)
	info := &grpc.UnaryServerInfo{FullMethod: "/" + s.desc.ServiceName + "/" + name}
	run := func(ctx context.Context, req any) (any, error) {
		if err := s.gate.admitUnary(ctx, req); err != nil {
			return nil, toStatus(err).Err()
		}
		started := observer.Started()
		observer.Received()
		resp, err := call(ctx, req.(*Req))
		if err != nil {
			st := toStatus(err)
			observer.Handled(st.Code(), started)
			return nil, st.Err()
		}
		observer.Sent()
		observer.Handled(codes.OK, started)
		return resp, nil
	}
	s.desc.Methods = append(s.desc.Methods, grpc.MethodDesc{
		MethodName: name,
		Handler: func(_ any, ctx context.Context, dec func(any) error, ic grpc.UnaryServerInterceptor) (any, error) {
			in := new(struct { // one allocation for both
				unaryRequest
				req Req
			})
			in.into = &in.req
			if err := dec(&in.unaryRequest); err != nil {
				return nil, err // the engine's own: too large, broken off
			}
			if in.err != nil {
				return nil, unaryDecodeError(in.err)
			}
			if ic == nil {
				return run(ctx, &in.req)
			}
			return ic(ctx, &in.req, info, run)
		},
	})
}

// stream adds a method that reads and sends as it likes. The method is given
// the stream with the gate's context.
func (s *service) stream(name string, kind MethodKind, learnerServes bool, call func(grpc.ServerStream) error) {
	observer := s.observe(name, kind)
	handler := func(_ any, ss grpc.ServerStream) error {
		ctx, end, err := s.gate.admitStream(ss.Context(), kind, learnerServes)
		if err != nil {
			return toStatus(err).Err()
		}
		defer end()
		started := observer.Started()
		err = call(&observedStream{ServerStream: ss, ctx: ctx, observer: observer})
		if err == nil {
			observer.Handled(codes.OK, started)
			return nil
		}
		if lost := context.Cause(ctx); errors.Is(lost, errs.ErrNoLeader) {
			err = lost
		}
		st := toStatus(err)
		observer.Handled(st.Code(), started)
		return st.Err()
	}
	s.desc.Streams = append(s.desc.Streams, grpc.StreamDesc{
		StreamName:    name,
		Handler:       handler,
		ServerStreams: true,
		ClientStreams: kind == BidiStream,
	})
}

// serverStream adds a method with one request and a stream of responses.
func serverStream[Req any](s *service, name string, learnerServes bool, call func(*Req, grpc.ServerStream) error) {
	s.stream(name, ServerStream, learnerServes, func(ss grpc.ServerStream) error {
		req := new(Req)
		if err := ss.RecvMsg(req); err != nil {
			return err
		}
		return call(req, ss)
	})
}

// observedStream is an engine's stream with the gate's context, counted.
type observedStream struct {
	grpc.ServerStream
	ctx      context.Context
	observer MethodObserver
}

func (s *observedStream) Context() context.Context { return s.ctx }

func (s *observedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		s.observer.Received()
	}
	return err
}

func (s *observedStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.observer.Sent()
	}
	return err
}
