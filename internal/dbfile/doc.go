// Package dbfile writes the interchange form of a store: the bbolt database
// that `etcdctl snapshot save` produces and every etcd tool reads (reference:
// API, section 11). Its job is the file and nothing else: the caller hands in a
// consistent content and streams the finished file. It owns no goroutine. Memory
// is bounded by commitBytes, not by the size of the store. The file is scratch:
// it is not synced, and a crash leaves nothing but a temporary file.
package dbfile
