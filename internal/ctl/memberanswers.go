package ctl

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The JSON of member answers with --hex: ids are strings, and always present.

type hexHeaderJSON struct {
	ClusterID string `json:"cluster_id"`
	MemberID  string `json:"member_id"`
	Revision  int64  `json:"revision,omitempty"`
	RaftTerm  uint64 `json:"raft_term,omitempty"`
}

type hexMemberJSON struct {
	ID         string   `json:"ID"`
	Name       string   `json:"name,omitempty"`
	PeerURLs   []string `json:"peerURLs,omitempty"`
	ClientURLs []string `json:"clientURLs,omitempty"`
	IsLearner  bool     `json:"isLearner,omitempty"`
}

type hexMembersJSON struct {
	Header  hexHeaderJSON   `json:"header"`
	Member  *hexMemberJSON  `json:"member,omitempty"`
	Members []hexMemberJSON `json:"members"`
}

func hexMembers(h *pb.ResponseHeader, added *pb.Member, members []*pb.Member) hexMembersJSON {
	out := hexMembersJSON{
		Header: hexHeaderJSON{
			ClusterID: fmt.Sprintf("%x", h.GetClusterId()),
			MemberID:  fmt.Sprintf("%x", h.GetMemberId()),
			Revision:  h.GetRevision(),
			RaftTerm:  h.GetRaftTerm(),
		},
		Members: []hexMemberJSON{},
	}
	for _, m := range members {
		out.Members = append(out.Members, hexMember(m))
	}
	if added != nil {
		m := hexMember(added)
		out.Member = &m
	}
	return out
}

func hexMember(m *pb.Member) hexMemberJSON {
	return hexMemberJSON{
		ID: fmt.Sprintf("%x", m.ID), Name: m.Name,
		PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, IsLearner: m.IsLearner,
	}
}

type memberAddAnswer struct {
	resp     *clientv3.MemberAddResponse
	name     string // for the new member, which has none in the answer
	peerURLs string // as typed
}

func (a memberAddAnswer) value() any { return a.resp }
func (a memberAddAnswer) hexValue() any {
	return hexMembers(a.resp.Header, a.resp.Member, a.resp.Members)
}

func (a memberAddAnswer) message() (proto.Message, error) {
	return (*pb.MemberAddResponse)(a.resp), nil
}

// simple adds the settings that the new member is to be started with.
func (a memberAddAnswer) simple(w *simpleWriter) {
	learner := ""
	if a.resp.Member.GetIsLearner() {
		learner = "as learner "
	}
	added := a.resp.Member.GetID()
	w.printf("Member %16x added %sto cluster %16x\n", added, learner, a.resp.Header.GetClusterId())

	var initial []string
	for _, m := range a.resp.Members {
		name := m.Name
		if m.ID == added {
			name = a.name
		}
		for _, url := range m.PeerURLs {
			initial = append(initial, name+"="+url)
		}
	}
	w.printf("\nETCD_NAME=%q\n", a.name)
	w.printf("ETCD_INITIAL_CLUSTER=%q\n", strings.Join(initial, ","))
	w.printf("ETCD_INITIAL_ADVERTISE_PEER_URLS=%q\n", a.peerURLs)
	w.printf("ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n")
}

// memberChangeAnswer is the answer of remove, update and promote.
type memberChangeAnswer struct {
	id      uint64
	done    string // "removed from"
	header  *pb.ResponseHeader
	members []*pb.Member
	resp    any // the answer as clientv3 gives it, for JSON
	msg     proto.Message
}

func (a memberChangeAnswer) value() any                      { return a.resp }
func (a memberChangeAnswer) hexValue() any                   { return hexMembers(a.header, nil, a.members) }
func (a memberChangeAnswer) message() (proto.Message, error) { return a.msg, nil }

func (a memberChangeAnswer) simple(w *simpleWriter) {
	w.printf("Member %16x %s cluster %16x\n", a.id, a.done, a.header.GetClusterId())
}

type memberListAnswer struct{ resp *clientv3.MemberListResponse }

func (a memberListAnswer) value() any    { return a.resp }
func (a memberListAnswer) hexValue() any { return hexMembers(a.resp.Header, nil, a.resp.Members) }

func (a memberListAnswer) message() (proto.Message, error) {
	return (*pb.MemberListResponse)(a.resp), nil
}

func (a memberListAnswer) table() (header []string, rows [][]string) {
	for _, m := range a.resp.Members {
		status := "started"
		if m.Name == "" {
			status = "unstarted"
		}
		rows = append(rows, []string{
			fmt.Sprintf("%x", m.ID), status, m.Name,
			strings.Join(m.PeerURLs, ","), strings.Join(m.ClientURLs, ","), fmt.Sprint(m.IsLearner),
		})
	}
	return []string{"ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"}, rows
}

func (a memberListAnswer) simple(w *simpleWriter) {
	_, rows := a.table()
	w.rows(rows)
}

func (a memberListAnswer) fields(w *fieldsWriter) {
	w.header(a.resp.Header)
	for _, m := range a.resp.Members {
		w.id("ID", m.ID)
		w.quoted("Name", m.Name)
		for _, url := range m.PeerURLs {
			w.quoted("PeerURL", url)
		}
		for _, url := range m.ClientURLs {
			w.quoted("ClientURL", url)
		}
		w.field("IsLearner", m.IsLearner)
		w.blank()
	}
}
