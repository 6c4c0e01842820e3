package replica

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"keelson/internal/base"
)

// cluster is three replicas and the lines between them. Messages are delivered
// at once, each line in order, unless it is cut.
type cluster struct {
	t     *testing.T
	nodes []*node

	mu  sync.Mutex
	cut map[base.MemberID]bool
}

func newCluster(t *testing.T, adjust func(*Config)) *cluster {
	c := &cluster{t: t, cut: map[base.MemberID]bool{}}
	peers := []Peer{{ID: 1}, {ID: 2}, {ID: 3}}
	for _, p := range peers {
		c.nodes = append(c.nodes, newNode(t, p.ID, func(ms []*pb.Message) { c.deliver(p.ID, ms) }, func(cfg *Config) {
			cfg.Bootstrap = peers
			if adjust != nil {
				adjust(cfg)
			}
		}))
	}
	for _, n := range c.nodes {
		n.Start()
	}
	return c
}

func (c *cluster) deliver(from base.MemberID, ms []*pb.Message) {
	for _, m := range ms {
		to := base.MemberID(m.GetTo())
		c.mu.Lock()
		lost := c.cut[from] || c.cut[to]
		c.mu.Unlock()
		if !lost {
			c.nodes[to-1].Step(m)
		}
	}
}

func (c *cluster) setCut(id base.MemberID, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[id] = cut
}

func (c *cluster) isCut(id base.MemberID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut[id]
}

// tickUntil moves the clocks, a little apart so that elections do not tie,
// until something is true.
func (c *cluster) tickUntil(what string, f func() bool) {
	c.t.Helper()
	late := time.After(patience)
	for i := 0; !f(); i++ {
		select {
		case <-late:
			c.t.Fatalf("waited in vain for %s", what)
		default:
		}
		n := c.nodes[i%len(c.nodes)]
		n.clock.Advance(100 * time.Millisecond)
		n.settle(c.t)
		runtime.Gosched()
	}
}

// leader returns the one that leads among those that are connected.
func (c *cluster) leader() (l *node) {
	c.t.Helper()
	c.tickUntil("a leader all agree on", func() bool {
		l = nil
		for _, n := range c.nodes {
			if !c.isCut(n.id) && n.State().IsLeader {
				l = n
			}
		}
		for _, n := range c.nodes {
			if l != nil && !c.isCut(n.id) && (n.State().Leader != l.id || n.State().Term != l.State().Term) {
				return false
			}
		}
		return l != nil
	})
	return l
}

func (n *node) hasApplied(data string) bool { return slices.Contains(n.machine.data(), data) }

// proposeUntil proposes at n until all of nodes have applied it: raft may drop
// a forwarded proposal.
func (c *cluster) proposeUntil(n *node, data string, nodes ...*node) {
	c.t.Helper()
	propose(c.t, n.Replica, data)
	c.tickUntil(data, func() bool {
		for _, o := range nodes {
			if !o.hasApplied(data) {
				return false
			}
		}
		return true
	})
}

// agree checks that what the nodes applied is a prefix of the longest.
func (c *cluster) agree() {
	c.t.Helper()
	var longest []string
	for _, n := range c.nodes {
		if d := n.machine.data(); len(d) > len(longest) {
			longest = d
		}
	}
	for _, n := range c.nodes {
		d := n.machine.data()
		if !slices.Equal(d, longest[:len(d)]) {
			c.t.Fatalf("node %d applied %v, another %v", n.id, d, longest)
		}
	}
}

func (c *cluster) others(not *node) (all []*node) {
	for _, n := range c.nodes {
		if n != not {
			all = append(all, n)
		}
	}
	return all
}

func TestClusterCommits(t *testing.T) {
	c := newCluster(t, nil)
	l := c.leader()
	for i := range 20 {
		c.proposeUntil(l, fmt.Sprint("at the leader ", i), c.nodes...)
	}
	for i, f := range c.others(l) {
		c.proposeUntil(f, fmt.Sprint("forwarded ", i), c.nodes...)
		f.ReadIndex(uint64(100 + i))
		c.tickUntil("a follower's read index", func() bool {
			f.machine.mu.Lock()
			defer f.machine.mu.Unlock()
			return f.machine.indexes[uint64(100+i)] > 0
		})
	}
	c.agree()
}

// TestLaggingFollower is brought up to date from the log on disk, since the
// cache does not reach back as far.
func TestLaggingFollower(t *testing.T) {
	c := newCluster(t, func(cfg *Config) { cfg.CacheBytes = 1000 })
	l := c.leader()
	lagging := c.others(l)[0]
	c.setCut(lagging.id, true)
	for i := range 200 {
		propose(t, l.Replica, fmt.Sprintf("entry %03d %050d", i, i))
	}
	c.proposeUntil(l, "last", c.others(lagging)...)
	if lagging.hasApplied("last") {
		t.Fatal("it was not cut off")
	}
	l.log.set(func(g *memLog) { g.reads = 0 })
	c.setCut(lagging.id, false)
	c.tickUntil("the lagging one", func() bool { return lagging.hasApplied("last") })
	reads := 0
	for _, n := range c.nodes {
		n.log.set(func(g *memLog) { reads += g.reads })
	}
	if reads == 0 {
		t.Error("nothing was read from the log on disk")
	}
	c.agree()
}

// TestPartition: a leader that is cut off commits nothing more; the others
// elect another one; when the line is back the old leader's entries give way.
func TestPartition(t *testing.T) {
	for range 3 {
		c := newCluster(t, nil)
		old := c.leader()
		c.proposeUntil(old, "before", c.nodes...)
		c.setCut(old.id, true)
		for i := range 5 {
			propose(t, old.Replica, fmt.Sprint("cut off ", i))
		}
		rest := c.others(old)
		l := c.leader()
		if l == old {
			t.Fatal("no new leader")
		}
		c.proposeUntil(l, "meanwhile", rest...)
		c.tickUntil("the old leader to step down", func() bool { return !old.State().IsLeader })
		if old.hasApplied("cut off 0") {
			t.Fatal("applied without a quorum")
		}
		c.setCut(old.id, false)
		c.proposeUntil(c.leader(), "healed", c.nodes...)
		if !old.hasApplied("meanwhile") {
			t.Fatal("the old leader misses an entry")
		}
		c.agree()
	}
}

// TestFollowerWithBrokenLog stops alone; the others go on.
func TestFollowerWithBrokenLog(t *testing.T) {
	c := newCluster(t, nil)
	l := c.leader()
	broken := c.others(l)[0]
	broken.log.set(func(g *memLog) { g.err = errDisk })
	propose(t, l.Replica, "x")
	broken.machine.until("the failure", func() bool { return broken.machine.failure != nil })
	propose(t, l.Replica, "y")
	for _, n := range c.others(broken) {
		n.machine.untilApplied("y")
	}
	if broken.hasApplied("y") {
		t.Fatal("a broken member goes on applying")
	}
}
