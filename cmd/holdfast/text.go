package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// shortVersion is how much of a content hash is shown.
const shortVersion = 12

func short(version string) string { return oneLine(version[:min(shortVersion, len(version))]) }

// maxLine is where free text on a line of its own is cut, in characters.
const maxLine = 140

// cut shortens text to so many characters.
func cut(text string, limit int) string {
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit-1]) + "…"
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// ago is the time from then to now, as coarse as people want it.
func ago(now, then time.Time) string {
	d := max(0, now.Sub(then))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

// printable keeps what others wrote from steering the terminal; lines stay lines.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		// Neither control characters nor those that change the direction of writing.
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(text, "?"))
}

// counted is a number with its noun.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
