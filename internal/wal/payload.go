package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"keelson/internal/base"
)

// The data of records, as etcd 3.7 encodes it. Appenders write what the
// protobuf library would; parsers accept every encoding of the message but
// refuse values that no writer of a log produces, because a flipped bit in the
// record type is not covered by the checksum and would otherwise turn one
// message into another.

// entryHeadBytes bounds the encoding of an entry in front of its data.
const entryHeadBytes = 2 + 3*11

// appendEntryHead encodes e up to the bytes of its Data. Normal entries have
// no type field and empty ones no data field, as etcd writes them.
func appendEntryHead(dst []byte, e *raftpb.Entry) []byte {
	if t := e.GetType(); t != raftpb.EntryNormal {
		dst = append(dst, 0x08)
		dst = binary.AppendUvarint(dst, uint64(t))
	}
	dst = append(dst, 0x10)
	dst = binary.AppendUvarint(dst, e.GetTerm())
	dst = append(dst, 0x18)
	dst = binary.AppendUvarint(dst, e.GetIndex())
	if len(e.Data) > 0 {
		dst = append(dst, 0x22)
		dst = binary.AppendUvarint(dst, uint64(len(e.Data)))
	}
	return dst
}

// entryView is an entry that still aliases the bytes it was read from.
type entryView struct {
	kind  raftpb.EntryType
	term  base.Term
	index base.Index
	data  []byte
}

var (
	errEntry    = errors.New("not a raft entry")
	errState    = errors.New("not a hard state")
	errSnapshot = errors.New("not a snapshot record")
	errMetadata = errors.New("not the metadata of a member")
)

func parseEntry(b []byte) (e entryView, err error) {
	var kind uint64
	err = eachField(b, func(num protowire.Number, v uint64, data []byte) {
		switch num {
		case 1:
			kind = v
		case 2:
			e.term = base.Term(v)
		case 3:
			e.index = base.Index(v)
		case 4:
			e.data = data
		}
	})
	if err != nil {
		return e, fmt.Errorf("%w: %w", errEntry, err)
	}
	e.kind = raftpb.EntryType(kind)
	switch {
	case e.term == 0 || e.index == 0:
		return e, fmt.Errorf("%w: term %d, index %d", errEntry, e.term, e.index)
	case kind > uint64(raftpb.EntryConfChangeV2):
		return e, fmt.Errorf("%w: unknown entry type %d", errEntry, kind)
	case kind != 0 && len(e.data) == 0:
		return e, fmt.Errorf("%w: a conf change without data", errEntry)
	}
	return e, nil
}

// entryBox keeps an entry and the numbers it points to in one allocation.
type entryBox struct {
	entry raftpb.Entry
	kind  raftpb.EntryType
	term  uint64
	index uint64
}

// message makes an entry that owns its bytes.
func (e entryView) message() *raftpb.Entry {
	box := &entryBox{kind: e.kind, term: uint64(e.term), index: uint64(e.index)}
	box.entry.Term, box.entry.Index = &box.term, &box.index
	if e.kind != raftpb.EntryNormal {
		box.entry.Type = &box.kind
	}
	if len(e.data) > 0 {
		box.entry.Data = append(make([]byte, 0, len(e.data)), e.data...)
	}
	return &box.entry
}

// hardState is raftpb.HardState as a value. The zero value means none.
type hardState struct{ term, vote, commit uint64 }

func (s hardState) isZero() bool { return s == hardState{} }

func (s hardState) message() *raftpb.HardState {
	if s.isZero() {
		return nil
	}
	return &raftpb.HardState{Term: &s.term, Vote: &s.vote, Commit: &s.commit}
}

// append encodes all three fields, also zero ones, as etcd does.
func (s hardState) append(dst []byte) []byte {
	dst = append(dst, 0x08)
	dst = binary.AppendUvarint(dst, s.term)
	dst = append(dst, 0x10)
	dst = binary.AppendUvarint(dst, s.vote)
	dst = append(dst, 0x18)
	return binary.AppendUvarint(dst, s.commit)
}

func parseHardState(b []byte) (s hardState, err error) {
	strange := false
	err = eachField(b, func(num protowire.Number, v uint64, data []byte) {
		switch num {
		case 1:
			s.term = v
		case 2:
			s.vote = v
		case 3:
			s.commit = v
		default:
			strange = true
		}
	})
	switch {
	case err != nil:
		return s, fmt.Errorf("%w: %w", errState, err)
	case s.term == 0 || strange:
		return s, errState
	}
	return s, nil
}

// append encodes a snapshot record. Its index and term are written even when
// zero: etcd insists on finding them.
func (s Snapshot) append(dst []byte) ([]byte, error) {
	dst = append(dst, 0x08)
	dst = binary.AppendUvarint(dst, uint64(s.Index))
	dst = append(dst, 0x10)
	dst = binary.AppendUvarint(dst, uint64(s.Term))
	if s.ConfState == nil {
		return dst, nil
	}
	conf, err := proto.Marshal(s.ConfState)
	if err != nil {
		return dst, fmt.Errorf("wal: encode conf state: %w", err)
	}
	dst = append(dst, 0x1a)
	dst = binary.AppendUvarint(dst, uint64(len(conf)))
	return append(dst, conf...), nil
}

func parseSnapshot(b []byte) (s Snapshot, err error) {
	var conf []byte
	var seen [4]bool
	err = eachField(b, func(num protowire.Number, v uint64, data []byte) {
		switch num {
		case 1:
			s.Index = base.Index(v)
		case 2:
			s.Term = base.Term(v)
		case 3:
			conf = data
		default:
			return
		}
		seen[num] = true
	})
	switch {
	case err != nil:
		return s, fmt.Errorf("%w: %w", errSnapshot, err)
	case !seen[1] || !seen[2]:
		return s, errSnapshot
	case seen[3]:
		s.ConfState = new(raftpb.ConfState)
		if err := proto.Unmarshal(conf, s.ConfState); err != nil {
			return s, fmt.Errorf("%w: conf state: %w", errSnapshot, err)
		}
	}
	return s, nil
}

// AppendMetadata encodes the metadata that etcd stores in each segment.
func AppendMetadata(dst []byte, member base.MemberID, cluster base.ClusterID) []byte {
	dst = append(dst, 0x08)
	dst = binary.AppendUvarint(dst, uint64(member))
	dst = append(dst, 0x10)
	return binary.AppendUvarint(dst, uint64(cluster))
}

// ParseMetadata decodes what AppendMetadata or etcd wrote.
func ParseMetadata(b []byte) (member base.MemberID, cluster base.ClusterID, err error) {
	err = eachField(b, func(num protowire.Number, v uint64, data []byte) {
		switch num {
		case 1:
			member = base.MemberID(v)
		case 2:
			cluster = base.ClusterID(v)
		}
	})
	if err != nil {
		return 0, 0, fmt.Errorf("wal: %w: %w", errMetadata, err)
	}
	return member, cluster, nil
}

// eachField calls yield for every varint and bytes field of a message; fields
// of other wire types are checked and passed over.
func eachField(b []byte, yield func(num protowire.Number, v uint64, data []byte)) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		switch typ {
		case protowire.VarintType:
			var v uint64
			if v, n = protowire.ConsumeVarint(b); n >= 0 {
				yield(num, v, nil)
			}
		case protowire.BytesType:
			var data []byte
			if data, n = protowire.ConsumeBytes(b); n >= 0 {
				yield(num, 0, data)
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
	}
	return nil
}
