package config

import (
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// badPath is for URL paths that every hop reads alike (RFC 3986 without
// percent-encoding and dot segments).
func badPath(s string) (problem, hint string) {
	if problem = pathProblem(s); problem == "" || s == "" || len(s) > maxPathBytes {
		return problem, ""
	}
	near := s
	if u, err := url.Parse(s); err == nil && u.Host != "" && !strings.HasPrefix(s, "/") {
		near = u.Path
	}
	if at := strings.IndexAny(near, "?#"); at >= 0 {
		near = near[:at]
	}
	near = path.Clean("/" + near)
	if len(near) > maxShown || pathProblem(near) != "" {
		return problem, ""
	}
	return problem, meant(near)
}

func pathProblem(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > maxPathBytes:
		return fmt.Sprintf("is longer than %d bytes", maxPathBytes)
	case strings.ContainsAny(s, "?#"):
		return quote(s) + " has a query or a fragment"
	case strings.Contains(s, "%"):
		return quote(s) + " has percent-encoding, which hops read differently"
	case !strings.HasPrefix(s, "/"):
		return quote(s) + ` does not start with "/"`
	}
	segments := strings.Split(s[1:], "/")
	for i, segment := range segments {
		if segment == "." || segment == ".." || segment == "" && i < len(segments)-1 {
			return quote(s) + ` has an empty, "." or ".." segment`
		}
	}
	for _, r := range s {
		if r >= utf8.RuneSelf || !pathByte(byte(r)) { //nolint:gosec // below 128
			return fmt.Sprintf("%s holds %q, which a path cannot hold unencoded", quote(s), r)
		}
	}
	return ""
}

// pathByte: pchar of RFC 3986 without percent-encoding, and the slash.
func pathByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("/-._~!$&'()*+,;=:@", c) >= 0
}

// badPointer is for RFC 6901 pointers to something inside the arguments.
func badPointer(s string) (problem, hint string) {
	switch {
	case s == "":
		return "is empty, which is all arguments together", "a pointer such as /order/id"
	case len(s) > maxPatternBytes:
		return fmt.Sprintf("is longer than %d bytes", maxPatternBytes), ""
	case !printable(s):
		return quote(s) + " holds unprintable characters", ""
	case s[0] != '/':
		parts := strings.FieldsFunc(strings.TrimPrefix(s, "$"), func(r rune) bool { return strings.ContainsRune(".[]/", r) })
		return quote(s) + ` is not a JSON pointer: it does not start with "/"`, meant("/" + strings.Join(parts, "/"))
	}
	for i := range len(s) {
		if s[i] == '~' && (i+1 == len(s) || s[i+1] != '0' && s[i+1] != '1') {
			return quote(s) + " is not a JSON pointer: ~ stands only in ~0 (for ~) and ~1 (for /)", ""
		}
	}
	return "", ""
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
