package server

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// budget bounds the bytes of answers that are being built at the same time.
// One larger than the whole budget passes when it is alone.
type budget struct {
	sem *semaphore.Weighted
	max int64
}

func newBudget(bytes int64) budget {
	if bytes <= 0 {
		bytes = 1 << 30
	}
	return budget{semaphore.NewWeighted(bytes), bytes}
}

// small answers are not counted: what they could add up to is bounded by the
// number of requests.
const smallAnswer = 64 << 10

// acquire waits until the answer fits; release must be called when it is built.
func (b *budget) acquire(ctx context.Context, kvs [][]byte) (release func(), err error) {
	var size int64
	for _, kv := range kvs {
		size += int64(len(kv)) + 8
	}
	if size <= smallAnswer {
		return func() {}, nil
	}
	size = min(size, b.max)
	if err := b.sem.Acquire(ctx, size); err != nil {
		return nil, contextError(err)
	}
	return func() { b.sem.Release(size) }, nil
}
