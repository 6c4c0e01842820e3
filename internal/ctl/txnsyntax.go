package ctl

import (
	"fmt"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// parseCompare reads one comparison of a transaction:
//
//	mod("key1") > "0"
//	│   │       │ └─ operand, a quoted Go string even for numbers
//	│   │       └─── operator
//	│   └─────────── key, a quoted Go string
//	└─────────────── target
//
// Text behind the operand is ignored.
func parseCompare(line string) (clientv3.Cmp, error) {
	target, rest, found := strings.Cut(line, "(")
	if !found {
		return clientv3.Cmp{}, failf(exitInput, "malformed comparison: %s", line)
	}
	var key, operator, operand string
	if n, err := fmt.Sscanf(rest, "%q) %s %q", &key, &operator, &operand); n != 3 || err != nil {
		return clientv3.Cmp{}, failf(exitInput, "malformed comparison: %s; got %s(%q) %s %q", line, target, key, operator, operand)
	}
	switch operator {
	case "=", "!=", "<", ">":
	default:
		return clientv3.Cmp{}, failf(exitInput, "malformed comparison: %s (unknown operator %s)", line, operator)
	}
	number, numberErr := strconv.ParseInt(operand, 10, 64)
	switch target {
	case "ver", "version":
		return numberCompare(line, clientv3.Version(key), operator, number, numberErr)
	case "c", "create":
		return numberCompare(line, clientv3.CreateRevision(key), operator, number, numberErr)
	case "m", "mod":
		return numberCompare(line, clientv3.ModRevision(key), operator, number, numberErr)
	case "val", "value":
		return clientv3.Compare(clientv3.Value(key), operator, operand), nil
	}
	return clientv3.Cmp{}, failf(exitInput, "malformed comparison: %s (unknown target %s)", line, target)
}

func numberCompare(line string, target clientv3.Cmp, operator string, number int64, err error) (clientv3.Cmp, error) {
	if err != nil {
		return clientv3.Cmp{}, failf(exitInput, "invalid txn compare request: %s", line)
	}
	return clientv3.Compare(target, operator, number), nil
}

// splitWords cuts a line of txn or interactive watch into arguments. At the
// start of a word "…" is a Go string with escapes and '…' is literal; anything
// else runs to the next blank, quotes and backslashes inside included. A quote
// that is never closed is dropped.
func splitWords(line string) ([]string, error) {
	var words []string
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimLeft(rest, blanks) {
		switch rest[0] {
		case '"':
			end := closingQuote(rest)
			if end < 0 {
				rest = rest[1:]
				continue
			}
			word, err := strconv.Unquote(rest[:end+1])
			if err != nil {
				return nil, err
			}
			words, rest = append(words, word), rest[end+1:]
		case '\'':
			end := strings.IndexByte(rest[1:], '\'')
			if end < 0 {
				rest = rest[1:]
				continue
			}
			words, rest = append(words, rest[1:end+1]), rest[end+2:]
		default:
			end := strings.IndexAny(rest, blanks)
			if end < 0 {
				end = len(rest)
			}
			words, rest = append(words, rest[:end]), rest[end:]
		}
	}
	return words, nil
}

const blanks = " \t\n\v\f\r"

// closingQuote is the index of the quote that ends the string s starts with, or -1.
func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
