package mvcc

import (
	"fmt"

	"keelson/internal/base"
	"keelson/internal/mvcc/keyindex"
	"keelson/internal/revlog"
)

// Open makes a store from a log and the position captured with the log's
// manifest. It rebuilds the index from the records' metadata without reading a
// value, leaves out what the last finished compaction removed (and marks it dead
// in the log, for those marks are not stored), and goes on with a compaction
// that had not finished.
func Open(cfg Config, p Position) (*Store, error) {
	if p.Revision < 1 || p.CompactRev < NeverCompacted {
		return nil, fmt.Errorf("mvcc: impossible position: revision %d, compact revision %d", p.Revision, p.CompactRev)
	}
	hashes, err := decodeHashes(p.HashCache)
	if err != nil {
		return nil, err
	}
	versions, err := readVersions(cfg.Log)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg:        cfg,
		log:        cfg.Log,
		hashes:     newHashCache(cfg.Logger, hashes),
		compactRev: p.CompactRev,
		finished:   p.CompactRev,
	}
	s.dead = s.died
	s.rev = max(p.Revision, p.CompactRev, p.Scheduled)
	if n := len(versions.metas); n > 0 {
		s.rev = max(s.rev, versions.metas[n-1].Rev.Main)
	}
	s.tree = buildIndex(versions, p.CompactRev, s.log.MarkDead)
	if p.Scheduled > p.CompactRev {
		// Part of what the hash covers may be reclaimed already.
		s.schedule(scheduled{at: p.Scheduled, prev: p.CompactRev, hash: false})
	}
	s.installView()
	return s, nil
}

// versions is every record of the log, and an order to visit them in.
type versions struct {
	metas []revlog.Meta // in revision order
	byKey []uint32      // positions in metas, by key and then revision
}

// readVersions reads the metadata of all records and sorts it by key.
func readVersions(log *revlog.Log) (versions, error) {
	vs := versions{metas: make([]revlog.Meta, 0, log.Stats().Records)}
	var last base.Revision
	err := log.Metas(func(batch []revlog.Meta) error {
		for i := range batch {
			if rev := batch[i].Rev; !last.Less(rev) {
				return fmt.Errorf("mvcc: revision %v follows %v in the revision log", rev, last)
			} else {
				last = rev
			}
		}
		vs.metas = append(vs.metas, batch...)
		return nil
	})
	if err != nil {
		return versions{}, err
	}
	vs.byKey = sortByKey(vs.metas)
	return vs, nil
}

// buildIndex loads the index with what a compaction at the revision at keeps of
// each key, and reports the other records to dead.
func buildIndex(vs versions, at int64, dead func(base.Revision)) *keyindex.Tree {
	loader := keyindex.NewLoader()
	var olds []keyindex.Old
	for from := 0; from < len(vs.byKey); {
		key := vs.metas[vs.byKey[from]].Key
		to := from + 1
		for to < len(vs.byKey) && string(vs.metas[vs.byKey[to]].Key) == string(key) {
			to++
		}
		group := vs.byKey[from:to]
		from = to

		kept := vs.retained(group, at)
		removed := group[:len(group)-len(kept)]
		if vs.endsInGrave(removed, kept, at) {
			removed = removed[:len(removed)-1]
		}
		for _, i := range removed {
			dead(vs.metas[i].Rev)
		}
		if len(kept) == 0 {
			continue
		}
		olds = olds[:0]
		for _, i := range kept[:len(kept)-1] {
			olds = append(olds, keyindex.Old{Rev: vs.metas[i].Rev, Tombstone: vs.metas[i].Tombstone})
		}
		loader.Add(key, olds, entryOf(&vs.metas[kept[len(kept)-1]]))
	}
	return loader.Tree()
}

// retained cuts off the versions of one key that a compaction at the revision
// at removes; the rule is keyindex.Tree.Compact's.
func (vs *versions) retained(group []uint32, at int64) []uint32 {
	newest := -1 // of those at or below at
	for n, i := range group {
		if vs.metas[i].Rev.Main > at {
			break
		}
		newest = n
	}
	if newest < 0 {
		return group
	}
	if m := &vs.metas[group[newest]]; m.Tombstone && m.Rev.Main < at {
		return group[newest+1:]
	}
	return group[newest:]
}

// endsInGrave tells whether the last of the removed records is a tombstone that
// older records of the key still need above them; see compaction.
func (vs *versions) endsInGrave(removed, kept []uint32, at int64) bool {
	n := len(removed)
	covered := len(kept) > 0 && vs.metas[kept[0]].Rev.Main <= at
	return n > 1 && !covered && vs.metas[removed[n-1]].Tombstone
}

func entryOf(m *revlog.Meta) Entry {
	if m.Tombstone {
		return Entry{Mod: m.Rev, Tombstone: true}
	}
	return Entry{Mod: m.Rev, Create: m.Create, Version: m.Version, Lease: m.Lease}
}
