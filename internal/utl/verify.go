package utl

import (
	"errors"
	"fmt"
	"path"

	"github.com/spf13/cobra"

	"keelson/internal/base"
	"keelson/internal/revlog"
	"keelson/internal/snap"
	"keelson/internal/wal"
)

// places are the directories of a member.
type places struct{ wal, checkpoints, revlog string }

func placesOf(dataDir, walDir string) places {
	member := path.Join(dataDir, "member")
	p := places{wal: path.Join(member, "wal"), checkpoints: path.Join(member, "snap"), revlog: path.Join(member, "revlog")}
	if walDir != "" {
		p.wal = walDir
	}
	return p
}

func (u *utl) verifyCommand() *cobra.Command {
	var walDir string
	cmd := &cobra.Command{
		Use:   "verify <data-dir>",
		Short: "Checks the files of a stopped member",
		Args:  cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&walDir, "wal-dir", "", "raft log outside of the data directory")
	cmd.RunE = u.body(func(args []string) error { return u.verify(placesOf(args[0], walDir)) })
	return cmd
}

// verify looks at all kinds of files even when one of them is damaged: what is
// left decides how the member can be repaired.
func (u *utl) verify(p places) error {
	log, walErr := u.verifyWAL(p.wal)
	newest, snapErr := u.verifyCheckpoints(p)
	err := errors.Join(walErr, snapErr)
	if err == nil {
		err = complete(p, log, newest)
	}
	if err != nil {
		return fmt.Errorf("the member's files are damaged:\n%w", err)
	}
	fmt.Fprintln(u.stdout, "all files are intact")
	return nil
}

// complete checks that the raft log goes on where the newest checkpoint, or
// for a young member the beginning, leaves off.
func complete(p places, log wal.Summary, newest *snap.Checkpoint) error {
	applied := base.Index(0)
	if newest != nil {
		applied = newest.Applied
	}
	if log.FirstIndex > applied+1 {
		return fmt.Errorf("raft log %s begins at entry %d, but the state of %s ends at %d",
			p.wal, log.FirstIndex, p.checkpoints, applied)
	}
	return nil
}

func (u *utl) verifyWAL(dir string) (wal.Summary, error) {
	sum, err := wal.Verify(u.fs, dir, nil)
	if err != nil {
		return sum, err
	}
	member, cluster, err := wal.ParseMetadata(sum.Metadata)
	if err != nil {
		return sum, fmt.Errorf("raft log %s: %w", dir, err)
	}
	fmt.Fprintf(u.stdout, "wal: member %s of cluster %s, files %d, records %d, entries %d to %d, commit %d\n",
		member, cluster, len(sum.Segments), sum.Records, sum.FirstIndex, sum.LastIndex, sum.HardState.GetCommit())
	if sum.Torn != "" {
		fmt.Fprintf(u.stdout, "wal: an unfinished write at the end will be cut at the next start: %s\n", sum.Torn)
	}
	return sum, nil
}

// verifyCheckpoints also walks over the revision log, since only a checkpoint
// says how much of it counts. newest is nil when there is none.
func (u *utl) verifyCheckpoints(p places) (newest *snap.Checkpoint, err error) {
	all, err := u.checkpoints(p.checkpoints)
	for _, c := range all {
		fmt.Fprintf(u.stdout, "checkpoint: applied %d, revision %d\n", c.Applied, c.Revision)
	}
	if len(all) == 0 {
		fmt.Fprintln(u.stdout, "checkpoint: none")
		return nil, err
	}
	return all[0], errors.Join(err, u.verifyRevlog(p.revlog, all[0]))
}

// checkpoints are the intact ones, newest first; the error tells of the others.
func (u *utl) checkpoints(dir string) (good []*snap.Checkpoint, err error) {
	indexes, err := snap.List(u.fs, dir)
	if err != nil {
		return nil, err
	}
	for _, applied := range indexes {
		c, readErr := snap.Read(u.fs, path.Join(dir, snap.FileName(applied)))
		if readErr != nil {
			err = errors.Join(err, readErr)
			continue
		}
		good = append(good, c)
	}
	return good, err
}

func (u *utl) verifyRevlog(dir string, c *snap.Checkpoint) error {
	manifest, err := revlog.ParseManifest(c.Log)
	if err != nil {
		return fmt.Errorf("checkpoint of applied index %d: %w", c.Applied, err)
	}
	var records, bytes int64
	var last base.Revision
	err = revlog.Walk(u.fs, dir, manifest, func(_ string, _ int64, r revlog.Record) error {
		records++
		bytes += int64(len(r.KV))
		last = r.Rev
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(u.stdout, "revlog: segments %d, records %d, payload %d bytes, up to revision %s\n",
		len(manifest.Segments), records, bytes, last)
	return nil
}
