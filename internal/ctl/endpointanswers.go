package ctl

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

type endpointHealth struct {
	Endpoint string `json:"endpoint"`
	Health   bool   `json:"health"`
	Took     string `json:"took"`
	Error    string `json:"error,omitempty"`
}

// endpointHealthAnswer is in the order in which the endpoints answered.
type endpointHealthAnswer []endpointHealth

func (a endpointHealthAnswer) value() any { return a }

func (a endpointHealthAnswer) simple(w *simpleWriter) {
	for _, h := range a {
		if h.Error == "" {
			w.printf("%s is healthy: successfully committed proposal: took = %s\n", h.Endpoint, h.Took)
		} else {
			fmt.Fprintf(w.errOut, "%s is unhealthy: failed to commit proposal: %s\n", h.Endpoint, h.Error)
		}
	}
}

func (a endpointHealthAnswer) fields(w *fieldsWriter) {
	for _, h := range a {
		w.quoted("Endpoint", h.Endpoint)
		w.field("Health", h.Health)
		w.field("Took", h.Took)
		w.field("Error", h.Error)
		w.blank()
	}
}

func (a endpointHealthAnswer) table() (header []string, rows [][]string) {
	for _, h := range a {
		rows = append(rows, []string{h.Endpoint, fmt.Sprint(h.Health), h.Took, h.Error})
	}
	return []string{"ENDPOINT", "HEALTH", "TOOK", "ERROR"}, rows
}

type endpointStatus struct {
	Endpoint string
	Status   *clientv3.StatusResponse
}

type endpointStatusAnswer []endpointStatus

func (a endpointStatusAnswer) value() any { return a }

func (a endpointStatusAnswer) table() (header []string, rows [][]string) {
	header = []string{
		"ENDPOINT", "ID", "VERSION", "STORAGE VERSION", "DB SIZE", "IN USE", "PERCENTAGE NOT IN USE", "QUOTA",
		"IS LEADER", "IS LEARNER", "RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX", "ERRORS",
		"DOWNGRADE TARGET VERSION", "DOWNGRADE ENABLED",
	}
	for _, one := range a {
		s := one.Status
		downgrade := downgradeOf(s)
		rows = append(rows, []string{
			one.Endpoint,
			fmt.Sprintf("%x", s.Header.GetMemberId()),
			s.Version,
			s.StorageVersion,
			humanize.Bytes(uint64(s.DbSize)),
			humanize.Bytes(uint64(s.DbSizeInUse)),
			percentNotInUse(s.DbSize, s.DbSizeInUse),
			humanize.Bytes(uint64(s.DbSizeQuota)),
			fmt.Sprint(s.Leader == s.Header.GetMemberId()),
			fmt.Sprint(s.IsLearner),
			fmt.Sprint(s.RaftTerm),
			fmt.Sprint(s.RaftIndex),
			fmt.Sprint(s.RaftAppliedIndex),
			strings.Join(s.Errors, ", "),
			downgrade.GetTargetVersion(),
			fmt.Sprint(downgrade.GetEnabled()),
		})
	}
	return header, rows
}

func (a endpointStatusAnswer) simple(w *simpleWriter) {
	_, rows := a.table()
	w.rows(rows)
}

func (a endpointStatusAnswer) fields(w *fieldsWriter) {
	for _, one := range a {
		s := one.Status
		w.header(s.Header)
		w.quoted("Version", s.Version)
		w.quoted("StorageVersion", s.StorageVersion)
		w.field("DBSize", s.DbSize)
		w.field("DBSizeInUse", s.DbSizeInUse)
		w.field("DBSizeQuota", s.DbSizeQuota)
		w.field("Leader", s.Leader)
		w.field("IsLearner", s.IsLearner)
		w.field("RaftIndex", s.RaftIndex)
		w.field("RaftTerm", s.RaftTerm)
		w.field("RaftAppliedIndex", s.RaftAppliedIndex)
		w.field("Errors", s.Errors)
		w.quoted("Endpoint", one.Endpoint)
		w.quoted("DowngradeTargetVersion", downgradeOf(s).GetTargetVersion())
		w.field("DowngradeEnabled", downgradeOf(s).GetEnabled())
		w.blank()
	}
}

func downgradeOf(s *clientv3.StatusResponse) *pb.DowngradeInfo { return s.DowngradeInfo }

// percentNotInUse guards against a server that reports an empty database.
func percentNotInUse(size, inUse int64) string {
	if size <= 0 {
		return "0%"
	}
	return fmt.Sprintf("%d%%", 100-inUse*100/size)
}

type endpointHash struct {
	Endpoint string
	HashKV   *clientv3.HashKVResponse
}

type endpointHashAnswer []endpointHash

func (a endpointHashAnswer) value() any { return a }

func (a endpointHashAnswer) table() (header []string, rows [][]string) {
	for _, one := range a {
		rows = append(rows, []string{one.Endpoint, fmt.Sprint(one.HashKV.Hash), fmt.Sprint(one.HashKV.HashRevision)})
	}
	return []string{"ENDPOINT", "HASH", "HASH REVISION"}, rows
}

func (a endpointHashAnswer) simple(w *simpleWriter) {
	_, rows := a.table()
	w.rows(rows)
}

func (a endpointHashAnswer) fields(w *fieldsWriter) {
	for _, one := range a {
		w.header(one.HashKV.Header)
		w.quoted("Endpoint", one.Endpoint)
		w.field("Hash", one.HashKV.Hash)
		w.field("HashRevision", one.HashKV.HashRevision)
		w.blank()
	}
}
