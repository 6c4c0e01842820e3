// Package obs makes a member observable: the logger every package is handed,
// and the metrics they report to, under etcd's names.
//
// NewLogger builds a zap logger whose lines have etcd's keys, order and time
// layout. NewMetrics registers every metric family of the operator's reference
// in the registry it is given and returns them as fields, grouped by the part
// of the server that sets them; the families exist from then on, so that a
// scrape of an idle member already shows their zeros. Lower packages know
// nothing of Prometheus: they declare the few calls they make, and the value
// types here (ServerHooks, GRPC) fulfil them.
//
// There is no global registry and no global logger, so that two members can
// run in one process. The package writes log files where it is told to and
// nothing else; its one long-lived goroutine is WatchDescriptors, which the
// caller starts and which ends with its context.
package obs
