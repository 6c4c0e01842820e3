package rpc

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"

	"keelson/internal/base"
	"keelson/internal/watch"
	"keelson/internal/wire"
)

// The interfaces below are all that this package sees of the member. Their
// methods are called from many goroutines at once and may block until ctx
// ends. Refusals come back as *errs.Error, possibly wrapped; what is neither
// that nor a gRPC status nor an error of the context goes out as Unknown with
// its text. Requests alias memory that is theirs alone and never changes, so
// they may be kept. A returned frame belongs to the caller.

// Deps is the member behind the services.
type Deps struct {
	KV          KV
	Lease       Lease
	Watch       Watch
	Cluster     Cluster
	Maintenance Maintenance
	Info        Info
	Quota       Quota
	Leader      LeaderMonitor
	Observer    Observer // nil: nobody counts
	MaxTxnOps   int      // operations in one list of a transaction
}

// KV serves etcdserverpb.KV. Requests are valid by the rules that need no
// state; permissions, consistency and everything else are the server's.
type KV interface {
	Range(context.Context, *wire.RangeRequest) (*wire.Frame, error)
	// RangeStream calls send for each message, from one goroutine; an error of
	// send ends the stream with that error.
	RangeStream(ctx context.Context, r *wire.RangeRequest, send func(*wire.Frame) error) error
	Put(context.Context, *wire.PutRequest) (*wire.Frame, error)
	DeleteRange(context.Context, *wire.DeleteRangeRequest) (*wire.Frame, error)
	Txn(context.Context, *wire.TxnRequest) (*wire.Frame, error)
	Compact(context.Context, *wire.CompactionRequest) (*wire.Frame, error)
}

// Lease serves etcdserverpb.Lease.
type Lease interface {
	LeaseGrant(context.Context, *wire.LeaseGrantRequest) (*pb.LeaseGrantResponse, error)
	LeaseRevoke(context.Context, *wire.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error)
	// LeaseRenew returns the granted TTL in seconds. errs.ErrLeaseNotFound is
	// an answer (TTL 0), any other error ends the client's stream.
	LeaseRenew(ctx context.Context, id base.LeaseID) (ttl int64, err error)
	LeaseTimeToLive(context.Context, *wire.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error)
	LeaseLeases(context.Context) (*pb.LeaseLeasesResponse, error)
}

// Watch serves etcdserverpb.Watch.
type Watch interface {
	// NewStream opens the server side of one Watch stream. ctx carries the
	// client's metadata and ends with the stream.
	NewStream(ctx context.Context) WatchStream
}

// WatchStream is one Watch stream, as package watch makes it. Create, Cancel
// and Progress come from one goroutine and Next from another. Close may come
// while either runs, and once; the other calls may still follow it.
type WatchStream interface {
	Create(watch.CreateRequest)
	Cancel(id int64)
	Progress()
	// Next waits for what to send next. Its error is ctx's, or says why the
	// stream ends.
	Next(ctx context.Context) (watch.Response, error)
	Close()
}

// Cluster serves etcdserverpb.Cluster; peer URLs are not checked before.
type Cluster interface {
	MemberAdd(context.Context, *pb.MemberAddRequest) (*pb.MemberAddResponse, error)
	MemberRemove(context.Context, *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error)
	MemberUpdate(context.Context, *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error)
	MemberList(context.Context, *pb.MemberListRequest) (*pb.MemberListResponse, error)
	MemberPromote(context.Context, *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error)
}

// Maintenance serves etcdserverpb.Maintenance.
type Maintenance interface {
	Alarm(context.Context, *pb.AlarmRequest) (*pb.AlarmResponse, error)
	Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error)
	Defragment(context.Context, *pb.DefragmentRequest) (*pb.DefragmentResponse, error)
	Hash(context.Context, *pb.HashRequest) (*pb.HashResponse, error)
	HashKV(context.Context, *pb.HashKVRequest) (*pb.HashKVResponse, error)
	// Snapshot calls send for each message, from one goroutine; send has
	// encoded the message when it returns.
	Snapshot(ctx context.Context, r *pb.SnapshotRequest, send func(*pb.SnapshotResponse) error) error
	MoveLeader(context.Context, *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error)
	Downgrade(context.Context, *pb.DowngradeRequest) (*pb.DowngradeResponse, error)
}

// Info is what the member knows about itself. The methods never block.
type Info interface {
	// Header has all four fields; the revision is the store's current one.
	Header() wire.ResponseHeader
	HasLeader() bool
	IsLearner() bool
	// IsCapable is false while the cluster's version is one that this program
	// does not know.
	IsCapable() bool
}

// Quota guards the space quota. CheckQuota is called with the bytes a request
// may cost (more than 0), before the request is looked at any further; it
// raises the alarm when it refuses.
type Quota interface {
	CheckQuota(ctx context.Context, cost int64) error
}

// LeaderMonitor ends streams whose client asked for a leader.
type LeaderMonitor interface {
	// Register makes the monitor call lost once, when no leader was known for
	// three polls in a row. unregister may be called at any time.
	Register(lost func()) (unregister func())
}

// Observer counts what passes. Method is called once for each method when the
// services are registered, the rest from many goroutines.
type Observer interface {
	Method(service, method string, kind MethodKind) MethodObserver
	// ClientRequest counts a request by what the client says of itself; an
	// absent version is "unknown".
	ClientRequest(kind MethodKind, clientAPIVersion string)
	// BytesReceived and BytesSent count encoded messages, without framing.
	BytesReceived(n int)
	BytesSent(n int)
}

// MethodObserver counts one method's calls. Calls that the checks before the
// method refuse are not counted.
type MethodObserver interface {
	// Started returns the time that Handled gets back; an observer that does
	// not measure durations returns the zero time.
	Started() time.Time
	Received() // one message
	Sent()     // one message
	Handled(code codes.Code, started time.Time)
}

// MethodKind is the shape of a method, in the words of the metric label.
type MethodKind string

// The shapes there are; no method of ours streams from the client alone.
const (
	Unary        MethodKind = "unary"
	ServerStream MethodKind = "server_stream"
	BidiStream   MethodKind = "bidi_stream"
)
