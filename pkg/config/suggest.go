package config

import (
	"fmt"
	"strings"
	"unicode"
)

// didYouMean is a hint that names the option nearest to word, or "" when none is near.
func didYouMean(word string, options []string) string {
	if near := nearest(word, options); near != "" {
		return meant(near)
	}
	return ""
}

func meant(word string) string {
	return fmt.Sprintf("did you mean %s?", quote(word))
}

// Suggest gives the option that a person who wrote word probably meant; "" when none is
// near. Case and punctuation cost nothing.
func Suggest(word string, options []string) string { return nearest(word, options) }

// nearest gives the option with the fewest edits from word; "" when even that
// one would change more than a third of it. Case and punctuation cost nothing.
func nearest(word string, options []string) string {
	folded := fold(word)
	if len(folded) > maxShown {
		return ""
	}
	best, bestDistance := "", max(1, len(folded)/3)+1
	for _, option := range options {
		candidate := fold(option)
		if len(candidate) > maxShown {
			continue
		}
		if d := editDistance(folded, candidate); d < bestDistance && d < len(candidate) {
			best, bestDistance = option, d
		}
	}
	return best
}

// fold leaves the lower-case letters and digits of s.
func fold(s string) []rune {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			out = append(out, unicode.ToLower(r))
		}
	}
	return out
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours (optimal string alignment) between a and b.
func editDistance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// oneOf lists options for people: a, b or c.
func oneOf(options []string) string {
	if len(options) < 2 {
		return strings.Join(options, "")
	}
	last := len(options) - 1
	return strings.Join(options[:last], ", ") + " or " + options[last]
}
