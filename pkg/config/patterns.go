package config

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// badGlob is for exact tool names and globs of * and ?.
func badGlob(s string) (problem, hint string) {
	switch {
	case s == "":
		return "is empty", `write "*" for every tool`
	case len(s) > maxPatternBytes:
		return fmt.Sprintf("is longer than %d bytes", maxPatternBytes), ""
	case !printable(s) || strings.TrimSpace(s) != s:
		return quote(s) + " holds unprintable characters or space at an end", ""
	case strings.Contains(s, "**"):
		return quote(s) + " has ** in it, which is the same as *", ""
	}
	if at := strings.IndexAny(s, `[]{}()\^$|`); at >= 0 {
		hint = "write it as regex: in place of name:"
		return fmt.Sprintf("%s has %q in it; a glob knows only * and ?", quote(s), s[at]), hint
	}
	return "", ""
}

// compileWhole compiles a pattern in RE2 syntax that has to match a whole text.
func compileWhole(s string) (re *regexp.Regexp, problem, hint string) {
	switch {
	case s == "":
		return nil, "is empty", ""
	case len(s) > maxPatternBytes:
		return nil, fmt.Sprintf("is longer than %d bytes", maxPatternBytes), ""
	case !printable(s):
		return nil, quote(s) + " holds unprintable characters", `write them as escapes, such as \n`
	}
	// On its own first: "a)(b" would compile inside the group below.
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		problem, hint = regexProblem(s, err)
		return nil, problem, hint
	}
	if regexSize(tree) > maxRegexSize {
		return nil, quote(s) + " is too large once its repetitions are written out", ""
	}
	re, err = regexp.Compile(`^(?:` + s + `)$`)
	if err != nil {
		problem, hint = regexProblem(s, err)
		return nil, problem, hint
	}
	return re, "", ""
}

// regexSize estimates the instructions of a compiled expression, up to a little more than maxRegexSize.
func regexSize(re *syntax.Regexp) int {
	size := 1 + len(re.Rune)/8
	for _, sub := range re.Sub {
		if size += regexSize(sub); size > maxRegexSize {
			return size
		}
	}
	if re.Op == syntax.OpRepeat {
		size *= max(1, re.Min, re.Max)
	}
	return size
}

func regexProblem(s string, err error) (problem, hint string) {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("%s does not compile: %v", quote(s), err), ""
	}
	at := strings.Index(s, e.Expr)
	switch {
	case strings.Contains(s, "(?=") || strings.Contains(s, "(?!") || strings.Contains(s, "(?<=") || strings.Contains(s, "(?<!"):
		hint = "RE2 has no lookahead or lookbehind"
	case e.Code == syntax.ErrInvalidEscape && len(e.Expr) == 2 && e.Expr[1] >= '1' && e.Expr[1] <= '9':
		hint = "RE2 has no backreferences"
	case e.Code == syntax.ErrMissingRepeatArgument && strings.HasPrefix(s, "*"):
		hint = "a glob goes into name: in place of regex:"
	}
	if at < 0 || e.Expr == "" || len(e.Expr) == len(s) {
		return fmt.Sprintf("%s does not compile: %s", quote(s), e.Code), hint
	}
	return fmt.Sprintf("%s does not compile: %s: %s at character %d", quote(s), e.Code, quote(e.Expr), len([]rune(s[:at]))+1), hint
}
