package rpc

import (
	"time"

	"google.golang.org/grpc/codes"
)

// discard is the Observer of a member that counts nothing.
type discard struct{}

func orDiscard(o Observer) Observer {
	if o == nil {
		return discard{}
	}
	return o
}

func (discard) Method(string, string, MethodKind) MethodObserver { return discard{} }
func (discard) ClientRequest(MethodKind, string)                 {}
func (discard) BytesReceived(int)                                {}
func (discard) BytesSent(int)                                    {}
func (discard) Started() time.Time                               { return time.Time{} }
func (discard) Received()                                        {}
func (discard) Sent()                                            {}
func (discard) Handled(codes.Code, time.Time)                    {}
