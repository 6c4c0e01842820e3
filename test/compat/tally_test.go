package compat

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// tally counts what kinds of answers came, so that a run shows what it did not
// reach.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func newTally() *tally { return &tally{counts: map[string]int{}} }

// numbers in error texts would make each of them a kind of its own.
var numbers = regexp.MustCompile(`[0-9]+`)

func (c *tally) add(method string, a answer) {
	if c == nil {
		return
	}
	kind := "ok"
	if a.err != nil {
		kind = numbers.ReplaceAllString(errorText(a.err), "N")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[method+": "+kind]++
}

func (c *tally) table() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(c.counts)) {
		fmt.Fprintf(&out, "%7d  %s\n", c.counts[kind], kind)
	}
	return out.String()
}
