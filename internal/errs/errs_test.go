package errs

import (
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"
)

// TestTextsAreUnique: clients recognise an error by its text alone, so two
// entries must never share one.
func TestTextsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range All() {
		if seen[e.Text] {
			t.Errorf("two errors say %q", e.Text)
		}
		seen[e.Text] = true
	}
}

// TestOfficialClientKnowsEveryText holds the table against the client library:
// an error whose text the library has in its own table must be recognised.
func TestOfficialClientKnowsEveryText(t *testing.T) {
	unknown := map[*Error]bool{
		ErrInvalidClientAPIVersion: true, ErrWatchCanceled: true, ErrPermissionNotGiven: true,
		ErrTimeoutWaitAppliedIndex: true, ErrCanceled: true, ErrDeadlineExceeded: true,
		ErrPasswordNotAllowed: true, ErrVerifyOnlyKey: true, ErrPasswordTooLong: true,
		ErrProposalDropped: true, ErrNotPrimaryLessor: true, ErrTransferTooLong: true,
		ErrUnknownMethod: true, ErrStreamSort: true, ErrStreamFilter: true,
		ErrRawCanceled: true, ErrRawDeadline: true,
	}
	for _, e := range All() {
		_, known := rpctypes.Error(status.Error(2, e.Text)).(rpctypes.EtcdError)
		if known == unknown[e] {
			t.Errorf("%q: client knows it: %v", e.Text, known)
		}
	}
}

func TestIsThroughWrapping(t *testing.T) {
	err := fmt.Errorf("range [a, b): %w", ErrCompacted)
	if !errors.Is(err, ErrCompacted) || errors.Is(err, ErrFutureRev) {
		t.Fatalf("errors.Is does not tell %v apart", err)
	}
}
