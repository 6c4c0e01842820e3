package mvcc

import (
	"sync/atomic"
)

// View is the state after some batch, for any number of readers. It embeds the
// reading methods; what they return stays valid until Release.
type View struct {
	reader
	refs atomic.Int64 // 0 = gone for good
}

// tryRef takes a reference unless the last one has been dropped.
func (v *View) tryRef() bool {
	for {
		n := v.refs.Load()
		if n == 0 {
			return false
		}
		if v.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release drops a reference taken by Store.View. With the last one the files
// that only this view needed may go.
func (v *View) Release() {
	switch n := v.refs.Add(-1); {
	case n == 0:
		v.log.Release()
	case n < 0:
		panic("mvcc: View released twice")
	}
}
