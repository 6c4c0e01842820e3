package ctl

import (
	"io"
	"strings"
	"unicode/utf8"
)

// tablePrinter draws a box:
//
//	┌────┬────┐
//	│ ID │ B  │   headings in capitals, centred
//	├────┼────┤
//	│  1 │ xx │   cells to the right
//	└────┴────┘
type tablePrinter struct{ out io.Writer }

func (p *tablePrinter) print(a answer) error {
	t, ok := a.(tableAnswer)
	if !ok {
		return notSupported("table")
	}
	header, rows := t.table()
	_, err := io.WriteString(p.out, drawTable(header, rows))
	return err
}

func drawTable(header []string, rows [][]string) string {
	widths := make([]int, len(header))
	for i, cell := range header {
		widths[i] = utf8.RuneCountInString(cell)
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	rule := func(left, middle, right string) {
		b.WriteString(left)
		for i, width := range widths {
			if i > 0 {
				b.WriteString(middle)
			}
			b.WriteString(strings.Repeat("─", width+2))
		}
		b.WriteString(right + "\n")
	}
	line := func(cells []string, leftShare func(room int) int) {
		for i, cell := range cells {
			room := widths[i] - utf8.RuneCountInString(cell)
			left := leftShare(room)
			b.WriteString("│ " + strings.Repeat(" ", left) + cell + strings.Repeat(" ", room-left) + " ")
		}
		b.WriteString("│\n")
	}

	rule("┌", "┬", "┐")
	line(header, func(room int) int { return room / 2 })
	if len(rows) > 0 {
		rule("├", "┼", "┤")
	}
	for _, row := range rows {
		line(row, func(room int) int { return room })
	}
	rule("└", "┴", "┘")
	return b.String()
}
