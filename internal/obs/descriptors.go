package obs

import (
	"context"
	"time"

	"go.uber.org/zap"

	"keelson/internal/clock"
	"keelson/internal/vfs"
)

// descriptorInterval is how often open descriptors are counted.
const descriptorInterval = 10 * time.Minute

// WatchDescriptors keeps os_fd_used and os_fd_limit up to date until ctx ends,
// and warns when four fifths are used. It is a goroutine of its own.
func WatchDescriptors(ctx context.Context, fs vfs.FS, c clock.Clock, m *Metrics, lg *zap.Logger) {
	tick := c.NewTicker(descriptorInterval)
	defer tick.Stop()
	for {
		countDescriptors(fs, m, lg)
		select {
		case <-tick.C():
		case <-ctx.Done():
			return
		}
	}
}

func countDescriptors(fs vfs.FS, m *Metrics, lg *zap.Logger) {
	limit, err := DescriptorLimit()
	if err != nil {
		lg.Warn("failed to get file descriptor limit", zap.Error(err))
		return
	}
	m.Process.DescriptorsLimit.Set(float64(limit))
	open, err := fs.List("/proc/self/fd")
	if err != nil {
		return // no such directory outside Linux; the process metrics tell there
	}
	m.Process.DescriptorsUsed.Set(float64(len(open)))
	if uint64(len(open)) >= limit/5*4 {
		lg.Warn("80% of file descriptors are used", zap.Int("used", len(open)), zap.Uint64("limit", limit))
	}
}
