package compat

import (
	"slices"
	"testing"
	"time"
)

const (
	// shrinkTime bounds the search; every try starts two fresh servers.
	shrinkTime = 2 * time.Minute
)

// shrink looks for a short list of steps that shows a difference on fresh
// servers: first among the steps of the failing sequence, then, if they need
// what earlier sequences left behind, among all since the pair was started.
func shrink(t *testing.T, steps, history []step) (best []step, trace []string, found error) {
	until := time.Now().Add(shrinkTime)
	try := func(candidate []step) bool {
		r := newRun(t)
		defer r.close()
		done, err := r.play(candidate)
		if err == nil {
			return false
		}
		best, trace, found = slices.Clone(candidate[:done]), r.trace, err
		return true
	}
	if !try(steps) && !try(history) {
		return nil, nil, nil
	}
	for size := (len(best) + 1) / 2; size >= 1 && time.Now().Before(until); {
		removed := false
		for at := 0; at < len(best) && time.Now().Before(until); {
			candidate := slices.Delete(slices.Clone(best), at, min(at+size, len(best)))
			if len(candidate) > 0 && try(candidate) {
				removed = true
				continue
			}
			at += size
		}
		if size == 1 && !removed {
			break
		}
		size = max(size/2, 1)
	}
	return best, trace, found
}
