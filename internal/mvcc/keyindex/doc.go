// Package keyindex is the store's map from key to revisions: for each key the
// latest version's numbers and the older revisions that are still retained.
// It knows no values and never reads the disk.
//
// It is a copy-on-write B+tree with live-key counts in its inner nodes:
//
//	        Tree (one writer)          Root (any readers)
//	             |                          |
//	+------------v------------+             v
//	| inner: separators, kids |      nodes of older generations,
//	|        live per kid     |      never changed again
//	+---+-----------+---------+
//	    v           v
//	+-------+   +-------+
//	| leaf  |   | leaf  |   keys : one immutable block, shared prefix once
//	+-------+   +-------+   slots: 32 bytes per key, no pointers
//	                        side : leases and older versions, if any
//
// Promises:
//   - One goroutine at a time may call the methods of a Tree (and of a Loader).
//     A Root is a value that any number of goroutines may read without locks,
//     for as long as they like; it never changes.
//   - Freeze is O(1). The first change of a node after a Freeze copies the
//     node (not its keys), further changes happen in place.
//   - Get, At, Count cost O(log n); Put and Compact cost O(log n) and a copy
//     of one leaf. An old version is found in O(log versions of the key).
//   - Keys are arbitrary bytes of any length, the empty key included; they are
//     copied. Bytes handed to a yield function are valid only until it returns.
//   - At most 100 bytes of heap per 40-byte key with one version (a test holds it).
//
// Left to others: which revisions exist in the log, when to compact, how a
// Root is handed to readers (package mvcc does all three).
//
// The package owns no goroutine and puts nothing on disk. A broken
// precondition (revisions or keys out of order, a sub-revision beyond 32 bits)
// is a bug of the caller and panics with both values.
package keyindex
