package state

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"google.golang.org/protobuf/proto"

	"keelson/internal/alarm"
	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/member"
)

func (a *apply) alarm() error {
	var r pb.AlarmRequest
	if err := proto.Unmarshal(a.body, &r); err != nil {
		return err
	}
	al := alarm.Alarm{Member: base.MemberID(r.MemberID), Kind: alarm.Kind(r.Alarm)}
	switch r.Action {
	case pb.AlarmRequest_GET:
		a.res.Alarms = a.Alarms.List(al.Kind)
	case pb.AlarmRequest_ACTIVATE:
		if al.Kind != alarm.None {
			a.Alarms.Activate(al)
			a.res.Alarms = []alarm.Alarm{al}
		}
	case pb.AlarmRequest_DEACTIVATE:
		if a.Alarms.Deactivate(al) {
			a.res.Alarms = []alarm.Alarm{al}
		}
	default:
		return errs.ErrUnknownMethod
	}
	return nil
}

func (a *apply) clusterVersion() error {
	var r membershippb.ClusterVersionSetRequest
	if err := proto.Unmarshal(a.body, &r); err != nil {
		return err
	}
	a.Members.SetVersion(r.Ver)
	a.res.Version = r.Ver
	return nil
}

func (a *apply) memberAttributes() error {
	var r membershippb.ClusterMemberAttrSetRequest
	if err := proto.Unmarshal(a.body, &r); err != nil {
		return err
	}
	at := r.GetMemberAttributes()
	if !a.Members.SetAttributes(base.MemberID(r.Member_ID), at.GetName(), at.GetClientUrls()) {
		return fmt.Errorf("attributes of member %x, which is not in the cluster", r.Member_ID)
	}
	return nil
}

func (a *apply) downgrade() error {
	var r membershippb.DowngradeInfoSetRequest
	if err := proto.Unmarshal(a.body, &r); err != nil {
		return err
	}
	a.Members.SetDowngrade(member.Downgrade{Enabled: r.Enabled, Target: r.Ver})
	return nil
}
