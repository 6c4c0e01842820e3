package table

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed rows/*.txt
var files embed.FS

// file is one text file of rows, in the order in which they run.
type file struct {
	name  string // without directory and extension
	lines []string
	rows  []*row
}

// row is one case of the table.
type row struct {
	name  string
	steps []*step
}

// step is one command with the answers expected of it.
type step struct {
	line    int    // index in file.lines
	command string // continuation lines joined
	want    []string
	first   int // lines [first, last) hold the answers
	last    int
	got     []string // after the run
}

// load reads all files. The one about a fresh store comes first, because
// nothing may have been written before it.
func load() ([]*file, error) {
	names, err := fs.Glob(files, "rows/*.txt")
	if err != nil {
		return nil, err
	}
	var out []*file
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		f, err := parse(strings.TrimSuffix(path.Base(name), ".txt"), string(text))
		if err != nil {
			return nil, err
		}
		if f.name == "fresh" {
			out = slices.Insert(out, 0, f)
		} else {
			out = append(out, f)
		}
	}
	return out, nil
}

func parse(name, text string) (*file, error) {
	f := &file{name: name, lines: strings.Split(strings.TrimRight(text, "\n"), "\n")}
	seen := map[string]bool{}
	var current *row
	var open *string // what an indented line continues
	for i, line := range f.lines {
		fail := func(format string, args ...any) error {
			return fmt.Errorf("rows/%s.txt:%d: %s", name, i+1, fmt.Sprintf(format, args...))
		}
		switch {
		case strings.TrimSpace(line) == "" || line[0] == '#':
			open = nil
		case strings.HasPrefix(line, "== "):
			current = &row{name: strings.TrimPrefix(line, "== ")}
			if seen[current.name] {
				return nil, fail("a second row %q", current.name)
			}
			seen[current.name] = true
			f.rows = append(f.rows, current)
			open = nil
		case current == nil:
			return nil, fail("a line before the first row")
		case line[0] == ' ':
			if open == nil {
				return nil, fail("nothing to continue")
			}
			*open += " " + strings.TrimSpace(line)
			if len(current.steps) > 0 {
				s := current.steps[len(current.steps)-1]
				s.last = i + 1
				if len(s.want) == 0 {
					s.first = i + 1
				}
			}
		case line[0] == '>':
			if len(current.steps) == 0 {
				return nil, fail("an answer without a command")
			}
			s := current.steps[len(current.steps)-1]
			s.want = append(s.want, strings.TrimSpace(line[1:]))
			s.last = i + 1
			open = &s.want[len(s.want)-1]
		default:
			s := &step{line: i, command: line, first: i + 1, last: i + 1}
			current.steps = append(current.steps, s)
			open = &s.command
		}
	}
	for _, r := range f.rows {
		if !slices.ContainsFunc(r.steps, func(s *step) bool { return len(s.want) > 0 }) {
			return nil, fmt.Errorf("rows/%s.txt: row %q expects nothing", name, r.name)
		}
	}
	return f, nil
}

// rewritten is the file's text with the answers that came.
func (f *file) rewritten() string {
	var out []string
	next := 0
	for _, r := range f.rows {
		for _, s := range r.steps {
			if len(s.want) == 0 || s.got == nil {
				continue
			}
			out = append(out, f.lines[next:s.first]...)
			for _, answer := range s.got {
				out = append(out, wrap("> "+answer)...)
			}
			next = s.last
		}
	}
	return strings.Join(append(out, f.lines[next:]...), "\n") + "\n"
}

// wrap breaks a long answer before a word, outside of quotes.
func wrap(line string) []string {
	const width = 120
	var out []string
	for len(line) > width {
		cut, quoted := 0, false
		for i := 0; i < len(line) && (i < width || cut == 0); i++ {
			switch {
			case line[i] == '\\':
				i++
			case line[i] == '"':
				quoted = !quoted
			case line[i] == ' ' && !quoted && i > 8:
				cut = i
			}
		}
		if cut == 0 {
			break
		}
		out = append(out, line[:cut])
		line = "    " + line[cut+1:]
	}
	return append(out, line)
}
