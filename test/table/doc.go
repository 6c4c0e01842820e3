// Package table is the compatibility table: what a client of the etcd v3 API
// sees in each edge case of KV, Watch, Lease, Lock, Election and health, as
// rows of text that run against any server.
//
// # Job
//
// The rows are the files rows/*.txt. [Run] sends each row's requests over plain
// gRPC, with the public generated messages and none of clientv3's retries, and
// compares what comes back with the row. Two tests use it: TestTable of this
// package starts the real Keelson binary; TestTable of test/compat starts etcd
// 3.7.1 and runs the same rows, so that every expectation is proven against
// the original.
//
// # Reading a row
//
//	== range: limit cuts, more says so, count does not care
//	put key:"~a"
//	put key:"~b"
//	range key:"~a" range_end:"~z" limit:1
//	> header{R+2} kvs{key:"~a" create_revision:R+1 mod_revision:R+1 version:1} more:true count:2
//
// A line "== name" begins a row; lines with # before it say why it exists. Each
// further line is one command: a word and a request in protobuf text form. An
// indented line continues the line above it. Lines beginning with > are the
// answers expected of the command above; a command without any must succeed.
//
// In requests and answers:
//
//	~      the row's own key prefix; rows share no keys. Prefixes ascend, so keys
//	       up to the end of the key space are the row's own too.
//	$R     the store's revision when the row began; also $R+1, $R-1. Answers have
//	       R+1 without the dollar.
//	$L1    a lease ID of the row's own; $x1 the same in hexadecimal
//	$big(N)          N bytes of x
//	$nest(N)         a transaction's success branch with N transactions inside each other
//	$self            the ID of the member that answers
//	@N{ ... }        the text N times, with $i counting from 0
//	header{R+1}      a whole header: the answering member's ID, its cluster's ID, a
//	                 term, and this revision. "bare" after it: the revision only.
//	                 header{} is there and empty.
//	<left>           a remaining TTL below the granted one
//	<chosen>, <hex>  a lease ID the server chose, and its text in a key
//	<self>, <url>    the answering member's ID, one of its URLs
//	<number>         a number above zero that is the member's own business
//
// # Commands
//
//	range put delete txn compact rangestream hashkv          KV
//	grant revoke ttl leases                                  Lease
//	lock unlock campaign proclaim leader resign              Lock, Election
//	health healthlist memberlist status alarm defragment moveleader
//	watch, watch2, keepalive, observe, healthwatch REQUEST   send on a stream, opened at its first use
//	recv STREAM [sorted]     receive as many messages as there are > lines
//	half STREAM              half-close it
//	end STREAM               receive until it ends; > tells how
//	go NAME COMMAND          run a command in the background
//	join NAME                its answer
//	abandon NAME             cancel it
//	with KEY="value"         metadata of all calls and streams opened later in the row
//	raw PATH "bytes"         send these bytes as the request of a unary RPC
//	rawstream PATH "bytes"   send these bytes, or nothing, on a stream and half-close it; > tells how it ends
//	http2 PATH KEY="value" ... body="bytes"
//	                         the same without a gRPC library, for what libraries refuse to send; > ok or an error
//
// Answers of a command that sends on a stream are awaited like those of recv.
// That nothing is sent is shown by what comes next on the stream.
//
// # Settings
//
//	KEELSON_TABLE_TARGET=host:port   run against this server, which must be fresh, instead of Keelson
//	KEELSON_TABLE_REWRITE=1          write what the server answers into rows/*.txt; then read the diff
package table
