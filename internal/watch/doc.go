// Package watch delivers every change to everyone who asked for it: in
// revision order, without a gap, without a duplicate, all changes of one
// revision together, however slow the receiver is.
//
// # Job
//
// The applier hands each batch of changes to Hub.Publish and forgets it. A
// Stream is the server side of one gRPC Watch stream: Create, Cancel and
// Progress put answers and watchers into it, Next takes the responses out, one
// by one, in the order in which they must be sent.
//
// # What it promises
//
//   - Publish and Compacted never wait for a watcher, a disk or a lock that is
//     held for longer than a few instructions.
//   - An event is encoded once (once more with its previous value if some
//     receiver wants that) and the bytes are shared by all who receive it.
//   - Memory is bounded. Config names the four budgets: the inbox of batches
//     that are not matched yet, the events queued for one watcher, for one
//     stream, and for all. A budget that is exceeded turns the watcher into a
//     reader of history (below); nothing is dropped and no one is cancelled for
//     being slow. Budgets may be overshot by one response per watcher: a
//     revision is never torn apart, and history comes in steps of half a
//     watcher's budget.
//   - A response marked as progress is queued after every event up to its
//     header revision.
//
// # What is left to others
//
// Permissions (the caller checks them, then calls Create or Refuse), the
// response header's member and term, encoding of the response around the
// events, and the durability of what is published.
//
// # Where a watcher can be
//
//	         Create, start in the past
//	                 |
//	                 v        a worker takes a group
//	   +--------> ready ---------------------> scanning
//	   |             ^                          |  |  |
//	   | queue       | more history to read     |  |  | reached the
//	   | drained     +--------------------------+  |  | present
//	   |                                           |  |
//	paused <---------------------------------------+  |
//	   ^            over budget                       v
//	   +------------------------------------------- live <--- Create, start 0
//	                over budget                               or in the future
//
// Every watcher has a number, next: everything of interest below next is in
// its stream's queue (or was sent), nothing from next on is. Hub.matched is the
// revision up to which the matcher has given everything to every live watcher.
// Both change only under Hub.mu, and a watcher is live exactly while
// next > matched (reading next as at least matched+1, so that the matcher need
// not touch watchers that an event does not concern).
//
// # The hand-over between history and the present
//
//  1. A worker takes ready watchers of similar position and a view of the
//     store, under Hub.mu. From then on it alone may advance them.
//  2. It reads the view without a lock, from the lowest next to the view's
//     revision R, or until a limit stops it at a revision boundary.
//  3. It locks Hub.mu. The matcher stands still now, so matched is fixed. If
//     the view was read to its end and the matcher is ahead of it by a few
//     revisions, those are read from a fresh view under the lock; if it is
//     ahead by many, they are left for another round. Rounds get shorter, since
//     reading is faster than writing.
//  4. Still under Hub.mu the events found are queued and next is moved behind
//     what was read. If next > matched the watcher becomes live: the matcher's
//     next revision is matched+1, and what lies between it and next was just
//     queued, so the matcher skips revisions below next for this watcher.
//     Otherwise it goes back to ready, or to paused when its queue is full.
//
// The other direction is one step: the matcher meets a live watcher without
// room while it holds Hub.mu, sets next to the revision it could not queue and
// parks the watcher. It cannot be lost there, because parking happens under the
// stream's lock after seeing that queued bytes exist, and taking those bytes
// out is what wakes it up.
//
// A view always shows at least what was published before it was taken. It may
// show more: then next is beyond matched+1 for a while, which step 4 covers.
// Batches that the inbox had to drop, and a store that was replaced by a
// snapshot, show up as a jump in revisions; the matcher then makes every live
// watcher ready at matched+1 and history fills the hole.
//
// The simpler design, a cursor per watcher into one shared ring, was dropped:
// it needs the ring to be as long as the slowest healthy receiver is late, and
// each of 10,000 watchers would look at every event.
//
// # Goroutines
//
//   - matcher (one): takes batches from the inbox, matches, queues. It alone
//     advances Hub.matched. It stops when the inbox is closed.
//   - catch-up workers (Config.Workers): wait for ready watchers, read history.
//     They stop when the hub is closed.
//
// Next runs on the stream's own sender, which also keeps the progress timer.
// Hub.Close ends all of them. The package writes nothing to disk.
//
// # Locks
//
// Hub.mu before Stream.mu; inbox.mu is a leaf. Source views are taken and
// released under Hub.mu, so neither may block.
package watch
