package mvcc

import (
	"context"
	"slices"

	"keelson/internal/base"
	"keelson/internal/errs"
	"keelson/internal/wire"
)

// Numbers of RangeRequest.sort_order and sort_target.
const (
	SortNone    int32 = 0
	SortAscend  int32 = 1
	SortDescend int32 = 2

	TargetKey     int32 = 0
	TargetVersion int32 = 1
	TargetCreate  int32 = 2
	TargetMod     int32 = 3
	TargetValue   int32 = 4
)

// RangeOptions is a RangeRequest without what belongs to the server. Zero
// values ask for nothing special.
type RangeOptions struct {
	base.KeyRange
	// Limit cuts the result; <= 0 is no limit.
	Limit int64
	// Revision to read at; <= 0 is the current one.
	Revision   int64
	SortOrder  int32
	SortTarget int32
	KeysOnly   bool
	CountOnly  bool
	// Inclusive bounds of mod and create revision; 0 is no bound.
	MinMod, MaxMod, MinCreate, MaxCreate int64
}

// RangeResult is the answer to a Range.
type RangeResult struct {
	// KVs are marshalled KeyValues, ready to be spliced into a response. They
	// alias the records: valid until the View's Release (in a transaction:
	// until the next Publish), and read-only.
	KVs [][]byte
	// Count is the number of keys in the range, whatever the limit and the
	// filters left.
	Count int64
	// More tells that the limit cut something off.
	More bool
	// Revision is the current revision of the state that was read.
	Revision int64
}

// Range answers a RangeRequest on this state. It works in key order:
//
//	index walk -> filters -> (sort) -> limit -> records
//
// and leaves out what the request does not need: with a limit the walk stops
// at the first key too many, for the count comes from the counted index;
// filters and sorts by revision or version use index entries and read only the
// records that are returned. An older revision costs more: its walk covers the
// range, and create revision and version are read from the record.
//
// A cancelled ctx ends a long walk with ctx's error.
func (r *reader) Range(ctx context.Context, o RangeOptions) (RangeResult, error) {
	rev, err := r.resolve(o.Revision)
	if err != nil {
		return RangeResult{}, err
	}
	if o.CountOnly {
		return RangeResult{Count: r.count(o.KeyRange, rev), Revision: r.rev}, nil
	}
	if o.IsSingle() && rev == r.rev {
		e, ok := r.Get(o.Key)
		return r.one(&o, e, ok)
	}
	return r.collect(ctx, &o, rev, true)
}

// one answers a range over a single key at the current revision, whose index
// entry is given.
func (r *reader) one(o *RangeOptions, e Entry, ok bool) (RangeResult, error) {
	res := RangeResult{Revision: r.rev}
	if !ok {
		return res, nil
	}
	res.Count = 1
	if o.CountOnly || !o.passesCreate(e.Create) || !o.passesMod(e.Mod.Main) {
		return res, nil
	}
	c := collector{r: r, o: o, latest: true}
	kv := c.output(o.Key, e)
	if c.err != nil {
		return RangeResult{}, c.err
	}
	res.KVs = [][]byte{kv}
	return res, nil
}

// collect runs a range at a resolved revision. Without exact the count is left
// out where it would cost a longer walk; chunks of a stream ask so.
func (r *reader) collect(ctx context.Context, o *RangeOptions, rev int64, exact bool) (RangeResult, error) {
	plan, err := o.plan()
	if err != nil {
		return RangeResult{}, err
	}
	c := collector{r: r, o: o, ctx: ctx, plan: plan, latest: rev == r.rev, exact: exact}
	if o.IsEmpty() {
		return RangeResult{Revision: r.rev}, nil
	}
	lo, hi := o.Bounds()
	if c.latest {
		c.count = r.root.Count(lo, hi)
		c.reserve(c.count)
		r.root.Scan(lo, hi, c.visit)
	} else {
		r.root.ScanAt(lo, hi, rev, c.visitOld)
	}
	if c.finish(); c.err != nil {
		return RangeResult{}, c.err
	}
	return RangeResult{KVs: c.kvs, Count: c.count, More: c.more, Revision: r.rev}, nil
}

// passesMod applies the bounds of the mod revision.
func (o *RangeOptions) passesMod(mod int64) bool {
	return (o.MaxMod == 0 || mod <= o.MaxMod) && (o.MinMod == 0 || mod >= o.MinMod)
}

// passesCreate applies the bounds of the create revision.
func (o *RangeOptions) passesCreate(create int64) bool {
	return (o.MaxCreate == 0 || create <= o.MaxCreate) && (o.MinCreate == 0 || create >= o.MinCreate)
}

func (o *RangeOptions) filtersMod() bool    { return o.MinMod != 0 || o.MaxMod != 0 }
func (o *RangeOptions) filtersCreate() bool { return o.MinCreate != 0 || o.MaxCreate != 0 }

// plan is how a request is worked off, decided before the walk.
type plan struct {
	sort       bool // keep the keys, sort them by target, then cut
	descend    bool
	fetchLimit int64 // stop the walk after so many keys that pass; 0 = never
}

// plan follows etcd's order of steps. Without filters and with order NONE only
// the first limit+1 keys are fetched, even when a target other than KEY sorts
// them afterwards: the answer is then not the global top, and clients get the
// same from etcd. Where no sort follows, the key too many need not be fetched,
// only noticed.
func (o *RangeOptions) plan() (plan, error) {
	if o.SortOrder < SortNone || o.SortOrder > SortDescend || o.SortTarget < TargetKey || o.SortTarget > TargetValue {
		return plan{}, errs.ErrInvalidSortOption
	}
	p := plan{
		sort:    o.SortTarget != TargetKey || o.SortOrder == SortDescend,
		descend: o.SortOrder == SortDescend,
	}
	switch {
	case o.Limit <= 0:
	case !p.sort:
		p.fetchLimit = o.Limit
	case o.SortOrder == SortNone && !o.filtersMod() && !o.filtersCreate():
		p.fetchLimit = o.Limit + 1
	}
	return p, nil
}

// collector gathers the keys of one range during the index walk.
type collector struct {
	r      *reader
	o      *RangeOptions
	ctx    context.Context
	plan   plan
	latest bool // the walk gives whole entries; else only the revision
	exact  bool

	visited int // to look at ctx now and then
	count   int64
	full    bool     // fetchLimit reached; the walk goes on to the next key that passes
	more    bool     // it was found; at an old revision the walk goes on for the count
	kvs     [][]byte // result, when nothing is sorted
	items   []item   // when sorted
	slab    slab     // bytes of synthesised answers
	err     error
}

// ctxEvery is how many keys are visited between two looks at the context: about
// 100 us of work.
const ctxEvery = 1024

// reserve makes room for n keys, or for the fetch limit if that is less.
func (c *collector) reserve(n int64) {
	if c.plan.fetchLimit > 0 {
		n = min(n, c.plan.fetchLimit)
	}
	if c.o.filtersMod() || c.o.filtersCreate() {
		n = min(n, ctxEvery) // who knows how few pass
	}
	if c.plan.sort {
		c.items = make([]item, 0, n)
	} else {
		c.kvs = make([][]byte, 0, n)
	}
}

// visitOld is visit for a walk at an old revision.
func (c *collector) visitOld(key []byte, mod base.Revision) bool {
	c.count++
	return c.visit(key, Entry{Mod: mod})
}

// visit takes one live key of the range; false ends the walk.
func (c *collector) visit(key []byte, e Entry) bool {
	if c.visited++; c.visited%ctxEvery == 0 && c.ctx.Err() != nil {
		c.err = context.Cause(c.ctx)
	}
	if c.err != nil {
		return false
	}
	if c.more {
		return true // only the count is missing
	}
	if !c.passes(&e) {
		return c.err == nil
	}
	switch {
	case c.full:
		c.more = true
	case c.plan.sort:
		c.addItem(key, e)
		c.full = len(c.items) == int(c.plan.fetchLimit)
		c.more = c.full // the key too many was fetched
	default:
		c.kvs = append(c.kvs, c.output(key, e))
		c.full = len(c.kvs) == int(c.plan.fetchLimit)
	}
	return c.err == nil && (!c.more || c.exact && !c.latest)
}

// passes applies the filters. At an old revision it first completes the entry,
// which then holds the revision only, as far as this request needs it; a key
// that fails for its mod revision is spared the record.
func (c *collector) passes(e *Entry) bool {
	if !c.latest {
		if !c.o.passesMod(e.Mod.Main) {
			return false
		}
		if c.o.filtersCreate() || c.needsEntry() && !c.full {
			kv := c.parsed(e.Mod)
			e.Create, e.Version = kv.CreateRevision, kv.Version
		}
	}
	return c.err == nil && c.o.passesMod(e.Mod.Main) && c.o.passesCreate(e.Create)
}

// needsEntry tells whether the result depends on create revision or version.
func (c *collector) needsEntry() bool {
	return c.fromIndex() || c.o.SortTarget == TargetVersion || c.o.SortTarget == TargetCreate
}

// fromIndex tells whether answers are made from index entries alone. As in etcd
// 3.7 they then lack the lease; with target VALUE the record is read for the
// sort, and its lease stays.
func (c *collector) fromIndex() bool { return c.o.KeysOnly && c.o.SortTarget != TargetValue }

// output makes the answer of one key: the record as it is, or without value.
func (c *collector) output(key []byte, e Entry) []byte {
	switch {
	case c.fromIndex():
		return c.slab.keyValue(key, e.Create, e.Mod.Main, e.Version, 0)
	case c.o.KeysOnly:
		kv := c.parsed(e.Mod)
		return c.slab.keyValue(kv.Key, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease)
	}
	return c.payload(e.Mod)
}

// payload reads a record; the first failure stays in c.err and ends the walk.
func (c *collector) payload(rev base.Revision) []byte {
	payload, err := c.r.payload(rev)
	if err != nil && c.err == nil {
		c.err = err
	}
	return payload
}

// parsed reads and decodes a record, like payload.
func (c *collector) parsed(rev base.Revision) wire.KeyValueView {
	payload := c.payload(rev)
	if c.err != nil {
		return wire.KeyValueView{}
	}
	kv, err := parse(rev, payload)
	c.err = err
	return kv
}

// finish sorts and cuts what was collected, and reads the records that are
// left. Without a sort the walk has done it all.
func (c *collector) finish() {
	if !c.plan.sort || c.err != nil {
		return
	}
	sortItems(c.items, c.o.SortTarget, c.plan.descend)
	if c.o.Limit > 0 && int64(len(c.items)) > c.o.Limit {
		c.items = c.items[:c.o.Limit]
		c.more = true
	}
	c.kvs = make([][]byte, len(c.items))
	for i := range c.items {
		c.kvs[i] = c.outputItem(&c.items[i])
		if c.err != nil {
			return
		}
	}
}

// slab holds synthesised answers in few, growing pieces of memory.
type slab struct{ b []byte }

// A slab starts small, for most answers are, and doubles up to 64 KiB.
const (
	slabMin = 256
	slabMax = 64 << 10
)

func (s *slab) keyValue(key []byte, create, mod, version int64, lease base.LeaseID) []byte {
	n := wire.SizeKeyValue(key, create, mod, version, nil, lease)
	if cap(s.b)-len(s.b) < n {
		s.b = make([]byte, 0, max(n, min(max(2*cap(s.b), slabMin), slabMax)))
	}
	from := len(s.b)
	s.b = wire.AppendKeyValue(s.b, key, create, mod, version, nil, lease)
	return slices.Clip(s.b[from:])
}
