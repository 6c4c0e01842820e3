package server

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"

	"keelson/internal/alarm"
	"keelson/internal/base"
	"keelson/internal/dbfile"
	"keelson/internal/member"
	"keelson/internal/mvcc"
	"keelson/internal/revlog"
)

// snapshotChunk is the size of one message of a snapshot stream, as in etcd.
const snapshotChunk = 32 << 10

// Snapshot sends the state as an etcd database file, followed by its SHA-256.
// The file is built from a pinned view, next to the data, and then sent; writes
// go on meanwhile.
func (s *Server) Snapshot(ctx context.Context, _ *pb.SnapshotRequest, send func(*pb.SnapshotResponse) error) error {
	start := s.cfg.Clock.Now()
	name := path.Join(s.cfg.TempDir, fmt.Sprintf("tmp-export-%016x.db", s.ids.next()))
	defer func() {
		if err := s.cfg.FS.RemoveAll(name); err != nil {
			s.log.Warn("failed to remove a temporary snapshot file", zap.String("file", name), zap.Error(err))
		}
	}()
	if err := s.export(ctx, name); err != nil {
		return s.exportError(err)
	}
	if err := s.sendFile(ctx, name, send); err != nil {
		return s.exportError(err)
	}
	s.log.Info("sent database snapshot to a client", zap.Duration("took", s.cfg.Clock.Now().Sub(start)))
	return nil
}

// exportError lets everything through but corrupt storage: a failure to write
// the temporary file is the client's loss alone.
func (s *Server) exportError(err error) error {
	var broken *revlog.CorruptError
	if errors.As(err, &broken) {
		return s.fault.check(err)
	}
	return err
}

// exportState is what the apply goroutine captures for an export.
type exportState struct {
	content dbfile.Content
	view    *mvcc.View
	err     error
}

// exportNow runs on the apply goroutine.
func (s *Server) exportNow() (e exportState) {
	m := s.cfg.Machine
	conf := m.Members.ConfState()
	e.view = m.KV.View()
	e.content = dbfile.Content{
		Applied: s.Applied(), AppliedTerm: s.appliedTerm,
		CompactRev:     e.view.CompactRevision(),
		StorageVersion: s.cfg.StorageVersion, ClusterVersion: m.Members.Version(),
		Removed: m.Members.Removed(),
	}
	e.content.ConfState, e.err = dbfile.ConfState(conf.Voters, conf.Learners)
	for _, mb := range m.Members.All() {
		e.content.Members = append(e.content.Members, dbfile.Member{ID: mb.ID, JSON: memberJSON(mb, &e.err)})
	}
	if d := m.Members.DowngradeJob(); d.Enabled {
		e.content.Downgrade, e.err = json.Marshal(d)
	}
	for _, l := range m.Leases.All() {
		e.content.Leases = append(e.content.Leases, dbfile.Lease{ID: l.ID, TTL: l.TTL, Remaining: l.Remaining})
	}
	for _, a := range m.Alarms.List(alarm.None) {
		e.content.Alarms = append(e.content.Alarms, dbfile.Alarm{Member: a.Member, Kind: int32(a.Kind)})
	}
	return e
}

func memberJSON(m member.Member, errp *error) []byte {
	b, err := json.Marshal(m)
	if err != nil && *errp == nil {
		*errp = err
	}
	return b
}

// export writes the state of now to a file.
func (s *Server) export(ctx context.Context, name string) error {
	var e exportState
	if err := s.onApply(ctx, func() { e = s.exportNow() }); err != nil {
		return err
	}
	defer e.view.Release()
	if e.err != nil {
		return e.err
	}
	e.content.Records = func(yield func(base.Revision, bool, []byte) bool) error {
		return e.view.Records(func(r revlog.Record) bool { return yield(r.Rev, r.Tombstone, r.KV) })
	}
	return dbfile.Write(ctx, name, &e.content)
}

// sendFile streams a file in pieces and then its digest.
func (s *Server) sendFile(ctx context.Context, name string, send func(*pb.SnapshotResponse) error) error {
	f, err := s.cfg.FS.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	digest := sha256.New()
	buf := make([]byte, snapshotChunk)
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if err != nil && (err != io.EOF || n == 0) {
			return err
		}
		off += int64(n)
		digest.Write(buf[:n])
		msg := &pb.SnapshotResponse{RemainingBytes: uint64(size - off), Blob: buf[:n], Version: s.cfg.StorageVersion}
		if err := send(msg); err != nil {
			return err
		}
	}
	return send(&pb.SnapshotResponse{Blob: digest.Sum(nil), Version: s.cfg.StorageVersion})
}
