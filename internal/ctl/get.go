package ctl

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

type getFlags struct {
	prefix, fromKey      bool
	limit, rev           int64
	order, sortBy        string
	keysOnly, countOnly  bool
	valueOnly            bool
	consistency          string
	minCreate, maxCreate int64
	minMod, maxMod       int64
	stream               bool
}

func (f *getFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.prefix, "prefix", false, "get the keys with this prefix")
	fs.BoolVar(&f.fromKey, "from-key", false, "get this key and all behind it in byte order")
	fs.Int64Var(&f.limit, "limit", 0, "largest number of results")
	fs.Int64Var(&f.rev, "rev", 0, "revision to read at")
	fs.StringVar(&f.order, "order", "", "order of results: ASCEND or DESCEND")
	fs.StringVar(&f.sortBy, "sort-by", "", "what to sort by: CREATE, KEY, MODIFY, VALUE or VERSION")
	fs.BoolVar(&f.keysOnly, "keys-only", false, "get only keys")
	fs.BoolVar(&f.countOnly, "count-only", false, "get only the count")
	fs.BoolVar(&f.valueOnly, "print-value-only", false, `print only values (with -w simple)`)
	fs.StringVar(&f.consistency, "consistency", "l", "linearizable (l) or serializable (s)")
	fs.Int64Var(&f.minCreate, "min-create-rev", 0, "smallest create revision")
	fs.Int64Var(&f.maxCreate, "max-create-rev", 0, "largest create revision")
	fs.Int64Var(&f.minMod, "min-mod-rev", 0, "smallest modification revision")
	fs.Int64Var(&f.maxMod, "max-mod-rev", 0, "largest modification revision")
	fs.BoolVar(&f.stream, "stream", false, "use the RangeStream call")
}

func (c *ctl) getCommand() *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:   "get [options] <key> [range_end]",
		Short: "Gets the key or a range of keys",
		RunE:  c.run(func(cmd *cobra.Command, args []string) error { return c.get(cmd, &f, args) }),
	}
	f.register(cmd.Flags())
	must(cmd.RegisterFlagCompletionFunc("consistency", fixedValues("l", "s")))
	must(cmd.RegisterFlagCompletionFunc("order", fixedValues("ASCEND", "DESCEND")))
	must(cmd.RegisterFlagCompletionFunc("sort-by", fixedValues("CREATE", "KEY", "MODIFY", "VALUE", "VERSION")))
	return cmd
}

func (c *ctl) get(cmd *cobra.Command, f *getFlags, args []string) error {
	key, opts, err := f.operation(args)
	if err != nil {
		return err
	}
	client, err := c.connect(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := c.limited()
	defer cancel()
	resp, err := f.call(ctx, client, key, opts)
	if err != nil {
		return err
	}
	if f.countOnly && c.globals.writeOut != "fields" {
		return badArguments("--count-only is only for `--write-out=fields`")
	}
	if f.valueOnly && c.globals.writeOut != "simple" {
		return badArguments("print-value-only is only for `--write-out=simple`")
	}
	return c.out.print(getAnswer{resp: (*pb.RangeResponse)(resp), valueOnly: f.valueOnly})
}

func (f *getFlags) call(ctx context.Context, client *clientv3.Client, key string, opts []clientv3.OpOption) (*clientv3.GetResponse, error) {
	if !f.stream {
		return client.Get(ctx, key, opts...)
	}
	stream, err := client.GetStream(ctx, key, opts...)
	if err != nil {
		return nil, err
	}
	return clientv3.GetStreamToGetResponse(stream)
}

// operation checks the arguments; txn uses it too.
func (f *getFlags) operation(args []string) (key string, opts []clientv3.OpOption, err error) {
	if err := f.checkArguments(args); err != nil {
		return "", nil, err
	}
	if f.consistency == "s" {
		opts = append(opts, clientv3.WithSerializable())
	}
	if len(args) > 1 {
		opts = append(opts, clientv3.WithRange(args[1]))
	}
	opts = append(opts, clientv3.WithLimit(f.limit))
	if f.rev > 0 {
		opts = append(opts, clientv3.WithRev(f.rev))
	}
	order, target, err := f.sorting()
	if err != nil {
		return "", nil, err
	}
	opts = append(opts, clientv3.WithSort(target, order))
	if f.prefix {
		opts = append(opts, clientv3.WithPrefix())
	}
	if f.fromKey {
		opts = append(opts, clientv3.WithFromKey())
	}
	if f.keysOnly {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	if f.countOnly {
		opts = append(opts, clientv3.WithCountOnly())
	}
	filters, err := f.revisionFilters()
	if err != nil {
		return "", nil, err
	}
	return args[0], append(opts, filters...), nil
}

func (f *getFlags) checkArguments(args []string) error {
	switch {
	case len(args) == 0:
		return badArguments("get command needs one argument as key and an optional argument as range_end")
	case f.prefix && f.fromKey:
		return bothRanges()
	case f.keysOnly && f.countOnly:
		return badArguments("`--keys-only` and `--count-only` cannot be set at the same time, choose one")
	case f.consistency != "l" && f.consistency != "s":
		return failf(exitUnsupported, "unknown consistency flag %q", f.consistency)
	case len(args) > 1 && (f.prefix || f.fromKey):
		return badArguments("too many arguments, only accept one argument when `--prefix` or `--from-key` is set")
	}
	return nil
}

func bothRanges() error {
	return badArguments("`--prefix` and `--from-key` cannot be set at the same time, choose one")
}

func (f *getFlags) sorting() (clientv3.SortOrder, clientv3.SortTarget, error) {
	orders := map[string]clientv3.SortOrder{
		"": clientv3.SortNone, "ASCEND": clientv3.SortAscend, "DESCEND": clientv3.SortDescend,
	}
	targets := map[string]clientv3.SortTarget{
		"": clientv3.SortByKey, "CREATE": clientv3.SortByCreateRevision, "KEY": clientv3.SortByKey,
		"MODIFY": clientv3.SortByModRevision, "VALUE": clientv3.SortByValue, "VERSION": clientv3.SortByVersion,
	}
	order, ok := orders[strings.ToUpper(f.order)]
	if !ok {
		return 0, 0, failf(exitUnsupported, "bad sort order %s", f.order)
	}
	target, ok := targets[strings.ToUpper(f.sortBy)]
	if !ok {
		return 0, 0, failf(exitUnsupported, "bad sort target %s", f.sortBy)
	}
	return order, target, nil
}

func (f *getFlags) revisionFilters() (opts []clientv3.OpOption, err error) {
	if f.minCreate > 0 && f.maxCreate > 0 && f.minCreate > f.maxCreate {
		return nil, failf(exitUnsupported, "getMinCreateRev(=%d) > getMaxCreateRev(=%d)", f.minCreate, f.maxCreate)
	}
	if f.minMod > 0 && f.maxMod > 0 && f.minMod > f.maxMod {
		return nil, failf(exitUnsupported, "getMinModRev(=%d) > getMaxModRev(=%d)", f.minMod, f.maxMod)
	}
	for _, filter := range []struct {
		rev    int64
		option func(int64) clientv3.OpOption
	}{
		{f.minCreate, clientv3.WithMinCreateRev}, {f.maxCreate, clientv3.WithMaxCreateRev},
		{f.minMod, clientv3.WithMinModRev}, {f.maxMod, clientv3.WithMaxModRev},
	} {
		if filter.rev > 0 {
			opts = append(opts, filter.option(filter.rev))
		}
	}
	return opts, nil
}
