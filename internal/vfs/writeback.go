package vfs

// A writebacker can start writing dirty pages to the device without waiting.
type writebacker interface {
	startWriteback(off, n int64) error
}

// StartWriteback asks the system to begin writing [off, off+n) of f to the
// device and returns at once. It makes nothing durable; it only leaves less to
// do for a later Sync, so that this one does not hold up the syncs of other
// files on the same device. Where the system offers nothing like it, and on
// any error, nothing happens: the Sync will tell.
func StartWriteback(f File, off, n int64) {
	if w, ok := f.(writebacker); ok {
		_ = w.startWriteback(off, n) // a hint
	}
}
