package mvcc

import (
	"fmt"

	"keelson/internal/base"
	"keelson/internal/mvcc/keyindex"
	"keelson/internal/revlog"
)

// Open makes a store from a log and the position captured with the log's
// manifest. It rebuilds the index from the metadata of the records that are not
// dead, without reading a value, and goes on with a compaction that had not
// finished.
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
	s.tree = buildIndex(versions)
	if p.Scheduled > p.CompactRev {
		// Part of what the hash covers may be reclaimed already.
		s.schedule(scheduled{at: p.Scheduled, prev: p.CompactRev, hash: false})
	}
	s.installView()
	return s, nil
}

// versions is every record of the log that is not dead, and an order to visit
// them in.
type versions struct {
	metas []revlog.Meta // in revision order
	byKey []uint32      // positions in metas, by key and then revision
}

// readVersions reads the metadata and sorts it by key.
func readVersions(log *revlog.Log) (versions, error) {
	st := log.Stats()
	vs := versions{metas: make([]revlog.Meta, 0, st.Records-st.DeadRecords)}
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

// buildIndex loads the index: what is not dead is what it retained.
func buildIndex(vs versions) *keyindex.Tree {
	loader := keyindex.NewLoader()
	var olds []keyindex.Old
	for from := 0; from < len(vs.byKey); {
		key := vs.metas[vs.byKey[from]].Key
		to := from + 1
		for to < len(vs.byKey) && string(vs.metas[vs.byKey[to]].Key) == string(key) {
			to++
		}
		olds = olds[:0]
		for _, i := range vs.byKey[from : to-1] {
			olds = append(olds, keyindex.Old{Rev: vs.metas[i].Rev, Tombstone: vs.metas[i].Tombstone})
		}
		loader.Add(key, olds, entryOf(&vs.metas[vs.byKey[to-1]]))
		from = to
	}
	return loader.Tree()
}

func entryOf(m *revlog.Meta) Entry {
	if m.Tombstone {
		return Entry{Mod: m.Rev, Tombstone: true}
	}
	return Entry{Mod: m.Rev, Create: m.Create, Version: m.Version, Lease: m.Lease}
}
