package compat

import (
	"bytes"
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Orders for lists whose order the API leaves open.

func sortStrings(list []string) { slices.Sort(list) }

func sortBytes(list [][]byte) { slices.SortFunc(list, bytes.Compare) }

func sortLeases(list []*pb.LeaseStatus) {
	slices.SortFunc(list, func(a, b *pb.LeaseStatus) int { return cmp.Compare(a.ID, b.ID) })
}

func sortAlarms(list []*pb.AlarmMember) {
	slices.SortFunc(list, func(a, b *pb.AlarmMember) int {
		return cmp.Or(cmp.Compare(a.MemberID, b.MemberID), cmp.Compare(a.Alarm, b.Alarm))
	})
}
