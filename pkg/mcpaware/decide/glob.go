package decide

import (
	"strings"
	"unicode/utf8"
)

// isGlob reports whether a name pattern holds more than itself.
func isGlob(pattern string) bool { return strings.ContainsAny(pattern, "*?") }

// globMatches reports whether the whole name matches: * stands for any run of
// characters, ? for one. It takes at most len(pattern)·len(name) steps: only the last
// star ever has to be tried again.
func globMatches(pattern, name string) bool {
	star, retry := -1, 0
	p, n := 0, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			star, retry = p, n
			p++
			continue
		}
		if p < len(pattern) {
			_, size := utf8.DecodeRuneInString(name[n:])
			if pattern[p] == '?' {
				p++
				n += size
				continue
			}
			if pattern[p] == name[n] {
				p++
				n++
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, size := utf8.DecodeRuneInString(name[retry:])
		retry += size
		p, n = star+1, retry
	}
	return strings.Trim(pattern[p:], "*") == ""
}
