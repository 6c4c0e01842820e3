package server

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/revlog"
	"keelson/internal/snap"
	"keelson/internal/vfs"
)

// A checkpoint is taken in two parts. The apply goroutine captures the state at
// a batch boundary: small stores encoded, exact lengths of the segments. Then
// the checkpointer makes it durable while entries go on being applied:
//
//	1. every byte of the segments it names is synced
//	2. the checkpoint file is written, synced, renamed      <- it counts from here
//	3. the raft log gets a record of it
//	4. what only older checkpoints needed may go: segments, raft log files
//
// Two checkpoints are kept, so that a broken one does not lose the store.

// keepCheckpoints is how many are kept.
const keepCheckpoints = 2

// capture is a checkpoint that is not on disk yet.
type capture struct {
	ck       snap.Checkpoint
	conf     *pb.ConfState
	manifest revlog.Manifest
	err      error
}

// sinceCheckpoint counts what a restart would have to apply again.
type sinceCheckpoint struct {
	entries uint64
	bytes   int64
}

func (c *sinceCheckpoint) add(e *pb.Entry) {
	c.entries++
	c.bytes += int64(len(e.Data))
}

// due reports whether it is time for a checkpoint: after so many entries, as in
// etcd, or so many bytes, which bounds the time of a restart.
func (c *sinceCheckpoint) due(cfg *Config) bool {
	return c.entries >= cfg.SnapshotCount || c.bytes >= cfg.SnapshotBytes
}

// capture runs on the apply goroutine.
func (s *Server) capture() capture {
	// A view of now lets go of files that were rewritten since the last one.
	s.kv.Renew()
	s.kv.Publish()
	pos := s.kv.Capture()
	c := capture{manifest: s.cfg.Log.Capture(), conf: s.cfg.Machine.Members.ConfState()}
	c.ck = snap.Checkpoint{
		Applied: s.Applied(), AppliedTerm: s.appliedTerm,
		Revision: pos.Revision, CompactRev: pos.CompactRev, ScheduledCompact: pos.Scheduled,
		Log: c.manifest.AppendTo(nil),
	}
	if c.ck.ConfState, c.err = proto.Marshal(c.conf); c.err != nil {
		return c
	}
	c.ck.Sections, c.err = Sections(s.cfg.Machine, pos.HashCache)
	s.since = sinceCheckpoint{}
	return c
}

// requestCheckpoint asks for a checkpoint soon; it never blocks.
func (s *Server) requestCheckpoint() { signal(s.due) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take is a request for a checkpoint now.
type take struct {
	keep int // checkpoints to keep afterwards
	done chan error
}

// checkpoint takes a checkpoint now and returns when it is durable. With keep 1
// the files that only the one before needed are given back at once.
func (s *Server) checkpoint(ctx context.Context, keep int) error {
	done := make(chan error, 1)
	select {
	case s.takeNow <- take{keep, done}:
	case <-ctx.Done():
		return contextError(ctx.Err())
	case <-s.stopped:
		return errStopped
	}
	return <-done
}

// checkpointLoop is the checkpointer goroutine.
func (s *Server) checkpointLoop() {
	for {
		t := take{keep: keepCheckpoints}
		select {
		case <-s.due:
		case t = <-s.takeNow:
		case <-s.stopped:
			return
		}
		err := s.takeCheckpoint(t.keep)
		if t.done != nil {
			t.done <- err
		}
	}
}

func (s *Server) takeCheckpoint(keep int) error {
	var c capture
	if err := s.onApply(s.ctx, func() { c = s.capture() }); err != nil {
		return err
	}
	return s.store(c, keep)
}

// lastCheckpoint runs when all goroutines have ended. Not after a failure: the
// machine may have stopped in the middle of an entry.
func (s *Server) lastCheckpoint() {
	if s.since.entries == 0 || s.broken.Load() {
		return
	}
	c := s.capture()
	if c.err == nil {
		c.err = s.makeDurable(&c)
	}
	if c.err == nil {
		c.err = snap.Purge(s.cfg.FS, s.cfg.SnapDir, keepCheckpoints)
	}
	if c.err != nil {
		s.log.Warn("failed to take a last checkpoint; the next start replays the raft log instead", zap.Error(c.err))
	}
}

// store makes a capture durable and lets go of what it replaces. A full disk
// is no fault: the checkpoint is tried again later, the raft log is kept.
func (s *Server) store(c capture, keep int) error {
	start := s.cfg.Clock.Now()
	if c.err == nil {
		s.log.Info("triggering snapshot", zap.Uint64("local-member-applied-index", uint64(c.ck.Applied)))
		c.err = s.makeDurable(&c)
	}
	if c.err != nil {
		if !errors.Is(c.err, vfs.ErrNoSpace) {
			s.Failed(c.err)
		}
		s.log.Error("failed to take a checkpoint", zap.Error(c.err))
		return c.err
	}
	err := s.rep.OnLog(func() error { return s.cfg.WAL.SaveSnapshot(c.ck.Applied, c.ck.AppliedTerm, c.conf) })
	if err != nil {
		return err
	}
	took := s.cfg.Clock.Now().Sub(start)
	s.cfg.Metrics.CheckpointTaken(took)
	s.log.Info("saved snapshot to disk", zap.Uint64("snapshot-index", uint64(c.ck.Applied)), zap.Duration("took", took))
	return s.release(keep)
}

// makeDurable does steps 1 and 2.
func (s *Server) makeDurable(c *capture) error {
	if err := s.cfg.Log.SyncTo(c.manifest); err != nil {
		return err
	}
	if _, err := snap.Write(s.cfg.FS, s.cfg.SnapDir, &c.ck); err != nil {
		return err
	}
	s.reserveBytes = reserveFor(&c.ck)
	kept := s.cfg.Checkpoints
	if n := len(kept); n > 0 && kept[n-1].Applied == c.ck.Applied {
		kept = kept[:n-1] // same file, written anew
	}
	s.cfg.Checkpoints = append(kept, Kept{c.ck.Applied, c.manifest})
	return nil
}

// reserveFor is room for the checkpoint after this one, which may be larger.
func reserveFor(ck *snap.Checkpoint) int64 {
	size := len(ck.Log)
	for _, sec := range ck.Sections {
		size += len(sec.Data)
	}
	return 1<<20 + 2*int64(size)
}

// release does step 4.
func (s *Server) release(keep int) error {
	if err := snap.Purge(s.cfg.FS, s.cfg.SnapDir, keep); err != nil {
		return err
	}
	if n := len(s.cfg.Checkpoints); n > keep {
		s.cfg.Checkpoints = s.cfg.Checkpoints[n-keep:]
	}
	// Room for the next one, so that a full disk can still be cleared.
	if err := snap.Reserve(s.cfg.FS, s.cfg.SnapDir, s.reserveBytes); err != nil && !errors.Is(err, vfs.ErrNoSpace) {
		return err
	}
	manifests := make([]revlog.Manifest, len(s.cfg.Checkpoints))
	for i, k := range s.cfg.Checkpoints {
		manifests[i] = k.Manifest
	}
	s.cfg.Log.Retain(manifests...)
	if s.spaceOK() == nil {
		return s.releaseLog(base.Index(s.cfg.CatchUpEntries))
	}
	// On a full disk members that lag are no reason to keep anything.
	if err := s.releaseLog(0); err != nil {
		return err
	}
	if err := s.cfg.WAL.PurgeReleased(); err != nil {
		return err
	}
	if s.spaceOK() != nil { // has the next files tried again
		s.log.Warn("the disk is full, and nothing is left that could be given back")
	}
	return nil
}

// releaseLog lets go of the raft log before the older checkpoint, but leaves
// catchUp entries before the newest for members that lag.
func (s *Server) releaseLog(catchUp base.Index) error {
	newest := s.cfg.Checkpoints[len(s.cfg.Checkpoints)-1].Applied
	if newest <= catchUp {
		return nil
	}
	first := min(s.cfg.Checkpoints[0].Applied, newest-catchUp)
	if err := s.rep.Compact(first); err != nil {
		return err
	}
	return s.cfg.WAL.ReleaseTo(first)
}

// Pace of the reclaimer.
const (
	reclaimDeadShare  = 0.5      // rewrite a segment when half of it is dead
	reclaimBytesPerS  = 64 << 20 // so that it does not take the disk from writes
	reclaimPauseBytes = 1 << 20
	reclaimCheck      = time.Minute
)

func (s *Server) requestReclaim() { signal(s.reclaims) }

// reclaimLoop is the reclaimer goroutine: after each compaction, and now and
// then, it rewrites segments that are mostly dead.
func (s *Server) reclaimLoop() {
	t := s.cfg.Clock.NewTicker(reclaimCheck)
	defer t.Stop()
	for {
		select {
		case <-s.reclaims:
		case <-t.C():
		case <-s.stopped:
			return
		}
		if err := s.reclaim(s.ctx, reclaimDeadShare, s.limiter()); err != nil && !errors.Is(err, context.Canceled) {
			if !errors.Is(err, vfs.ErrNoSpace) {
				s.Failed(err)
			}
			s.log.Error("failed to reclaim space", zap.Error(err))
		}
	}
}

// reclaim rewrites every segment with at least a share of dead bytes. The old
// files go once checkpoints no longer need them.
func (s *Server) reclaim(ctx context.Context, share float64, limit func(int)) error {
	rewrote := false
	for {
		more, err := s.cfg.Log.Reclaim(ctx, share, limit)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		rewrote = true
	}
	if rewrote {
		s.requestCheckpoint()
	}
	return nil
}

// limiter makes a background rewrite pause so that it stays under
// reclaimBytesPerS.
func (s *Server) limiter() func(int) {
	owed := 0
	return func(n int) {
		if owed += n; owed >= reclaimPauseBytes {
			s.sleep(time.Duration(owed) * time.Second / reclaimBytesPerS)
			owed = 0
		}
	}
}
