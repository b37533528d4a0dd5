package main

import (
	"io"
	"strings"
)

// Colours (ECMA-48, SGR).
const (
	plainText = "\x1b[0m"
	bold      = "\x1b[1m"
	dim       = "\x1b[2m"
	red       = "\x1b[31m"
	green     = "\x1b[32m"
	yellow    = "\x1b[33m"
	cyan      = "\x1b[36m"
)

// painter colours text where the reader wants that.
type painter bool

func (e *environment) painter(w io.Writer) painter { return painter(e.colors(w)) }

func (p painter) paint(color, text string) string {
	if !p || text == "" {
		return text
	}
	return color + text + plainText
}

// diff makes a unified diff harmless for terminals, and colours it.
func (p painter) diff(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = printable(strings.TrimSuffix(line, "\n"))
		color := ""
		switch {
		case strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
			color = bold
		case strings.HasPrefix(line, "@@"):
			color = cyan
		case strings.HasPrefix(line, "+"):
			color = green
		case strings.HasPrefix(line, "-"):
			color = red
		}
		if color != "" {
			line = p.paint(color, line)
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

// change colours one line of Revision.changes by its sign.
func (p painter) change(line string) string {
	line = oneLine(line)
	switch {
	case strings.HasPrefix(line, "+"):
		return p.paint(green, line)
	case strings.HasPrefix(line, "-"):
		return p.paint(red, line)
	case strings.HasPrefix(line, "~"):
		return p.paint(yellow, line)
	default:
		return line
	}
}
