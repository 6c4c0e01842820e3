// Package member keeps who belongs to the cluster: the members and learners,
// the IDs that were removed for ever, the cluster version and a downgrade in
// progress. It changes only when a log entry is applied and validates
// configuration changes at that moment, against nothing but its own state, so
// that all members decide alike. IDs, the JSON context of configuration changes
// and the validation rules are etcd's (reference: peer protocol, sections 3.4,
// 4.4).
//
// It owns no goroutine. On disk it is one section of a checkpoint, see
// AppendTo.
package member
