package wal

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"keelson/internal/base"
)

// keepBufferBytes bounds the batch buffer that is kept between batches; a rare
// huge batch should not pin its size for ever.
const keepBufferBytes = 8 << 20

// Append writes one batch: the entries, then the hard state if hs is not nil
// and differs from the last one. The batch is one write, followed by one sync
// when it has entries, changes term or vote, or mustSync asks for it. A batch
// with nothing but a new commit is not synced: commit can be learnt again.
//
// Entries must continue the log or override its end. Their Data is stored as
// it is and not kept. On return without error the batch is durable as said.
// ErrOutOfOrder and vfs.ErrNoSpace (without ErrFailed) mean that nothing was
// written and the log is as before; ErrFailed is final.
//
//	room -> encode -> write -> sync -> visible to readers
func (w *WAL) Append(hs *raftpb.HardState, ents []*raftpb.Entry, mustSync bool) error {
	w.tail.Lock()
	defer w.tail.Unlock()
	if err := w.usableLocked(); err != nil {
		return err
	}
	if err := w.checkOrder(ents); err != nil {
		return err
	}
	if err := w.makeRoomLocked(batchBound(ents)); err != nil {
		return err
	}
	w.tail.buf = w.tail.buf[:0]
	w.encodeEntriesLocked(ents)
	votes := w.encodeStateLocked(hs)
	if err := w.flushLocked(len(ents) > 0 || votes || mustSync); err != nil {
		return err
	}
	w.publishLocked(ents)
	return nil
}

// SaveSnapshot records that state up to index is durable outside the log, and
// syncs. The caller has made it durable before. When the log does not have
// that entry the snapshot came from a leader: it replaces the whole log, and
// the next entry is index+1.
func (w *WAL) SaveSnapshot(index base.Index, term base.Term, conf *raftpb.ConfState) error {
	if index > 0 && conf == nil {
		return fmt.Errorf("wal: snapshot record of index %d without conf state, etcd would not accept it", index)
	}
	data, err := Snapshot{Index: index, Term: term, ConfState: conf}.append(nil)
	if err != nil {
		return err
	}
	w.tail.Lock()
	defer w.tail.Unlock()
	return w.saveSnapshotLocked(index, term, data)
}

// saveSnapshotLocked writes an encoded snapshot record.
func (w *WAL) saveSnapshotLocked(index base.Index, term base.Term, data []byte) error {
	if err := w.usableLocked(); err != nil {
		return err
	}
	if err := w.makeRoomLocked(int64(len(data)) + recordOverhead); err != nil {
		return err
	}
	w.tail.buf = w.tail.buf[:0]
	w.encodeLocked(KindSnapshot, data, nil)
	if err := w.flushLocked(true); err != nil {
		return err
	}
	w.index.Lock()
	defer w.index.Unlock()
	w.index.table.snapshot(index, term)
	return nil
}

func (w *WAL) usableLocked() error {
	if w.tail.closed {
		return ErrClosed
	}
	return w.failed()
}

// checkOrder refuses entries that would leave a gap in the log, or reach back
// behind what it still knows.
func (w *WAL) checkOrder(ents []*raftpb.Entry) error {
	if len(ents) == 0 {
		return nil
	}
	w.index.RLock()
	first, last := w.index.table.first(), w.index.table.last()
	w.index.RUnlock()
	next := base.Index(ents[0].GetIndex())
	if next < first || next > last+1 {
		return fmt.Errorf("%w: it begins at index %d, the log holds %d to %d", ErrOutOfOrder, next, first, last)
	}
	for _, e := range ents {
		if base.Index(e.GetIndex()) != next || e.GetTerm() == 0 {
			return fmt.Errorf("%w: entry with index %d and term %d where index %d is due",
				ErrOutOfOrder, e.GetIndex(), e.GetTerm(), next)
		}
		next++
	}
	return nil
}

// batchBound is at least the number of bytes the batch takes in the file.
func batchBound(ents []*raftpb.Entry) int64 {
	const stateBound = recordOverhead + 3*11
	total := int64(stateBound)
	for _, e := range ents {
		total += int64(recordOverhead + entryHeadBytes + len(e.Data))
	}
	return total
}

// encodeLocked appends one record, its data being head and body, to the batch.
func (w *WAL) encodeLocked(kind Kind, head, body []byte) {
	t := &w.tail
	t.sum = t.sum.add(head).add(body)
	t.buf = appendRecord(t.buf, kind, t.sum, head, body)
}

func (w *WAL) encodeEntriesLocked(ents []*raftpb.Entry) {
	t := &w.tail
	t.places = t.places[:0]
	for _, e := range ents {
		t.places = append(t.places, newPlace(t.off+int64(len(t.buf)), t.sum))
		w.encodeLocked(KindEntry, appendEntryHead(t.head[:0], e), e.Data)
	}
}

// encodeStateLocked appends the hard state if it is news, and reports whether
// term or vote changed: those must be durable before anybody is told.
func (w *WAL) encodeStateLocked(hs *raftpb.HardState) (votes bool) {
	if hs == nil {
		return false
	}
	t := &w.tail
	old := t.state
	t.state = hardState{term: hs.GetTerm(), vote: hs.GetVote(), commit: hs.GetCommit()}
	if t.state == old {
		return false
	}
	if t.state.isZero() { // raft's word for "no change"
		t.state = old
		return false
	}
	w.encodeLocked(KindState, t.state.append(t.head[:0]), nil)
	return t.state.term != old.term || t.state.vote != old.vote
}

// flushLocked writes the batch at the tail and syncs it if asked to.
func (w *WAL) flushLocked(sync bool) error {
	t := &w.tail
	if len(t.buf) > 0 {
		start := w.opts.Clock.Now()
		if _, err := t.seg.file.WriteAt(t.buf, t.off); err != nil {
			return w.fail("write "+t.seg.name, err)
		}
		if w.opts.OnWrite != nil {
			w.opts.OnWrite(len(t.buf), w.opts.Clock.Now().Sub(start))
		}
		t.off += int64(len(t.buf))
		if t.off > t.room/2 {
			w.spare.fill()
		}
	}
	if cap(t.buf) > keepBufferBytes {
		t.buf = nil
	}
	if !sync || w.opts.NoSync {
		return nil
	}
	return w.syncLocked()
}

func (w *WAL) syncLocked() error {
	start := w.opts.Clock.Now()
	if err := w.tail.seg.file.SyncData(); err != nil {
		return w.fail("sync "+w.tail.seg.name, err)
	}
	took := w.opts.Clock.Now().Sub(start)
	if w.opts.OnSync != nil {
		w.opts.OnSync(took)
	}
	if took > slowSync {
		w.opts.Logger.Warn("slow fdatasync",
			zap.Duration("took", took), zap.Duration("expected-duration", slowSync))
	}
	return nil
}

// publishLocked makes the entries of the batch visible to readers.
func (w *WAL) publishLocked(ents []*raftpb.Entry) {
	if len(ents) == 0 {
		return
	}
	w.index.Lock()
	defer w.index.Unlock()
	for i, e := range ents {
		w.index.table.add(w.tail.seg, base.Index(e.GetIndex()), base.Term(e.GetTerm()), w.tail.places[i])
	}
}
