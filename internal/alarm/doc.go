// Package alarm keeps the alarms that are raised: pairs of a member and a
// kind. They are replicated, survive restarts, and stay until someone disarms
// them. It changes only when a log entry is applied, owns no goroutine, and is
// one section of a checkpoint on disk, see AppendTo.
package alarm
