package obs

import (
	"strconv"
	"sync"
	"time"

	"keelson/internal/base"

	"github.com/prometheus/client_golang/prometheus"
)

// outcomes is a histogram with a kind and a success label whose series are
// looked up once: building label sets for every request would cost more than
// counting them.
type outcomes struct {
	child func(kind, success string) prometheus.Observer
	known sync.Map // kind -> *[2]prometheus.Observer: failed, succeeded
}

func (o *outcomes) observe(kind string, took time.Duration, ok bool) {
	pair, found := o.known.Load(kind)
	if !found {
		// Only the series that is used may come into being, as in etcd.
		pair, _ = o.known.LoadOrStore(kind, new([2]lazyObserver))
	}
	i := 0
	if ok {
		i = 1
	}
	pair.(*[2]lazyObserver)[i].get(o.child, kind, ok).Observe(took.Seconds())
}

type lazyObserver struct {
	once sync.Once
	o    prometheus.Observer
}

func (l *lazyObserver) get(child func(kind, success string) prometheus.Observer, kind string, ok bool) prometheus.Observer {
	l.once.Do(func() { l.o = child(kind, strconv.FormatBool(ok)) })
	return l.o
}

// ServerHooks fulfils the interface through which package server reports.
type ServerHooks struct{ m *Metrics }

// ServerHooks returns the hooks of m.
func (m *Metrics) ServerHooks() ServerHooks { return ServerHooks{m} }

// ProposalPending changes the number of proposals that wait.
func (h ServerHooks) ProposalPending(delta int) { h.m.Server.ProposalsPending.Add(float64(delta)) }

// ProposalFailed counts a proposal without a result.
func (h ServerHooks) ProposalFailed() { h.m.Server.ProposalsFailed.Inc() }

// ReadIndexSlow counts a read-index round that was repeated.
func (h ServerHooks) ReadIndexSlow() { h.m.Server.SlowReadIndexes.Inc() }

// ReadIndexFailed counts a read-index round that was given up.
func (h ServerHooks) ReadIndexFailed() { h.m.Server.ReadIndexesFailed.Inc() }

// Request records the answer to a request.
func (h ServerHooks) Request(kind string, took time.Duration, ok bool) {
	h.m.Server.requestDuration.observe(kind, took, ok)
}

// Applied records the application of an entry.
func (h ServerHooks) Applied(kind string, took time.Duration, ok bool) {
	h.m.Server.applyDuration.observe(kind, took, ok)
}

// SlowApply counts an application above the warning limit.
func (h ServerHooks) SlowApply() { h.m.Server.SlowApply.Inc() }

// RangeServed records the reading of a range.
func (h ServerHooks) RangeServed(took time.Duration, ok bool) {
	h.m.Server.rangeDuration.observe("", took, ok)
}

// Operation counts what a request did to the store.
func (h ServerHooks) Operation(puts, deletes, txns, ranges int) {
	add(h.m.MVCC.Puts, puts)
	add(h.m.MVCC.Deletes, deletes)
	add(h.m.MVCC.Txns, txns)
	add(h.m.MVCC.Ranges, ranges)
}

func add(c prometheus.Counter, n int) {
	if n > 0 {
		c.Add(float64(n))
	}
}

// LeaseGranted counts a lease of ttl seconds.
func (h ServerHooks) LeaseGranted(ttl int64) {
	h.m.Lease.Granted.Inc()
	h.m.Lease.TTL.Observe(float64(ttl))
}

// LeaseRevoked counts a revoked lease.
func (h ServerHooks) LeaseRevoked() { h.m.Lease.Revoked.Inc() }

// LeaseRenewed counts a keepalive.
func (h ServerHooks) LeaseRenewed() { h.m.Lease.Renewed.Inc() }

// LeaseExpired counts a lease that ran out.
func (h ServerHooks) LeaseExpired() { h.m.Lease.Expired.Inc() }

// LeaderChanged counts a new leader.
func (h ServerHooks) LeaderChanged() { h.m.Server.LeaderChanges.Inc() }

// CompactionDone records a finished compaction that dropped keys revisions.
func (h ServerHooks) CompactionDone(keys int64, took time.Duration) {
	h.m.MVCC.CompactedKeys.Add(float64(keys))
	h.m.MVCC.CompactionTotal.Observe(milliseconds(took))
}

// CheckpointTaken records a checkpoint: it is what makes the store durable
// and so stands for etcd's backend commit too.
func (h ServerHooks) CheckpointTaken(took time.Duration) {
	h.m.Snap.SaveTotal.Observe(took.Seconds())
	h.m.Disk.BackendCommit.Observe(took.Seconds())
}

// DefragDone records a finished defragmentation.
func (h ServerHooks) DefragDone(took time.Duration) { h.m.Disk.BackendDefrag.Observe(took.Seconds()) }

// Alarm records that an alarm was raised or disarmed.
func (h ServerHooks) Alarm(member base.MemberID, kind string, raised bool) {
	SetFlag(h.m.Server.Alarms.WithLabelValues(member.String(), kind), raised)
}

// HealthAnswered counts an answer of /health.
func (m *Metrics) HealthAnswered(healthy bool) {
	if healthy {
		m.Server.HealthSuccess.Inc()
	} else {
		m.Server.HealthFailures.Inc()
	}
}

// HealthChecked records one check of /livez or /readyz (kind, without slash).
func (m *Metrics) HealthChecked(kind, name string, ok bool) {
	status := "error"
	if ok {
		status = "success"
	}
	SetFlag(m.Server.healthcheck.WithLabelValues(kind, name), ok)
	m.Server.healthchecks.WithLabelValues(kind, name, status).Inc()
}

// WALWritten and WALSynced fit the hooks of package wal.
func (m *Metrics) WALWritten(bytes int, took time.Duration) {
	m.Disk.WALWriteBytes.Add(float64(bytes))
	m.Disk.WALWrite.Observe(took.Seconds())
}

// WALSynced records one sync of the raft log.
func (m *Metrics) WALSynced(took time.Duration) { m.Disk.WALFsync.Observe(took.Seconds()) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
