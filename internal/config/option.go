package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// option is one setting's value: it reads itself from a flag or variable
// (Set) and from the configuration file (file), and prints itself the way a
// flag would take it. It fulfils flag.Value.
type option struct {
	set    func(string) error
	text   func() string
	file   func(json.RawMessage) error
	isBool bool
}

func (o option) Set(s string) error { return o.set(s) }

func (o option) String() string {
	if o.text == nil { // the flag package prints a zero value it makes itself
		return ""
	}
	return o.text()
}

// IsBoolFlag tells the flag package that the bare flag means true.
func (o option) IsBoolFlag() bool { return o.isBool }

// The two reasons the flag package gives for bad numbers.
var (
	errParse = errors.New("parse error")
	errRange = errors.New("value out of range")
)

func numberError(err error) error {
	if errors.Is(err, strconv.ErrRange) {
		return errRange
	}
	return errParse
}

// decode reads one JSON value into p, naming types as encoding/json does.
func decode[T any](p *T) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return err
		}
		*p = v
		return nil
	}
}

// fileText is a string in the file; numbers and booleans count as the text
// they are written as.
func fileText(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"', '{', '[':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	}
	return string(raw), nil
}

// fromText makes a file reader out of a setter of text.
func fromText(set func(string) error) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		s, err := fileText(raw)
		if err != nil {
			return err
		}
		return set(s)
	}
}

func text(p *string) option {
	set := func(s string) error { *p = s; return nil }
	return option{set: set, text: func() string { return *p }, file: fromText(set)}
}

// choice refuses other words on the command line; in the file the word is
// taken as it is and checked with the rest.
func choice(p *string, words ...string) option {
	o := text(p)
	take := o.set
	o.set = func(s string) error {
		if !slices.Contains(words, s) {
			return errors.New("invalid value")
		}
		return take(s)
	}
	return o
}

func boolean(p *bool) option {
	return option{
		set: func(s string) error {
			v, err := strconv.ParseBool(s)
			if err != nil {
				return errParse
			}
			*p = v
			return nil
		},
		text:   func() string { return strconv.FormatBool(*p) },
		file:   decode(p),
		isBool: true,
	}
}

func signed[T int | int64](p *T) option {
	return option{
		set: func(s string) error {
			v, err := strconv.ParseInt(s, 0, 64)
			if err != nil {
				return numberError(err)
			}
			*p = T(v)
			return nil
		},
		text: func() string { return strconv.FormatInt(int64(*p), 10) },
		file: decode(p),
	}
}

func unsigned[T uint | uint32 | uint64](p *T, bits int) option {
	return option{
		set: func(s string) error {
			v, err := strconv.ParseUint(s, 0, bits)
			if err != nil {
				return numberError(err)
			}
			*p = T(v)
			return nil
		},
		text: func() string { return strconv.FormatUint(uint64(*p), 10) },
		file: decode(p),
	}
}

// duration is Go syntax on the command line and whole nanoseconds in the file.
func duration(p *time.Duration) option {
	return option{
		set: func(s string) error {
			v, err := time.ParseDuration(s)
			if err != nil {
				return errParse
			}
			*p = v
			return nil
		},
		text: func() string { return p.String() },
		file: decode(p),
	}
}

// urls is a comma-separated list everywhere; an empty text keeps the default.
func urls(p *URLs) option {
	set := func(s string) error {
		if s == "" {
			return nil
		}
		us, err := ParseURLs(strings.Split(s, ","))
		if err != nil {
			return err
		}
		*p = us
		return nil
	}
	return option{set: set, text: func() string { return p.String() }, file: fileURLs(set)}
}

// fileURLs marks a refused URL, which etcd answers differently from a value
// of the wrong type.
func fileURLs(set func(string) error) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		s, err := fileText(raw)
		if err != nil {
			return err
		}
		if err := set(s); err != nil {
			return &badURLError{err}
		}
		return nil
	}
}

type badURLError struct{ cause error }

func (e *badURLError) Error() string { return e.cause.Error() }
func (e *badURLError) Unwrap() error { return e.cause }

// origins is a list of URLs or the word "*"; it keeps the texts.
func origins(p *[]string) option {
	set := func(s string) error {
		if s == "" || s == "*" {
			*p = []string{"*"}
			return nil
		}
		us, err := ParseURLs(strings.Split(s, ","))
		if err != nil {
			return err
		}
		*p = us.Strings()
		return nil
	}
	return option{set: set, text: func() string { return strings.Join(*p, ",") }, file: fileURLs(set)}
}

// uniqueWords is a comma-separated list, sorted and without duplicates.
func uniqueWords(p *[]string) option {
	set := func(s string) error {
		*p = nil
		if s == "" {
			return nil
		}
		list := strings.Split(s, ",")
		slices.Sort(list)
		*p = slices.Compact(list)
		return nil
	}
	return option{set: set, text: func() string { return strings.Join(*p, ",") }, file: fromText(set)}
}

// words is a comma-separated list on the command line and a YAML list in the
// file.
func words(p *[]string) option {
	return option{
		set: func(s string) error {
			*p = nil
			if s != "" {
				*p = strings.Split(s, ",")
			}
			return nil
		},
		text: func() string { return strings.Join(*p, ",") },
		file: func(raw json.RawMessage) error {
			var list []json.RawMessage
			if raw[0] != '[' {
				return decode(p)(raw)
			}
			if err := json.Unmarshal(raw, &list); err != nil {
				return err
			}
			out := make([]string, 0, len(list))
			for _, item := range list {
				s, err := fileText(item)
				if err != nil {
					return err
				}
				out = append(out, s)
			}
			*p = out
			return nil
		},
	}
}

// uniqueOutputs is words, sorted and without duplicates on the command line.
func uniqueOutputs(p *[]string) option {
	o := words(p)
	o.set = uniqueWords(p).set
	return o
}

func gates(p *Gates) option {
	set := func(s string) error {
		next, err := p.with(s)
		if err != nil {
			return err
		}
		*p = next
		return nil
	}
	return option{set: set, text: func() string { return p.String() }, file: fromText(set)}
}

// ignored accepts anything, so that scripts written for etcd 0.x and 2.x
// still start. It stands in the table for its name alone.
func ignored() option {
	return option{
		set:    func(string) error { return nil },
		text:   func() string { return "" },
		file:   func(json.RawMessage) error { return nil },
		isBool: true,
	}
}

// v2Deprecation checks the words and drops them: etcd enforces its default.
func v2Deprecation() option {
	o := ignored()
	o.isBool = false
	o.text = func() string { return "write-only" }
	o.set = func(s string) error {
		for w := range strings.SplitSeq(s, ",") {
			switch w {
			case "write-only", "write-only-skip-check", "write-only-drop-data", "gone":
			default:
				return fmt.Errorf("invalid value %q", w)
			}
		}
		return nil
	}
	return o
}
