package mvcc

import (
	"bytes"
	"slices"
	"sort"

	"keelson/internal/base"
)

// item is one key of a range that is sorted before it is cut. Records are read
// after the cut, except where the sort itself needs them.
type item struct {
	mod   base.Revision
	num   int64  // compared for a numeric target
	value []byte // compared for VALUE, a part of kv
	kv    []byte // what is known before the cut: a synthesised answer, or for VALUE the record
}

// addItem keeps a key for sorting.
func (c *collector) addItem(key []byte, e Entry) {
	it := item{mod: e.Mod}
	switch c.o.SortTarget {
	case TargetVersion:
		it.num = e.Version
	case TargetCreate:
		it.num = e.Create
	case TargetMod:
		it.num = e.Mod.Main
	case TargetValue:
		it.kv = c.payload(e.Mod)
		if c.err != nil {
			return
		}
		kv, err := parse(e.Mod, it.kv)
		if err != nil {
			c.err = err
			return
		}
		it.value = kv.Value
	}
	if c.fromIndex() {
		it.kv = c.output(key, e) // the key is not valid after the walk
	}
	c.items = append(c.items, it)
}

// outputItem makes the answer of a key that survived sort and cut.
func (c *collector) outputItem(it *item) []byte {
	if it.kv == nil || c.o.KeysOnly && !c.fromIndex() {
		return c.output(nil, Entry{Mod: it.mod})
	}
	return it.kv
}

// sortItems orders items that are in key order. Equal ones end up where
// sort.Sort happens to leave them: it is not stable, but given the same input
// and the same comparisons it makes the same swaps, so that the result is
// etcd's, byte for byte. Never replace it by another sort. Keys differ, so for
// target KEY any way to reverse will do.
func sortItems(items []item, target int32, descend bool) {
	var by sort.Interface
	switch target {
	case TargetKey:
		if descend {
			slices.Reverse(items)
		}
		return
	case TargetValue:
		by = byValue(items)
	default:
		by = byNum(items)
	}
	if descend {
		by = sort.Reverse(by)
	}
	sort.Sort(by)
}

type byNum []item

func (s byNum) Len() int           { return len(s) }
func (s byNum) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s byNum) Less(i, j int) bool { return s[i].num < s[j].num }

type byValue []item

func (s byValue) Len() int           { return len(s) }
func (s byValue) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s byValue) Less(i, j int) bool { return bytes.Compare(s[i].value, s[j].value) < 0 }
