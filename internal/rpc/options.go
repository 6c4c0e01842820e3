package rpc

import (
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// recvOverheadBytes is how much larger than a raft request a message may be:
// the envelope that the limit on raft requests does not count.
const recvOverheadBytes = 512 << 10

// Limits is how a gRPC engine treats its connections.
type Limits struct {
	MaxRequestBytes      int           // of a raft request, --max-request-bytes
	MaxConcurrentStreams uint32        // of one connection
	KeepAliveMinTime     time.Duration // clients that ping more often are cut off; 0 is grpc's own limit
	KeepAliveInterval    time.Duration // idle time before the server pings; needs KeepAliveTimeout
	KeepAliveTimeout     time.Duration // wait for the answer to a ping
}

// ServerOptions sets up grpc-go for the services of Register. The observer may
// be nil.
func ServerOptions(l Limits, o Observer) []grpc.ServerOption {
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(NewCodec(o)),
		grpc.MaxRecvMsgSize(l.MaxRequestBytes + recvOverheadBytes),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(l.MaxConcurrentStreams),
	}
	if l.KeepAliveMinTime > 0 {
		opts = append(opts, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             l.KeepAliveMinTime,
			PermitWithoutStream: false,
		}))
	}
	if l.KeepAliveInterval > 0 && l.KeepAliveTimeout > 0 {
		opts = append(opts, grpc.KeepaliveParams(keepalive.ServerParameters{
			Time:    l.KeepAliveInterval,
			Timeout: l.KeepAliveTimeout,
		}))
	}
	return opts
}
