package server

import (
	"sync/atomic"
	"time"

	"keelson/internal/base"
)

// ids makes request IDs as etcd does, so that those of two members or of two
// runs of one never meet in a log:
//
//	| 16 bits of the member ID | 40 bits of start time, ms | 8 bits counter |
//
// The counter runs on into the time bits; that is fine as long as a run makes
// fewer than 256 IDs per millisecond on average.
type ids struct {
	prefix uint64
	suffix atomic.Uint64
}

func newIDs(id base.MemberID, start time.Time) *ids {
	g := &ids{prefix: uint64(id) << 48}
	g.suffix.Store(uint64(start.UnixMilli()) & (1<<40 - 1) << 8)
	return g
}

func (g *ids) next() uint64 {
	return g.prefix | g.suffix.Add(1)&(1<<48-1)
}
