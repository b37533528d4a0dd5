package config

import (
	"fmt"
	"strings"
	"unicode"
)

// The functions of this package whose names start with bad look at one value and
// give what is wrong with it, "" when nothing is, and a hint, which may be empty.

// badName is for for names of resources and regions (DNS labels) and of endpoints.
func badName(s string, limit int) (problem, hint string) {
	edge := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	ok := s != "" && len(s) <= limit && edge(s[0]) && edge(s[len(s)-1])
	for _, c := range []byte(s) {
		ok = ok && (edge(c) || c == '-')
	}
	if ok {
		return "", ""
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return unicode.ToLower(r)
		case r < 128 && edge(byte(r)): //nolint:gosec // below 128
			return r
		default:
			return '-'
		}
	}, s)
	if clean = strings.Trim(clean, "-"); clean != "" && len(clean) <= limit {
		hint = meant(clean)
	}
	return fmt.Sprintf("%s is not a name: 1 to %d of a-z, 0-9 and -, with a letter or digit at both ends", quote(s), limit), hint
}
