package mvcc

import (
	"go.uber.org/zap"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/revlog"
)

// compaction is the physical side of compactions; docs/flow-compaction.md draws
// the whole path.
//
// A compaction at C keeps of each key the newest version at or below C, if it is a
// put, or a tombstone made at exactly C, and everything above C. What it has to
// remove lies near: a version dies because a newer one at or below C superseded
// it, and unless that one is younger than the compaction before (C0), the
// version is dead already; a tombstone dies unless the one before took it. So
// only records in [C0, C] are visited, in revision order, and each takes its
// predecessors with it (a tombstone below C also itself). C0 itself is in
// because of the tombstones kept at exactly C0.
//
// Two simpler designs were dropped. A walk over the whole index, as etcd does,
// costs the same for ten changed keys as for ten million. And compacting a key at
// C at once when one of its records is met would hold up the applier for a
// key that was written a million times; visited one by one, a record removes
// hardly more than one other.
//
// # What is dead
//
// Whatever the index drops is marked dead in the log, at once, and never comes
// back: the log's manifest has the marks, so Open finds the versions that the
// index retained when the checkpoint was captured, no more and no fewer, in
// whatever order Reclaim removes the others from the disk. A rule that told the
// dead from the rest would not do: with the last tombstone of a key gone from
// disk before the puts under it, it would bring the key back.
//
// So a compaction that had not finished can begin anew after a restart. Of each
// key the dead versions are older than all that are retained, and visiting a
// record a second time, or not at all because it is dead and gone, finds
// nothing to remove that its successors would not.
type compaction struct {
	queue []scheduled // accepted and not finished, ascending; the first is under way
	begun bool        // the first of the queue has been started
	next  base.Revision
	// seen and died count records of the compaction under way.
	seen, died int64
}

// scheduled is one compaction that waits for its physical work.
type scheduled struct {
	at   int64
	prev int64 // the compaction before, NeverCompacted for none
	hash bool  // everything its hash covers is still there
}

// Compact makes revisions below rev unreadable. The logical effect is complete
// with the next Publish; the physical one is left to CompactStep. It is refused
// by errs.ErrCompacted unless rev is above the last compaction (a first one at 0
// is accepted) and by errs.ErrFutureRev above the current revision.
func (s *Store) Compact(rev int64) error {
	s.mustBeBetweenTxs("Compact")
	if rev <= s.compactRev {
		return errs.ErrCompacted
	}
	if rev > s.rev {
		return errs.ErrFutureRev
	}
	s.schedule(scheduled{at: rev, prev: s.compactRev, hash: true})
	return nil
}

func (s *Store) schedule(c scheduled) {
	s.compaction.queue = append(s.compaction.queue, c)
	s.compactRev = c.at
	s.dirty = true
}

// CompactionPending tells whether CompactStep has work to do.
func (s *Store) CompactionPending() bool { return len(s.compaction.queue) > 0 }

// FinishedCompaction is the last compaction whose physical work is done, or
// NeverCompacted.
func (s *Store) FinishedCompaction() int64 { return s.finished }

// CompactStep does a slice of the physical work: it visits at most maxRecords
// records, about a microsecond each. The applier calls it between
// batches, after Publish, while it reports more. An error is a storage fault
// (*revlog.CorruptError); the compaction then stays where it is.
func (s *Store) CompactStep(maxRecords int) (more bool, err error) {
	s.mustBeBetweenBatches("CompactStep")
	if s.dirty {
		s.installView()
	}
	c := &s.compaction
	if len(c.queue) == 0 {
		return false, nil
	}
	if !c.begun {
		s.beginCompaction()
	}
	done, err := s.compactSlice(c.queue[0].at, max(maxRecords, 1))
	if err != nil {
		return true, err
	}
	if done {
		s.finishCompaction()
	}
	return len(c.queue) > 0, nil
}

// beginCompaction hands the state before the first removal to the hasher.
func (s *Store) beginCompaction() {
	c := &s.compaction
	job := c.queue[0]
	c.begun = true
	c.next = base.Revision{Main: max(s.finished, 0)}
	c.seen, c.died = 0, 0
	if job.hash && s.hashable() {
		s.hashes.submit(s.View(), job)
	}
}

// compactSlice applies the compaction at the revision at to the keys of the
// next records. The scan reads from the published view while the tree changes;
// what it finds removed already is no loss, see Tree.Compact.
func (s *Store) compactSlice(at int64, maxRecords int) (done bool, err error) {
	c := &s.compaction
	visited := 0
	done = true
	end := base.Revision{Main: at + 1}
	err = s.view.Load().log.Scan(c.next, end, func(r revlog.Record) bool {
		if visited == maxRecords {
			c.next, done = r.Rev, false
			return false
		}
		visited++
		s.compactBelow(&r.Meta, at)
		return true
	})
	c.seen += int64(visited)
	return done, err
}

// compactBelow removes what the record supersedes, and the record itself if it
// is a tombstone that the compaction at the revision at does not keep. To the
// index both are compactions of one key at a lower revision.
func (s *Store) compactBelow(m *revlog.Meta, at int64) {
	upTo := m.Rev.Main
	if m.Tombstone && upTo < at {
		upTo++
	}
	s.tree.Compact(m.Key, upTo, s.dead)
}

// died takes note of a version that the index has dropped.
func (s *Store) died(rev base.Revision) {
	s.compaction.died++
	s.log.MarkDead(rev)
}

// finishCompaction records the end and publishes the pruned index.
func (s *Store) finishCompaction() {
	c := &s.compaction
	s.finished = c.queue[0].at
	c.queue = c.queue[1:]
	c.begun = false
	s.installView()
	s.cfg.Logger.Debug("the compaction has removed what it had to",
		zap.Int64("compact-revision", s.finished),
		zap.Int64("records-visited", c.seen),
		zap.Int64("records-removed", c.died))
}
