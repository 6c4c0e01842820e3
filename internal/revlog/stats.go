package revlog

// Stats is the size of the log.
type Stats struct {
	Bytes       int64 // lengths of the segments, the active one's used length
	LiveBytes   int64 // Bytes without the dead records
	Segments    int
	Records     int64
	DeadRecords int64
}

// Stats returns the sizes as of the last Publish, Capture or Rotate.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := Stats{
		Bytes:       l.reported.bytes.Load(),
		Records:     l.reported.records.Load(),
		Segments:    len(l.mu.set.sealed) + 1,
		DeadRecords: l.mu.activeDead.count,
	}
	st.LiveBytes = st.Bytes - l.mu.activeDead.bytes
	for _, g := range l.mu.set.sealed {
		st.Bytes += g.info.Bytes
		st.LiveBytes += g.info.Bytes - g.dead.bytes
		st.Records += g.info.Records
		st.DeadRecords += g.dead.count
	}
	return st
}
