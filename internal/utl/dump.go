package utl

import (
	"fmt"
	"path"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/reflect/protoreflect"

	"keelson/internal/revlog"
	"keelson/internal/snap"
	"keelson/internal/wal"
	"keelson/internal/wire"
)

func (u *utl) dumpCommand() *cobra.Command {
	var walDir string
	part := func(name, short string, dump func(places) error) *cobra.Command {
		return &cobra.Command{
			Use:   name + " <data-dir>",
			Short: short,
			Args:  cobra.ExactArgs(1),
			RunE:  u.body(func(args []string) error { return dump(placesOf(args[0], walDir)) }),
		}
	}
	cmd := &cobra.Command{Use: "dump <subcommand>", Short: "Prints the files of a stopped member as text"}
	cmd.PersistentFlags().StringVar(&walDir, "wal-dir", "", "raft log outside of the data directory")
	cmd.AddCommand(
		part("wal", "Prints the records of the raft log", u.dumpWAL),
		part("checkpoint", "Prints the checkpoints, newest first", u.dumpCheckpoints),
		part("revlog", "Prints the revisions that the newest checkpoint holds", u.dumpRevlog),
	)
	return cmd
}

// dumpWAL prints the records before the first damage, and then what it is.
func (u *utl) dumpWAL(p places) error {
	sum, err := wal.Verify(u.fs, p.wal, func(r wal.Record) error {
		_, err := fmt.Fprintf(u.stdout, "%s %d %s\n", r.File, r.Offset, walRecordText(r))
		return err
	})
	if err == nil && sum.Torn != "" {
		fmt.Fprintf(u.stdout, "unfinished write at %d: %s\n", sum.EndOffset, sum.Torn)
	}
	return err
}

func walRecordText(r wal.Record) string {
	switch {
	case r.Entry != nil:
		e := r.Entry
		return fmt.Sprintf("entry term=%d index=%d %s", e.GetTerm(), e.GetIndex(), entryText(e))
	case r.State != nil:
		return fmt.Sprintf("state term=%d vote=%x commit=%d", r.State.GetTerm(), r.State.GetVote(), r.State.GetCommit())
	case r.Snapshot != nil:
		return fmt.Sprintf("snapshot term=%d index=%d", r.Snapshot.Term, r.Snapshot.Index)
	case r.Kind == wal.KindMetadata:
		if member, cluster, err := wal.ParseMetadata(r.Data); err == nil {
			return fmt.Sprintf("metadata member=%s cluster=%s", member, cluster)
		}
	case r.Kind == wal.KindCRC:
		return fmt.Sprintf("crc %08x", r.CRC)
	}
	return fmt.Sprintf("%s %q", r.Kind, r.Data)
}

func entryText(e *raftpb.Entry) string {
	switch {
	case e.GetType() != raftpb.EntryNormal:
		return fmt.Sprintf("%s %d bytes", e.GetType(), len(e.GetData()))
	case len(e.GetData()) == 0:
		return "empty"
	}
	request, err := wire.ParseRaftRequest(e.GetData())
	if err != nil {
		return fmt.Sprintf("not understood (%v) %q", err, e.GetData())
	}
	return fmt.Sprintf("%s id=%x %d bytes", requestName(request.Kind), request.Header.ID, len(request.Body))
}

// requestName is the name of the field that holds such a request in a raft entry.
func requestName(kind wire.Kind) string {
	fields := (&pb.InternalRaftRequest{}).ProtoReflect().Descriptor().Fields()
	if f := fields.ByNumber(protoreflect.FieldNumber(kind)); f != nil {
		return string(f.Name())
	}
	return fmt.Sprintf("request %d", kind)
}

func (u *utl) dumpCheckpoints(p places) error {
	all, err := u.checkpoints(p.checkpoints)
	for _, c := range all {
		u.dumpCheckpoint(c)
	}
	return err
}

func (u *utl) dumpCheckpoint(c *snap.Checkpoint) {
	fmt.Fprintf(u.stdout, "%s applied=%d term=%d revision=%d compacted=%d compaction=%d\n",
		snap.FileName(c.Applied), c.Applied, c.AppliedTerm, c.Revision, c.CompactRev, c.ScheduledCompact)
	if manifest, err := revlog.ParseManifest(c.Log); err != nil {
		fmt.Fprintf(u.stdout, "  manifest: %v\n", err)
	} else {
		for _, s := range manifest.Segments {
			fmt.Fprintf(u.stdout, "  segment id=%016x bytes=%d records=%d sealed=%v revisions=%s..%s\n",
				s.ID, s.Bytes, s.Records, s.Sealed, s.First, s.Last)
		}
	}
	for _, s := range c.Sections {
		fmt.Fprintf(u.stdout, "  section %s %d bytes\n", s.Name, len(s.Data))
	}
}

func (u *utl) dumpRevlog(p places) error {
	all, err := u.checkpoints(p.checkpoints)
	if len(all) == 0 {
		if err == nil {
			err = fmt.Errorf("%s holds no checkpoint", p.checkpoints)
		}
		return err
	}
	manifest, err := revlog.ParseManifest(all[0].Log)
	if err != nil {
		return err
	}
	return revlog.Walk(u.fs, p.revlog, manifest, func(file string, offset int64, r revlog.Record) error {
		what := "put"
		if r.Tombstone {
			what = "delete"
		}
		_, err := fmt.Fprintf(u.stdout, "%s %d rev=%s prev=%s %s key=%q create=%d version=%d lease=%s %d bytes\n",
			path.Base(file), offset, r.Rev, r.Prev, what, r.Key, r.Create, r.Version, r.Lease, len(r.KV))
		return err
	})
}
