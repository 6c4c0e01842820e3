package obs

import (
	"context"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"keelson/internal/clock"
	"keelson/internal/vfs"
)

// crowded pretends that far too many descriptors are open.
type crowded struct{ vfs.FS }

func (crowded) List(string) ([]string, error) { return make([]string, 1<<25), nil }

func TestDescriptors(t *testing.T) {
	m, _ := newTestMetrics(false)
	var b strings.Builder
	lg := NewLoggerTo(&b, zap.InfoLevel, clock.Real{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	WatchDescriptors(ctx, vfs.OS{}, clock.Real{}, m, lg)
	var used, limit dto.Metric
	if m.Process.DescriptorsUsed.Write(&used) != nil || m.Process.DescriptorsLimit.Write(&limit) != nil {
		t.Fatal("no sample")
	}
	if limit.GetGauge().GetValue() < 1 {
		t.Errorf("limit %v", limit.GetGauge().GetValue())
	}
	if b.Len() != 0 {
		t.Errorf("warned: %s", b.String())
	}
	countDescriptors(crowded{}, m, lg)
	if limit.GetGauge().GetValue() < 1<<25 && !strings.Contains(b.String(), `"msg":"80% of file descriptors are used"`) {
		t.Errorf("not warned: %s", b.String())
	}
}
