package mvcc

import (
	"encoding/binary"
	"errors"
	"fmt"

	"keelson/internal/base"
	"keelson/internal/revlog"
	"keelson/internal/wire"
)

// keyOf returns the key inside a payload: field 1 comes first, and is left out
// only by an empty key.
func keyOf(payload []byte) []byte {
	if len(payload) == 0 || payload[0] != keyTag {
		return nil
	}
	n, width := binary.Uvarint(payload[1:])
	if width <= 0 || n > uint64(len(payload)-1-width) {
		return nil
	}
	from := 1 + width
	to := from + int(n)
	return payload[from:to:to]
}

// keyTag is KeyValue.key: field 1, length-delimited.
const keyTag = 1<<3 | 2

// parse decodes a payload. Its CRC was right, so a failure is a bug of whoever
// wrote it, not a torn file.
func parse(rev base.Revision, payload []byte) (kv wire.KeyValueView, err error) {
	if err := kv.UnmarshalWire(payload); err != nil {
		return kv, fmt.Errorf("mvcc: the record of revision %v is no KeyValue: %w", rev, err)
	}
	return kv, nil
}

// readError names the record. A *revlog.CorruptError stays visible to errors.As.
func readError(rev base.Revision, err error) error {
	if errors.Is(err, revlog.ErrNotFound) {
		return fmt.Errorf("mvcc: the index names revision %v, the revision log does not hold it: %w", rev, err)
	}
	return fmt.Errorf("mvcc: read revision %v: %w", rev, err)
}
