package errs

// Code is a gRPC status code, by its number on the wire.
type Code uint32

// The codes this table uses (google.golang.org/grpc/codes).
const (
	Canceled           Code = 1
	Unknown            Code = 2
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	AlreadyExists      Code = 6
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Aborted            Code = 10
	OutOfRange         Code = 11
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
	DataLoss           Code = 15
	Unauthenticated    Code = 16
)

// Error is a refusal a client sees. Values are compared with errors.Is; the
// package-level ones are the only instances of their texts.
type Error struct {
	Code Code
	Text string
}

func (e *Error) Error() string { return e.Text }

// New makes an error outside the table, for texts that carry a value.
func New(code Code, text string) *Error { return &Error{Code: code, Text: text} }

// The table of the v3 API (reference: api/v3rpc/rpctypes). Two of them travel
// as Unknown although clients map their text to another code.
var (
	ErrEmptyKey                      = &Error{InvalidArgument, "etcdserver: key is not provided"}
	ErrKeyNotFound                   = &Error{InvalidArgument, "etcdserver: key not found"}
	ErrValueProvided                 = &Error{InvalidArgument, "etcdserver: value is provided"}
	ErrLeaseProvided                 = &Error{InvalidArgument, "etcdserver: lease is provided"}
	ErrTooManyOps                    = &Error{InvalidArgument, "etcdserver: too many operations in txn request"}
	ErrDuplicateKey                  = &Error{InvalidArgument, "etcdserver: duplicate key given in txn request"}
	ErrInvalidClientAPIVersion       = &Error{InvalidArgument, "etcdserver: invalid client api version"}
	ErrInvalidSortOption             = &Error{InvalidArgument, "etcdserver: invalid sort option"}
	ErrCompacted                     = &Error{OutOfRange, "etcdserver: mvcc: required revision has been compacted"}
	ErrFutureRev                     = &Error{OutOfRange, "etcdserver: mvcc: required revision is a future revision"}
	ErrNoSpace                       = &Error{ResourceExhausted, "etcdserver: mvcc: database space exceeded"}
	ErrLeaseNotFound                 = &Error{NotFound, "etcdserver: requested lease not found"}
	ErrLeaseExist                    = &Error{FailedPrecondition, "etcdserver: lease already exists"}
	ErrLeaseTTLTooLarge              = &Error{OutOfRange, "etcdserver: too large lease TTL"}
	ErrWatchCanceled                 = &Error{Canceled, "etcdserver: watch canceled"}
	ErrMemberExist                   = &Error{FailedPrecondition, "etcdserver: member ID already exist"}
	ErrPeerURLExist                  = &Error{FailedPrecondition, "etcdserver: Peer URLs already exists"}
	ErrMemberNotEnoughStarted        = &Error{Unknown, "etcdserver: re-configuration failed due to not enough started members"}
	ErrMemberBadURLs                 = &Error{InvalidArgument, "etcdserver: given member URLs are invalid"}
	ErrMemberNotFound                = &Error{NotFound, "etcdserver: member not found"}
	ErrMemberNotLearner              = &Error{FailedPrecondition, "etcdserver: can only promote a learner member"}
	ErrLearnerNotReady               = &Error{FailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader"}
	ErrTooManyLearners               = &Error{FailedPrecondition, "etcdserver: too many learner members in cluster"}
	ErrClusterIDMismatch             = &Error{FailedPrecondition, "etcdserver: cluster ID mismatch"}
	ErrRequestTooLarge               = &Error{InvalidArgument, "etcdserver: request is too large"}
	ErrRequestTooManyRequests        = &Error{Unknown, "etcdserver: too many requests"}
	ErrRootUserNotExist              = &Error{FailedPrecondition, "etcdserver: root user does not exist"}
	ErrRootRoleNotExist              = &Error{FailedPrecondition, "etcdserver: root user does not have root role"}
	ErrUserAlreadyExist              = &Error{FailedPrecondition, "etcdserver: user name already exists"}
	ErrUserEmpty                     = &Error{InvalidArgument, "etcdserver: user name is empty"}
	ErrUserNotFound                  = &Error{FailedPrecondition, "etcdserver: user name not found"}
	ErrRoleAlreadyExist              = &Error{FailedPrecondition, "etcdserver: role name already exists"}
	ErrRoleNotFound                  = &Error{FailedPrecondition, "etcdserver: role name not found"}
	ErrRoleEmpty                     = &Error{InvalidArgument, "etcdserver: role name is empty"}
	ErrAuthFailed                    = &Error{InvalidArgument, "etcdserver: authentication failed, invalid user ID or password"}
	ErrPermissionNotGiven            = &Error{InvalidArgument, "etcdserver: permission not given"}
	ErrPermissionDenied              = &Error{PermissionDenied, "etcdserver: permission denied"}
	ErrRoleNotGranted                = &Error{FailedPrecondition, "etcdserver: role is not granted to the user"}
	ErrPermissionNotGranted          = &Error{FailedPrecondition, "etcdserver: permission is not granted to the role"}
	ErrAuthNotEnabled                = &Error{FailedPrecondition, "etcdserver: authentication is not enabled"}
	ErrInvalidAuthToken              = &Error{Unauthenticated, "etcdserver: invalid auth token"}
	ErrInvalidAuthMgmt               = &Error{InvalidArgument, "etcdserver: invalid auth management"}
	ErrAuthOldRevision               = &Error{InvalidArgument, "etcdserver: revision of auth store is old"}
	ErrNoLeader                      = &Error{Unavailable, "etcdserver: no leader"}
	ErrNotLeader                     = &Error{FailedPrecondition, "etcdserver: not leader"}
	ErrLeaderChanged                 = &Error{Unavailable, "etcdserver: leader changed"}
	ErrNotCapable                    = &Error{FailedPrecondition, "etcdserver: not capable"}
	ErrStopped                       = &Error{Unavailable, "etcdserver: server stopped"}
	ErrTimeout                       = &Error{Unavailable, "etcdserver: request timed out"}
	ErrTimeoutDueToLeaderFail        = &Error{Unavailable, "etcdserver: request timed out, possibly due to previous leader failure"}
	ErrTimeoutDueToConnectionLost    = &Error{Unavailable, "etcdserver: request timed out, possibly due to connection lost"}
	ErrTimeoutWaitAppliedIndex       = &Error{Unavailable, "etcdserver: request timed out, waiting for the applied index took too long"}
	ErrUnhealthy                     = &Error{Unavailable, "etcdserver: unhealthy cluster"}
	ErrCorrupt                       = &Error{DataLoss, "etcdserver: corrupt cluster"}
	ErrNotSupportedForLearner        = &Error{FailedPrecondition, "etcdserver: rpc not supported for learner"}
	ErrBadLeaderTransferee           = &Error{FailedPrecondition, "etcdserver: bad leader transferee"}
	ErrWrongDowngradeVersionFormat   = &Error{InvalidArgument, "etcdserver: wrong downgrade target version format"}
	ErrInvalidDowngradeTargetVersion = &Error{InvalidArgument, "etcdserver: invalid downgrade target version"}
	ErrClusterVersionUnavailable     = &Error{FailedPrecondition, "etcdserver: cluster version not found during downgrade"}
	ErrDowngradeInProcess            = &Error{FailedPrecondition, "etcdserver: cluster has a downgrade job in progress"}
	ErrNoInflightDowngrade           = &Error{FailedPrecondition, "etcdserver: no inflight downgrade job"}
	ErrCanceled                      = &Error{Canceled, "etcdserver: request canceled"}
	ErrDeadlineExceeded              = &Error{DeadlineExceeded, "etcdserver: context deadline exceeded"}
)

// Refusals that are plain statuses on the wire.
var (
	ErrPasswordNotAllowed = &Error{Unknown, "auth: authentication failed, password was given for no password user"}
	ErrVerifyOnlyKey      = &Error{Unknown, "auth: token signing attempted with verify-only key"}
	ErrPasswordTooLong    = &Error{Unknown, "bcrypt: password length exceeds 72 bytes"}
	ErrProposalDropped    = &Error{Unknown, "raft proposal dropped"}
	ErrNotPrimaryLessor   = &Error{Unknown, "not a primary lessor"}
	ErrTransferTooLong    = &Error{Unknown, "etcdserver: request timed out, leader transfer took too long"}
	ErrUnknownMethod      = &Error{Unknown, "etcdserver: unknown method"}
	ErrStreamSort         = &Error{Unimplemented, "RangeStream does not support custom sort orders"}
	ErrStreamFilter       = &Error{Unimplemented, "RangeStream does not support revision filters"}
	ErrRawCanceled        = &Error{Canceled, "context canceled"}
	ErrRawDeadline        = &Error{DeadlineExceeded, "context deadline exceeded"}
)

// Reasons a watch is refused in-band (cancel_reason), never a status.
const (
	ReasonEmptyRange  = "mvcc: watcher range is empty"
	ReasonDuplicateID = "mvcc: duplicate watch ID provided on the WatchStream"
)

// All returns the table, for tests that check it is complete and unambiguous.
func All() []*Error {
	return []*Error{
		ErrEmptyKey,
		ErrKeyNotFound,
		ErrValueProvided,
		ErrLeaseProvided,
		ErrTooManyOps,
		ErrDuplicateKey,
		ErrInvalidClientAPIVersion,
		ErrInvalidSortOption,
		ErrCompacted,
		ErrFutureRev,
		ErrNoSpace,
		ErrLeaseNotFound,
		ErrLeaseExist,
		ErrLeaseTTLTooLarge,
		ErrWatchCanceled,
		ErrMemberExist,
		ErrPeerURLExist,
		ErrMemberNotEnoughStarted,
		ErrMemberBadURLs,
		ErrMemberNotFound,
		ErrMemberNotLearner,
		ErrLearnerNotReady,
		ErrTooManyLearners,
		ErrClusterIDMismatch,
		ErrRequestTooLarge,
		ErrRequestTooManyRequests,
		ErrRootUserNotExist,
		ErrRootRoleNotExist,
		ErrUserAlreadyExist,
		ErrUserEmpty,
		ErrUserNotFound,
		ErrRoleAlreadyExist,
		ErrRoleNotFound,
		ErrRoleEmpty,
		ErrAuthFailed,
		ErrPermissionNotGiven,
		ErrPermissionDenied,
		ErrRoleNotGranted,
		ErrPermissionNotGranted,
		ErrAuthNotEnabled,
		ErrInvalidAuthToken,
		ErrInvalidAuthMgmt,
		ErrAuthOldRevision,
		ErrNoLeader,
		ErrNotLeader,
		ErrLeaderChanged,
		ErrNotCapable,
		ErrStopped,
		ErrTimeout,
		ErrTimeoutDueToLeaderFail,
		ErrTimeoutDueToConnectionLost,
		ErrTimeoutWaitAppliedIndex,
		ErrUnhealthy,
		ErrCorrupt,
		ErrNotSupportedForLearner,
		ErrBadLeaderTransferee,
		ErrWrongDowngradeVersionFormat,
		ErrInvalidDowngradeTargetVersion,
		ErrClusterVersionUnavailable,
		ErrDowngradeInProcess,
		ErrNoInflightDowngrade,
		ErrCanceled,
		ErrDeadlineExceeded,
		ErrPasswordNotAllowed,
		ErrVerifyOnlyKey,
		ErrPasswordTooLong,
		ErrProposalDropped,
		ErrNotPrimaryLessor,
		ErrTransferTooLong,
		ErrUnknownMethod,
		ErrStreamSort,
		ErrStreamFilter,
		ErrRawCanceled,
		ErrRawDeadline,
	}
}
