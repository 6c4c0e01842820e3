package revlog

import (
	"fmt"

	"go.uber.org/zap"

	"keelson/internal/clock"
	"keelson/internal/vfs"
)

// Sizes used where Options leave a zero.
const (
	// DefaultSegmentBytes keeps the files of a 100 GB store below 2000 and one
	// rewrite below a second.
	DefaultSegmentBytes = 64 << 20
	// DefaultTailBytes is large enough that one write call per buffer does not
	// count, small enough that old readers pinning buffers do not either.
	DefaultTailBytes = 1 << 20
	// MaxSegmentBytes keeps offsets inside a segment in 32 bits with room for
	// one record of MaxRecordBytes.
	MaxSegmentBytes = 1 << 30
	// MaxRecordBytes bounds key and payload of one record together.
	MaxRecordBytes = 1 << 30
)

// Options is what a Log is made of. FS and Dir are required.
type Options struct {
	FS  vfs.FS
	Dir string // holds nothing but the files of this log

	SegmentBytes int64 // a segment is sealed before it grows beyond; 0 is DefaultSegmentBytes
	TailBytes    int   // heap buffer of the newest records; 0 is DefaultTailBytes

	// Older are the manifests of the other checkpoints that are kept. Open
	// deletes what neither they nor its own manifest name: on a full disk the
	// spare segment of the last life would otherwise take the room that is
	// needed to bring its records back. With nil it is not known what they
	// name, and Open leaves that to Retain.
	Older []Manifest

	Logger *zap.Logger // nil is silence
	Clock  clock.Clock // nil is clock.Real

	// NoSync leaves out every sync (--unsafe-no-fsync).
	NoSync bool
	// Inline runs the housekeeper's work inside the calls that cause it, on
	// their goroutine. For simulations that must replay exactly.
	Inline bool
}

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil || o.Dir == "" {
		return o, fmt.Errorf("revlog: options need FS and Dir")
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.TailBytes == 0 {
		o.TailBytes = DefaultTailBytes
	}
	if o.SegmentBytes < headerBytes || o.SegmentBytes > MaxSegmentBytes || o.TailBytes < 0 || o.TailBytes > MaxSegmentBytes {
		return o, fmt.Errorf("revlog: segments of %d bytes and tails of %d bytes are out of bounds", o.SegmentBytes, o.TailBytes)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	return o, nil
}
