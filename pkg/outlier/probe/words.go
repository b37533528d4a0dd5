package probe

import (
	"errors"
	"net/url"
	"strings"
	"unicode"
)

// plain takes the method and the URL off an error of net/http: whoever reads it knows the endpoint.
func plain(err error) error {
	var with *url.Error
	if errors.As(err, &with) {
		return with.Err
	}
	return err
}

// Printable keeps what others say of a failure on one line, without control characters, and short.
func Printable(text string) string { return printable(text, maxDetail) }

// printable keeps text on one line, without control characters, and at most limit bytes long.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
