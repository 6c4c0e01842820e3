// Command million fills a member with a million small keys and prints what
// that costs: time to fill, memory, the server CPU of lists and counts, the
// time to be healthy again after a kill, and the latency of puts while a
// compaction and reclaiming run. It fails on no number.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"keelson/bench/internal/proc"
)

func main() {
	bin := flag.String("bin", "../bin/etcd", "server binary")
	keys := flag.Int("keys", 1_000_000, "keys to fill in")
	size := flag.Int("size", 64, "bytes of a value")
	flag.Parse()
	if err := run(*bin, *keys, *size); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

type bench struct {
	m    *proc.Member
	c    *clientv3.Client
	keys int
	size int
}

func run(bin string, keys, size int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "keelson-million-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	b := &bench{keys: keys, size: size}
	if b.m, err = proc.New(bin, dir); err != nil {
		return err
	}
	if _, err := b.m.Start(ctx); err != nil {
		return err
	}
	defer b.m.Kill()
	b.c, err = clientv3.New(clientv3.Config{Endpoints: []string{b.m.ClientURL}, DialTimeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer b.c.Close()
	for _, step := range []func(context.Context) error{b.fill, b.memory, b.lists, b.restart, b.memory, b.compaction} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) key(i int) string {
	return fmt.Sprintf("/registry/bench/%012d", uint64(i)*2654435761%1_000_000_000_000)
}

func (b *bench) value() string {
	v := make([]byte, b.size)
	for i := range v {
		v[i] = byte('a' + rand.IntN(26))
	}
	return string(v)
}

// fill puts all keys by transactions of 100 puts from 8 clients.
func (b *bench) fill(ctx context.Context) error {
	const perTxn, clients = 100, 8
	begin := time.Now()
	cpu, err := b.m.CPU()
	if err != nil {
		return err
	}
	var next atomic.Int64
	err = parallel(clients, func(int) error {
		for {
			from := int(next.Add(perTxn)) - perTxn
			if from >= b.keys {
				return nil
			}
			if from%100_000 == 0 {
				fmt.Fprintf(os.Stderr, "\rfilled %d of %d keys", from, b.keys)
			}
			ops := make([]clientv3.Op, 0, perTxn)
			for i := from; i < min(from+perTxn, b.keys); i++ {
				ops = append(ops, clientv3.OpPut(b.key(i), b.value()))
			}
			if _, err := b.c.Txn(ctx).Then(ops...).Commit(); err != nil {
				return err
			}
		}
	})
	fmt.Fprint(os.Stderr, "\r                                   \r")
	if err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := b.m.CPU()
	fmt.Printf("fill                    %8.2f s   %6.2f us/key   server CPU %6.2f us/key\n",
		took.Seconds(), us(took, b.keys), us(after-cpu, b.keys))
	return err
}

func (b *bench) memory(context.Context) error {
	anon, rss, err := b.m.Memory()
	fmt.Printf("memory                  %8.1f MB anonymous, %.1f MB resident with mapped files\n", mb(anon), mb(rss))
	return err
}

// lists measures server CPU of small answers about many keys.
func (b *bench) lists(ctx context.Context) error {
	for _, w := range []struct {
		name string
		opts []clientv3.OpOption
	}{
		{"list limit=500", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithLimit(500)}},
		{"count_only", []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithCountOnly()}},
	} {
		const rounds, perRound = 11, 100
		var cpus, walls []time.Duration
		for range rounds {
			before, err := b.m.CPU()
			if err != nil {
				return err
			}
			begin := time.Now()
			for range perRound {
				if _, err := b.c.Get(ctx, "/registry/bench/", w.opts...); err != nil {
					return err
				}
			}
			walls = append(walls, time.Since(begin)/perRound)
			after, err := b.m.CPU()
			if err != nil {
				return err
			}
			cpus = append(cpus, (after-before)/perRound)
		}
		fmt.Printf("%-22s  %8.3f ms server CPU, %.3f ms at the client (medians of %d rounds of %d)\n",
			w.name, ms(median(cpus)), ms(median(walls)), rounds, perRound)
	}
	return nil
}

// restart kills the member and starts it again.
func (b *bench) restart(ctx context.Context) error {
	var times []time.Duration
	for range 3 {
		if err := b.m.Kill(); err != nil {
			return err
		}
		took, err := b.m.Start(ctx)
		if err != nil {
			return err
		}
		times = append(times, took)
		res, err := b.c.Get(ctx, "/registry/bench/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		if res.Count != int64(b.keys) {
			return fmt.Errorf("%d keys after the restart, want %d", res.Count, b.keys)
		}
	}
	fmt.Printf("healthy after a kill    %8.2f s (median of %d)\n", median(times).Seconds(), len(times))
	return nil
}

// compaction overwrites a third of the keys, then measures puts while nothing
// else happens and while all that history is compacted and reclaimed.
func (b *bench) compaction(ctx context.Context) error {
	quiet, err := b.puts(ctx, nil)
	if err != nil {
		return err
	}
	if err := b.overwrite(ctx, b.keys/3); err != nil {
		return err
	}
	busy, err := b.puts(ctx, func(rev int64) error {
		if _, err := b.c.Compact(ctx, rev); err != nil {
			return err
		}
		_, err := b.c.Defragment(ctx, b.m.ClientURL)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("put p50 / p99           %8.2f / %.2f ms quiet, %.2f / %.2f ms under compaction and reclaim (p99 x%.2f)\n",
		ms(quantile(quiet, 0.5)), ms(quantile(quiet, 0.99)), ms(quantile(busy, 0.5)), ms(quantile(busy, 0.99)),
		float64(quantile(busy, 0.99))/float64(quantile(quiet, 0.99)))
	return nil
}

func (b *bench) overwrite(ctx context.Context, n int) error {
	var next atomic.Int64
	return parallel(8, func(int) error {
		for {
			from := int(next.Add(100)) - 100
			if from >= n {
				return nil
			}
			var ops []clientv3.Op
			for i := from; i < min(from+100, n); i++ {
				ops = append(ops, clientv3.OpPut(b.key(i), b.value()))
			}
			if _, err := b.c.Txn(ctx).Then(ops...).Commit(); err != nil {
				return err
			}
		}
	})
}

// puts measures the latency of single puts from a few clients for at least five
// seconds, and for as long as during takes.
func (b *bench) puts(ctx context.Context, during func(rev int64) error) ([]time.Duration, error) {
	const clients = 4
	first, err := b.c.Get(ctx, "x")
	if err != nil {
		return nil, err
	}
	var done atomic.Bool
	var mu sync.Mutex
	var all []time.Duration
	var duringErr error
	go func() {
		end := time.After(5 * time.Second)
		if during != nil {
			duringErr = during(first.Header.Revision)
		}
		<-end
		done.Store(true)
	}()
	err = parallel(clients, func(n int) error {
		var own []time.Duration
		for i := 0; !done.Load(); i++ {
			begin := time.Now()
			if _, err := b.c.Put(ctx, fmt.Sprintf("/put/%d/%d", n, i%1000), b.value()); err != nil {
				return err
			}
			own = append(own, time.Since(begin))
		}
		mu.Lock()
		all = append(all, own...)
		mu.Unlock()
		return nil
	})
	if err == nil {
		err = duringErr
	}
	return all, err
}

func parallel(n int, f func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- f(i) }()
	}
	var first error
	for range n {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(int(float64(len(d))*q), len(d)-1)]
}

func median(d []time.Duration) time.Duration { return quantile(d, 0.5) }

func ms(d time.Duration) float64        { return float64(d) / float64(time.Millisecond) }
func us(d time.Duration, n int) float64 { return float64(d) / float64(time.Microsecond) / float64(n) }
func mb(b int64) float64                { return float64(b) / 1e6 }
