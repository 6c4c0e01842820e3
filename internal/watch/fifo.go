package watch

// fifo is a growing ring of values: amortised O(1), no allocation while it
// fluctuates below its capacity.
type fifo[T any] struct {
	buf  []T // length is zero or a power of two
	head int
	n    int
}

const fifoMinSlots = 8

func (f *fifo[T]) len() int { return f.n }

func (f *fifo[T]) push(v T) {
	if f.n == len(f.buf) {
		f.grow()
	}
	f.buf[(f.head+f.n)&(len(f.buf)-1)] = v
	f.n++
}

func (f *fifo[T]) grow() {
	bigger := make([]T, max(fifoMinSlots, 2*len(f.buf)))
	k := copy(bigger, f.buf[f.head:])
	copy(bigger[k:], f.buf[:f.head])
	f.buf, f.head = bigger, 0
}

// front points at the oldest value; valid until the next push or pop.
func (f *fifo[T]) front() *T { return &f.buf[f.head] }

// pop removes the oldest value and forgets what it referred to. A buffer that
// ran empty is let go if it has more than keep slots.
func (f *fifo[T]) pop(keep int) {
	var zero T
	f.buf[f.head] = zero
	f.head = (f.head + 1) & (len(f.buf) - 1)
	f.n--
	if f.n == 0 && len(f.buf) > keep {
		f.buf, f.head = nil, 0
	}
}
