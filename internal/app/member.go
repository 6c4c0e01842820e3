package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
	"keelson/internal/clock"
	"keelson/internal/config"
	"keelson/internal/member"
	"keelson/internal/obs"
	"keelson/internal/replica"
	"keelson/internal/server"
	"keelson/internal/vfs"
	"keelson/internal/watch"
)

// Outside is what a member uses of the world.
type Outside struct {
	FS      vfs.FS
	Clock   clock.Clock
	Logger  *zap.Logger
	Metrics *obs.Metrics
	Rand    *rand.Rand
	Lookup  config.Lookup // resolves host names
	Args    []string      // of the process, for /debug/vars
	Sizes   Sizes
}

// Sizes are those that no flag sets; zeroes are the defaults. Tests make them
// small, so that a few hundred writes cross every border.
type Sizes struct {
	WALSegmentBytes    int64 // of the raft log's files
	RevlogSegmentBytes int64
	RevlogTailBytes    int
	CheckpointBytes    int64 // of the raft log that make a checkpoint due
}

// Member is a running member without listeners.
type Member struct {
	cfg     *config.Config
	out     Outside
	r       *recovered
	hub     *watch.Hub
	replica *replica.Replica

	Server *server.Server
}

// StartMember recovers or founds a member and starts it. It elects itself and
// announces itself in the background, see Server.Ready.
func StartMember(ctx context.Context, cfg *config.Config, out Outside) (*Member, error) {
	rc := recoverer{cfg: cfg, fs: out.FS, clock: out.Clock, logger: out.Logger, lookup: out.Lookup, sizes: out.Sizes,
		onWrite: out.Metrics.WALWritten, onSync: out.Metrics.WALSynced}
	r, err := rc.run(ctx)
	if err != nil {
		return nil, err
	}
	m := &Member{cfg: cfg, out: out, r: r}
	if err := m.build(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	m.out.Metrics.SetMember(r.memberID)
	m.hub.Start()
	m.replica.Start()
	m.Server.Start()
	return m, nil
}

// build makes the parts that run.
func (m *Member) build() (err error) {
	quota, limited := m.cfg.Storage.Quota()
	if !limited {
		quota = -1
	}
	m.hub = watch.NewHub(watch.Config{
		Source: server.History{KV: m.r.machine.KV}, Clock: m.out.Clock, Logger: m.out.Logger, Rand: m.out.Rand,
		MaxFragmentBytes: int(m.cfg.Limits.MaxRequestBytes) + maxRequestSlack,
		ProgressInterval: m.cfg.Watch.ProgressNotifyInterval,
	})
	m.Server = server.New(server.Config{
		MemberID: m.r.memberID, ClusterID: m.r.clusterID, Name: m.cfg.Name, ClientURLs: m.cfg.Advertise.Client.Strings(),
		Machine: m.r.machine, Log: m.r.log, WAL: m.r.wal, Hub: m.hub,
		FS: m.out.FS, SnapDir: m.r.snapDir, TempDir: m.r.snapDir,
		Applied: m.r.applied, AppliedTerm: m.r.appliedTerm, Checkpoints: m.r.checkpoints,
		Clock: m.out.Clock, Logger: m.out.Logger, Metrics: m.out.Metrics.ServerHooks(), Start: m.out.Clock.Now(),
		Version: config.Version, StorageVersion: storageVersion(),
		ElectionTimeout: m.cfg.Raft.ElectionTimeout(), QuotaBytes: quota,
		MaxRequestBytes: int(m.cfg.Limits.MaxRequestBytes),
		SnapshotCount:   m.cfg.Raft.SnapshotCount, SnapshotBytes: cmp.Or(m.out.Sizes.CheckpointBytes, checkpointBytes),
		CatchUpEntries: m.cfg.Raft.SnapshotCatchUpEntries, SlowApply: m.cfg.Warn.Apply,
	})
	m.replica, err = m.newReplica()
	if err != nil {
		return err
	}
	m.Server.Bind(m.replica)
	return nil
}

const (
	// maxRequestSlack is how much larger than a raft request a message may be.
	maxRequestSlack = 512 << 10
	// checkpointBytes of the raft log make a checkpoint due; replaying as much
	// takes some 0.3 s when it is all small puts. It is well below the size of a
	// revlog segment: a restart on a full disk must make do with the active
	// segment and the spare one.
	checkpointBytes = 16 << 20
)

// storageVersion is the version of what we keep: the release's, patch level 0.
func storageVersion() string {
	return config.Version[:strings.LastIndexByte(config.Version, '.')] + ".0"
}

func (m *Member) newReplica() (*replica.Replica, error) {
	c := replica.Config{
		ID: m.r.memberID, Log: m.r.wal, Machine: m.Server, Transport: nowhere{},
		Clock: m.out.Clock, Logger: m.out.Logger,
		Tick: m.cfg.Raft.Heartbeat(), ElectionTicks: m.cfg.Raft.ElectionTicks(), HeartbeatTicks: 1,
		PreVote: m.cfg.Raft.PreVote, Applied: m.r.applied, CatchUpEntries: m.cfg.Raft.SnapshotCatchUpEntries,
	}
	if m.r.isNew {
		peers, err := m.firstMembers()
		if err != nil {
			return nil, err
		}
		c.Bootstrap = peers
		return replica.New(c)
	}
	c.HardState, c.ConfState = m.r.replay.HardState, m.r.machine.Members.ConfState()
	c.Entries, c.Last = m.r.replay.Entries, m.r.applied
	// Raft asks for the term of the entry before the first; the one before the
	// first on disk is gone, so that one is given up, unless it is the log's
	// very first.
	c.First, c.FirstTerm = m.r.applied+1, m.r.appliedTerm
	switch first := m.r.wal.FirstIndex(); {
	case first <= 1 && m.r.applied > 0:
		c.First, c.FirstTerm = 1, 0
	case first < m.r.applied:
		t, err := m.r.wal.Term(first)
		if err != nil {
			return nil, err
		}
		c.First, c.FirstTerm = first+1, t
	}
	if n := len(c.Entries); n > 0 {
		c.Last = base.Index(c.Entries[n-1].GetIndex())
	}
	return replica.New(withCommit(c))
}

// withCommit raises the stored commit index to what is applied: it is written
// lazily, and what is applied was committed.
func withCommit(c replica.Config) replica.Config {
	hs := c.HardState
	if hs == nil {
		hs = &raftpb.HardState{}
	}
	if base.Index(hs.GetCommit()) < c.Applied {
		hs = &raftpb.HardState{Term: proto.Uint64(hs.GetTerm()), Vote: proto.Uint64(hs.GetVote()), Commit: proto.Uint64(uint64(c.Applied))}
	}
	c.HardState = hs
	return c
}

// firstMembers are the configuration changes that every member of a new cluster
// puts into its log by itself, equal on all.
func (m *Member) firstMembers() ([]replica.Peer, error) {
	initial, err := m.cfg.InitialMembers()
	if err != nil {
		return nil, err
	}
	store := member.NewStore(m.cfg.Cluster.MaxLearners)
	for name, urls := range initial {
		mb := member.Member{ID: member.NewID(urls.Strings(), m.cfg.Cluster.Token, nil), PeerURLs: urls.Strings(), Name: name}
		if _, taken := store.Get(mb.ID); taken {
			return nil, fmt.Errorf("member exists with identical ID %s: give each member other peer URLs", mb.ID)
		}
		store.Apply(raftpb.ConfChangeAddNode, member.Change{Member: mb})
	}
	var peers []replica.Peer
	for _, mb := range store.All() {
		ctx, err := json.Marshal(mb)
		if err != nil {
			return nil, err
		}
		peers = append(peers, replica.Peer{ID: mb.ID, Context: ctx})
	}
	return peers, nil
}

// Stop stops the member: remaining lease TTLs are saved, a last checkpoint is
// taken, files are closed. Listeners must be closed before.
func (m *Member) Stop() error {
	m.hub.Close()
	m.Server.Stop()
	return m.r.close()
}

// ID is the member's ID.
func (m *Member) ID() base.MemberID { return m.r.memberID }

// Hub is where watches are served.
func (m *Member) Hub() *watch.Hub { return m.hub }

// DataDir is where the member keeps its files.
func (m *Member) DataDir() string { return path.Dir(m.r.memberDir) }

// nowhere is the transport of a member without peers.
type nowhere struct{}

func (nowhere) Send([]*raftpb.Message) {}
