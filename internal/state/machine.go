package state

import (
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/alarm"
	"keelson/internal/base"
	"keelson/internal/lease"
	"keelson/internal/member"
	"keelson/internal/mvcc"
	"keelson/internal/wire"
)

// Machine is the replicated state of one member. Apply and the other mutating
// methods belong to the apply goroutine; the stores say which of their own
// methods are for everyone.
type Machine struct {
	KV      *mvcc.Store
	Leases  *lease.Store
	Members *member.Store
	Alarms  *alarm.Store
}

// Result is what came of one entry.
type Result struct {
	Index base.Index
	ID    uint64    // request the proposer waits for; 0 is none
	Kind  wire.Kind // 0 for an empty entry or a configuration change
	Err   error     // *errs.Error, when the request was refused

	Revision int64 // key space revision after the entry, unpublished
	Cost     int64 // bytes the request counts against the space quota

	// The parts of a response, filled when the result is wanted. The byte
	// slices are valid until the key space is published next.
	PrevKVs   [][]byte // payloads; of a put at most one
	Deleted   int64
	Range     mvcc.RangeResult
	Succeeded bool   // of a Txn
	Responses []byte // of a Txn, encoded; owned by the result
	Alarms    []alarm.Alarm

	// What changed, for those who follow the state.
	Granted     lease.Info
	Revoked     base.LeaseID
	Checkpoints []lease.Info
	Compaction  Compaction
	Version     string // cluster version newly decided

	// Configuration changes. Conf is nil when the change was found invalid.
	IsConf bool
	Conf   *pb.ConfChange
}

// Compaction is an accepted compaction.
type Compaction struct {
	Accepted bool
	Revision int64
	Physical bool // the proposer waits until it is carried out
}

// Apply applies one entry. want says whether the response is needed: only the
// member that proposed it answers. The entry's bytes may be kept.
func (m *Machine) Apply(e *pb.Entry, want func(id uint64) bool) (Result, error) {
	res := Result{Index: base.Index(e.GetIndex())}
	var err error
	switch {
	case e.GetType() == pb.EntryConfChange:
		err = m.applyConf(e.Data, &res)
	case e.GetType() != pb.EntryNormal:
		err = fmt.Errorf("entry of unknown type %v", e.GetType())
	case len(e.Data) > 0:
		err = m.applyRequest(e.Data, want, &res)
	}
	if err != nil {
		return res, fmt.Errorf("apply entry %d of term %d: %w", e.GetIndex(), e.GetTerm(), err)
	}
	res.Revision = m.KV.Revision()
	return res, nil
}

func (m *Machine) applyConf(data []byte, res *Result) error {
	cc := &pb.ConfChange{}
	if err := proto.Unmarshal(data, cc); err != nil {
		return fmt.Errorf("configuration change: %w", err)
	}
	res.IsConf, res.ID = true, cc.GetId()
	ch, err := m.Members.Validate(cc)
	if err != nil {
		if !isRefusal(err) {
			return err
		}
		res.Err = err
		return nil
	}
	m.Members.Apply(cc.GetType(), ch)
	res.Conf = cc
	return nil
}

// applyRequest is the one switch over requests.
func (m *Machine) applyRequest(data []byte, want func(uint64) bool, res *Result) error {
	req, err := wire.ParseRaftRequest(data)
	if err != nil {
		return err
	}
	if req.Header.ID == 0 {
		return fmt.Errorf("request of kind %d has no ID", req.Kind)
	}
	res.ID, res.Kind = req.Header.ID, req.Kind
	a := apply{Machine: m, res: res, body: req.Body, want: want(req.Header.ID)}
	if err := a.admit(); err != nil {
		return a.outcome(err)
	}
	return a.outcome(a.run())
}

// apply is the application of one request.
type apply struct {
	*Machine
	res  *Result
	body []byte
	want bool

	putReq wire.PutRequest // decoded body, by kind
	txnReq wire.TxnRequest
}

// run carries the request out. A refusal is an *errs.Error.
func (a *apply) run() error {
	switch a.res.Kind {
	case wire.KindPut:
		return a.put()
	case wire.KindDeleteRange:
		return a.deleteRange()
	case wire.KindTxn:
		return a.txn()
	case wire.KindRange:
		return a.readRange()
	case wire.KindCompaction:
		return a.compact()
	case wire.KindLeaseGrant:
		return a.leaseGrant()
	case wire.KindLeaseRevoke:
		return a.leaseRevoke()
	case wire.KindLeaseCheckpoint:
		return a.leaseCheckpoint()
	case wire.KindAlarm:
		return a.alarm()
	case wire.KindClusterVersionSet:
		return a.clusterVersion()
	case wire.KindClusterMemberAttrSet:
		return a.memberAttributes()
	case wire.KindDowngradeInfoSet:
		return a.downgrade()
	case wire.KindDowngradeVersionTest:
		return nil
	}
	return fmt.Errorf("this version does not know requests of kind %d: "+
		"the log was written by a newer version or with authentication on, use that version", a.res.Kind)
}

// outcome turns a refusal into the result's error and lets faults through.
func (a *apply) outcome(err error) error {
	if err == nil || !isRefusal(err) {
		return err
	}
	a.res.Err = err
	return nil
}
