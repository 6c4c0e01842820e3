package ctl

import (
	"time"

	"keelson/internal/clock"
)

// zapClock lets log lines carry the injected time.
type zapClock struct{ clock clock.Clock }

func (z zapClock) Now() time.Time                         { return z.clock.Now().UTC() }
func (z zapClock) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }
