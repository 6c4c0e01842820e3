package ctl

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func (c *ctl) snapshotCommand() *cobra.Command {
	save := &cobra.Command{
		Use:   "save <filename>",
		Short: "Stores a member's backend snapshot to a given file",
		RunE: c.run(func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badArguments("snapshot save expects one argument <filename>")
			}
			cfg, err := c.configure(cmd)
			if err != nil {
				return err
			}
			// A snapshot takes as long as it takes, unless the user says otherwise.
			ctx := context.Background()
			if cmd.Flags().Changed("command-timeout") {
				limited, cancel := c.limited()
				defer cancel()
				ctx = limited
			}
			version, err := c.saveSnapshot(ctx, cfg, args[0])
			if err != nil {
				return fail(exitInterrupted, err)
			}
			fmt.Fprintf(c.Stdout, "Snapshot saved at %s\n", args[0])
			if version != "" {
				fmt.Fprintf(c.Stdout, "Server version %s\n", version)
			}
			return nil
		}),
	}
	return group("snapshot <subcommand>", "Manages member snapshots", save)
}

// saveSnapshot fetches a snapshot into path.part, checks it and makes it
// durable before it takes the place of path. It returns the storage version
// that the server names, which servers before 3.6 do not.
func (c *ctl) saveSnapshot(ctx context.Context, cfg clientv3.Config, path string) (version string, err error) {
	if len(cfg.Endpoints) != 1 {
		return "", fmt.Errorf("snapshot must be requested to one selected node, not multiple %v", cfg.Endpoints)
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		return "", err
	}
	defer client.Close()
	log := c.logger(zapcore.InfoLevel)

	part := path + ".part"
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", fmt.Errorf("could not open %s (%w)", part, err)
	}
	defer func() {
		file.Close() // again after a success: harmless
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	log.Info("created temporary db file", zap.String("path", part))

	start := c.Clock.Now()
	resp, err := client.SnapshotWithVersion(ctx)
	if err != nil {
		return "", err
	}
	defer resp.Snapshot.Close()
	log.Info("fetching snapshot", zap.String("endpoint", cfg.Endpoints[0]))
	size, err := copyChecked(file, resp.Snapshot)
	if err != nil {
		return "", err
	}
	if err := file.Sync(); err != nil {
		return "", fmt.Errorf("could not fsync snapshot: %w", err)
	}
	if err := file.Close(); err != nil {
		return "", fmt.Errorf("could not close file descriptor: %w", err)
	}
	log.Info("fetched snapshot", zap.String("endpoint", cfg.Endpoints[0]),
		zap.String("size", humanize.Bytes(uint64(size))),
		zap.Duration("took", c.Clock.Now().Sub(start)),
		zap.String("etcd-version", resp.Version))
	if err := os.Rename(part, path); err != nil {
		return "", fmt.Errorf("could not rename %s to %s (%w)", part, path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return "", fmt.Errorf("could not fsync directory of snapshot: %w", err)
	}
	log.Info("saved", zap.String("path", path))
	return resp.Version, nil
}

// copyChecked copies a snapshot and compares the SHA-256 at its end. A database
// consists of whole sectors of 512 bytes, so the size tells whether the sum is there.
func copyChecked(dst io.Writer, src io.Reader) (size int64, err error) {
	sum := sha256.New()
	var tail []byte // the last bytes read: the checksum, if there is one
	buf := make([]byte, 256<<10)
	for {
		n, readErr := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return size, fmt.Errorf("could not write snapshot: %w", err)
			}
			size += int64(n)
			tail = append(tail, buf[:n]...)
			if extra := len(tail) - sha256.Size; extra > 0 {
				sum.Write(tail[:extra])
				tail = append(tail[:0], tail[extra:]...)
			}
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			return size, fmt.Errorf("could not write snapshot: %w", readErr)
		}
	}
	if size%512 != sha256.Size {
		return size, fmt.Errorf("sha256 checksum not found [bytes: %d]", size)
	}
	if got := sum.Sum(nil); !bytes.Equal(got, tail) {
		return size, fmt.Errorf("expected sha256 %v, got %v", tail, got)
	}
	return size, nil
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
