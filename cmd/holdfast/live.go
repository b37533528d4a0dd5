package main

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// Size of a terminal that does not say.
const (
	defaultWidth  = 80
	defaultHeight = 24
)

// terminalSize gives columns and rows.
func terminalSize(w io.Writer) (width, height int) {
	if file, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(file.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return defaultWidth, defaultHeight
}

// liveBlock is some lines at the bottom of a terminal that are written over again and
// again. It is not safe for concurrent use.
type liveBlock struct {
	out  io.Writer
	size func() (width, height int)
	// drawn lines, above the cursor.
	drawn int
}

// draw puts lines in place of those drawn before; what does not fit is cut off.
func (b *liveBlock) draw(lines []string) {
	width, height := b.size()
	if room := height - 1; len(lines) > room {
		lines = lines[:max(1, room)]
	}
	var text strings.Builder
	text.WriteString(b.up())
	for _, line := range lines {
		text.WriteString(cutVisible(line, width-1) + "\x1b[K\n")
	}
	text.WriteString("\x1b[J")
	b.drawn = len(lines)
	say(b.out, "%s", text.String())
}

// clear takes the lines away.
func (b *liveBlock) clear() {
	if b.drawn > 0 {
		say(b.out, "%s\x1b[J", b.up())
		b.drawn = 0
	}
}

// up moves to the first line drawn.
func (b *liveBlock) up() string { return "\r" + strings.Repeat("\x1b[A", b.drawn) }

// cutVisible keeps the first width characters; colours count nothing, and end at the cut.
func cutVisible(text string, width int) string {
	var out strings.Builder
	shown, painted := 0, false
	for len(text) > 0 {
		if strings.HasPrefix(text, "\x1b[") {
			if end := strings.IndexByte(text, 'm'); end >= 0 {
				painted = text[:end+1] != plainText
				out.WriteString(text[:end+1])
				text = text[end+1:]
				continue
			}
		}
		if shown == width {
			if painted {
				out.WriteString(plainText)
			}
			break
		}
		_, size := utf8.DecodeRuneInString(text)
		out.WriteString(text[:size])
		text = text[size:]
		shown++
	}
	return out.String()
}
