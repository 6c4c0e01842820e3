package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"keelson/internal/alarm"
	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/config"
	"keelson/internal/lease"
	"keelson/internal/member"
	"keelson/internal/mvcc"
	"keelson/internal/revlog"
	"keelson/internal/server"
	"keelson/internal/snap"
	"keelson/internal/state"
	"keelson/internal/vfs"
	"keelson/internal/wal"
)

// Names inside the data directory.
//
//	<data-dir>/member/LOCK                 one process at a time
//	<data-dir>/member/wal/*.wal            raft log, etcd's format
//	<data-dir>/member/snap/*.ckpt          checkpoints
//	<data-dir>/member/revlog/*.seg, *.idx  values and their sidecars
type paths struct{ memberDir, walDir, snapDir, revlogDir string }

func newPaths(cfg *config.Config) paths {
	m := path.Join(cfg.DataDir, "member")
	p := paths{memberDir: m, walDir: path.Join(m, "wal"), snapDir: path.Join(m, "snap"), revlogDir: path.Join(m, "revlog")}
	if cfg.WALDir != "" {
		p.walDir = cfg.WALDir
	}
	return p
}

// recovered is everything that was read back from disk, or founded.
type recovered struct {
	paths
	lock      io.Closer
	memberID  base.MemberID
	clusterID base.ClusterID

	machine     *state.Machine
	log         *revlog.Log
	wal         *wal.WAL
	replay      wal.Replay
	checkpoints []server.Kept
	applied     base.Index
	appliedTerm base.Term
	isNew       bool
}

// close gives everything back, in reverse order.
func (r *recovered) close() error {
	var all []error
	if r.machine != nil && r.machine.KV != nil {
		r.machine.KV.Close()
	}
	if r.log != nil {
		all = append(all, r.log.Close())
	}
	if r.wal != nil {
		all = append(all, r.wal.Close())
	}
	if r.lock != nil {
		all = append(all, r.lock.Close())
	}
	return errors.Join(all...)
}

// recoverer reads a member back, or founds it. The order of the steps is the
// argument why state and log cannot disagree: the checkpoint names exact lengths
// of the segments and the applied index in one file; the log is then opened
// from that index, and everything behind it is applied again.
type recoverer struct {
	cfg     *config.Config
	fs      vfs.FS
	clock   clock.Clock
	logger  *zap.Logger
	lookup  config.Lookup
	sizes   Sizes
	onWrite func(int, time.Duration)
	onSync  func(time.Duration)
}

func (rc *recoverer) run(ctx context.Context) (*recovered, error) {
	r := &recovered{paths: newPaths(rc.cfg)}
	if err := rc.recover(ctx, r); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (rc *recoverer) recover(ctx context.Context, r *recovered) error {
	if err := rc.claim(r); err != nil {
		return err
	}
	ck, older, err := snap.Load(rc.fs, r.snapDir, rc.logger)
	if err != nil && !errors.Is(err, snap.ErrNone) {
		return err
	}
	r.isNew = !wal.Exist(rc.fs, r.walDir)
	if r.isNew {
		if err := rc.cfg.CheckBootstrap(ctx, rc.lookup); err != nil {
			return err
		}
	}
	if r.isNew && ck != nil {
		return fmt.Errorf("there is a checkpoint in %s, but no raft log in %s: bring the raft log back, "+
			"or move the data directory away to start empty", r.snapDir, r.walDir)
	}
	if r.checkpoints, err = keptCheckpoints(ck, older); err != nil {
		return err
	}
	if err := rc.openStores(r, ck); err != nil {
		return err
	}
	if r.isNew {
		return rc.found(r)
	}
	if err := rc.openLog(r, ck); err != nil {
		return err
	}
	if ck == nil && rc.cfg.Cluster.State == config.StateNew && r.replay.HardState.GetCommit() == 0 {
		return rc.foundAgain(ctx, r)
	}
	return nil
}

// claim makes sure that no other process uses the directory and that it is
// not etcd's.
func (rc *recoverer) claim(r *recovered) (err error) {
	for _, dir := range []string{rc.cfg.DataDir, r.memberDir, r.snapDir, r.revlogDir} {
		if err := rc.makeDir(dir); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
	}
	if r.lock, err = rc.fs.Lock(path.Join(r.memberDir, "LOCK")); err != nil {
		return fmt.Errorf("data directory %s is in use by another process: %w", rc.cfg.DataDir, err)
	}
	if _, err := rc.fs.Stat(path.Join(r.snapDir, "db")); err == nil {
		return fmt.Errorf("data directory %s was written by etcd: this version cannot adopt it yet; "+
			"restore a snapshot of it, or use another --data-dir", rc.cfg.DataDir)
	}
	return rc.removeScratch(r.snapDir)
}

// makeDir makes a directory whose name survives a power cut: what is stored in
// it later is worth nothing otherwise.
func (rc *recoverer) makeDir(dir string) error {
	if err := rc.fs.MkdirAll(dir); err != nil {
		return err
	}
	return rc.fs.SyncDir(path.Dir(dir))
}

// removeScratch deletes what exports left behind when the process was killed.
func (rc *recoverer) removeScratch(dir string) error {
	names, err := rc.fs.List(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if ok, _ := path.Match("tmp-export-*", n); ok {
			if err := rc.fs.Remove(path.Join(dir, n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// openStores opens the revision log and builds the stores on it.
func (rc *recoverer) openStores(r *recovered, ck *snap.Checkpoint) (err error) {
	leases := lease.NewStore(minLeaseTTL(rc.cfg))
	r.machine = &state.Machine{Leases: leases, Members: member.NewStore(rc.cfg.Cluster.MaxLearners), Alarms: alarm.NewStore()}
	opts := revlog.Options{
		FS: rc.fs, Dir: r.revlogDir, Logger: rc.logger, Clock: rc.clock, NoSync: rc.cfg.Storage.UnsafeNoFsync,
		SegmentBytes: rc.sizes.RevlogSegmentBytes, TailBytes: rc.sizes.RevlogTailBytes,
	}
	pos := mvcc.EmptyPosition()
	if ck == nil {
		r.log, err = revlog.Create(opts)
	} else {
		newest := len(r.checkpoints) - 1
		m := r.checkpoints[newest].Manifest
		opts.Older = make([]revlog.Manifest, newest)
		for i := range opts.Older {
			opts.Older[i] = r.checkpoints[i].Manifest
		}
		r.applied, r.appliedTerm = ck.Applied, ck.AppliedTerm
		pos = mvcc.Position{Revision: ck.Revision, CompactRev: ck.CompactRev, Scheduled: ck.ScheduledCompact}
		if pos.HashCache, err = server.RestoreSections(ck.Sections, r.machine); err != nil {
			return err
		}
		r.log, err = revlog.Open(opts, m)
	}
	if err != nil {
		return err
	}
	kv := mvcc.Config{Log: r.log, Logger: rc.logger, HashMaxBytes: maxHashedBytes}
	if r.machine.KV, err = mvcc.Open(kv, pos); err != nil {
		return err
	}
	attachLeases(r.machine)
	return nil
}

// maxHashedBytes is the size of the live data up to which a compaction leaves a
// hash behind for comparison between members: computing it reads all of them.
const maxHashedBytes = 256 << 20

// attachLeases rebuilds which keys belong to which lease.
func attachLeases(m *state.Machine) {
	if m.Leases.Len() == 0 {
		return
	}
	v := m.KV.View()
	defer v.Release()
	v.Entries(base.KeyRange{Key: []byte{0}, End: []byte{0}}, func(key []byte, e mvcc.Entry) bool {
		m.Leases.Move(key, 0, e.Lease)
		return true
	})
}

// minLeaseTTL is the shortest lease in seconds: one and a half election
// timeouts, so that a change of leader does not end it. etcd's rounding.
func minLeaseTTL(cfg *config.Config) int64 {
	ticks := 3 * cfg.Raft.ElectionTicks() / 2
	d := time.Duration(ticks) * cfg.Raft.Heartbeat()
	return int64((d + time.Second - 1) / time.Second)
}

func keptCheckpoints(newest *snap.Checkpoint, older []*snap.Checkpoint) (kept []server.Kept, err error) {
	if newest == nil {
		return nil, nil
	}
	for _, ck := range append([]*snap.Checkpoint{newest}, older...) {
		m, err := revlog.ParseManifest(ck.Log)
		if err != nil {
			return nil, err
		}
		kept = append(kept, server.Kept{Applied: ck.Applied, Manifest: m})
	}
	slices.Reverse(kept)
	return kept, nil
}

func (rc *recoverer) walOptions(r *recovered) wal.Options {
	return wal.Options{
		FS: rc.fs, Dir: r.walDir, SegmentBytes: rc.sizes.WALSegmentBytes, MaxFiles: int(rc.cfg.Storage.MaxWALs), NoSync: rc.cfg.Storage.UnsafeNoFsync,
		Logger: rc.logger, Clock: rc.clock, OnWrite: rc.onWrite, OnSync: rc.onSync,
	}
}

// found makes a member of a new cluster: IDs from the configuration, an empty
// raft log that carries them.
func (rc *recoverer) found(r *recovered) (err error) {
	if r.memberID, r.clusterID, err = rc.foundingIDs(); err != nil {
		return err
	}
	meta, err := proto.Marshal(&pb.Metadata{NodeID: proto.Uint64(uint64(r.memberID)), ClusterID: proto.Uint64(uint64(r.clusterID))})
	if err != nil {
		return err
	}
	r.wal, err = wal.Create(rc.walOptions(r), meta)
	return err
}

// foundingIDs are the member's and the cluster's ID as a new cluster has them.
func (rc *recoverer) foundingIDs() (own base.MemberID, cluster base.ClusterID, err error) {
	members, err := rc.cfg.InitialMembers()
	if err != nil {
		return 0, 0, err
	}
	var all []base.MemberID
	for _, urls := range members {
		all = append(all, member.NewID(urls.Strings(), rc.cfg.Cluster.Token, nil))
	}
	urls, ok := members[rc.cfg.Name]
	if !ok {
		return 0, 0, fmt.Errorf("couldn't find local name %q in the initial cluster configuration", rc.cfg.Name)
	}
	return member.NewID(urls.Strings(), rc.cfg.Cluster.Token, nil), member.NewClusterID(all), nil
}

// foundAgain finishes a founding that a power cut ended: the raft log is there,
// but the first entries were not durable, and without them nobody could ever be
// elected. They are made again, equal.
func (rc *recoverer) foundAgain(ctx context.Context, r *recovered) error {
	if err := rc.cfg.CheckBootstrap(ctx, rc.lookup); err != nil {
		return err
	}
	own, cluster, err := rc.foundingIDs()
	if err != nil {
		return err
	}
	if own != r.memberID || cluster != r.clusterID {
		return fmt.Errorf("the raft log in %s is empty and belongs to member %s of cluster %s, the configuration founds member %s of cluster %s: "+
			"start with the configuration of the first time, or empty the data directory", r.walDir, r.memberID, r.clusterID, own, cluster)
	}
	rc.logger.Warn("the first start of this member was cut off; founding it again")
	r.isNew = true
	return nil
}

// openLog opens the raft log behind the checkpoint.
func (rc *recoverer) openLog(r *recovered, ck *snap.Checkpoint) (err error) {
	from := wal.Position{Index: r.applied, Term: r.appliedTerm}
	if ck != nil {
		from.ConfState = &raftpb.ConfState{}
		if err := proto.Unmarshal(ck.ConfState, from.ConfState); err != nil {
			return fmt.Errorf("checkpoint %d: configuration: %w", ck.Applied, err)
		}
	}
	if r.wal, r.replay, err = wal.Open(rc.walOptions(r), from); err != nil {
		return err
	}
	var meta pb.Metadata
	if err := proto.Unmarshal(r.replay.Metadata, &meta); err != nil {
		return fmt.Errorf("raft log in %s: metadata: %w", r.walDir, err)
	}
	r.memberID, r.clusterID = base.MemberID(meta.GetNodeID()), base.ClusterID(meta.GetClusterID())
	rc.logger.Info("restarting local member",
		zap.Stringer("cluster-id", r.clusterID), zap.Stringer("local-member-id", r.memberID),
		zap.Uint64("commit-index", r.replay.HardState.GetCommit()),
		zap.Uint64("applied-index", uint64(r.applied)), zap.Int("entries-to-apply", len(r.replay.Entries)))
	return nil
}
