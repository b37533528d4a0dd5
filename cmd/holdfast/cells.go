package main

import (
	"unicode"

	"golang.org/x/text/width"
)

// cellsOf is how many columns of a terminal a character takes (Unicode Standard Annex 11).
func cellsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	case width.Neutral, width.EastAsianAmbiguous, width.EastAsianNarrow, width.EastAsianHalfwidth:
	}
	return 1
}

// cells is how many columns of a terminal text takes.
func cells(text string) int {
	n := 0
	for _, r := range text {
		n += cellsOf(r)
	}
	return n
}

// cutCells shortens text to so many columns.
func cutCells(text string, limit int) string {
	if cells(text) <= limit {
		return text
	}
	n := 0
	for at, r := range text {
		if n += cellsOf(r); n > limit-1 {
			return text[:at] + "…"
		}
	}
	return text
}
