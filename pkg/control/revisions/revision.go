package revisions

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of what people say about a revision, in bytes.
const (
	MaxAuthorBytes  = 256
	MaxReasonBytes  = 1024
	MaxVersionBytes = 256
)

// Header is a revision without its content.
type Header struct {
	// Number is one more than that of the revision before; the first is 1.
	Number uint64
	// Version is the hash of the content that nodes acknowledge.
	Version string
	// Author is who made it: a subject that was authenticated, "directory", or what a caller said.
	Author string
	// Reason may be empty.
	Reason string
	// Time when it was made, UTC.
	Time time.Time
	// RollbackOf is the number whose content it has, 0 for any other revision.
	RollbackOf uint64
	// Base is the number that its changes were made against, as their author said; 0 where nothing was said.
	Base uint64
	// Changes against the revision before, as Changes gives them.
	Changes []string
}

// Revision is one whole configuration.
type Revision struct {
	Header
	Set
}

// Origin is what Next is told about a new revision; see Header.
type Origin struct {
	Version    string
	Author     string
	Reason     string
	Time       time.Time
	RollbackOf uint64
	Base       uint64
}

// Next makes the revision that follows the newest one, nil where there is none yet. An error says
// which part of the origin cannot be kept: author and reason are single lines of text.
func Next(newest *Revision, content Set, o Origin) (Revision, error) {
	next := Revision{Header: Header{
		Number: 1, Version: o.Version, Author: o.Author, Reason: o.Reason, Time: o.Time.UTC(), RollbackOf: o.RollbackOf, Base: o.Base,
	}, Set: content}
	var before Set
	if newest != nil {
		next.Number, before = newest.Number+1, newest.Set
	}
	next.Changes = Changes(before, content)
	if err := next.Header.Validate(); err != nil {
		return Revision{}, err
	}
	return next, nil
}

// Validate tells what is wrong with a header.
func (h Header) Validate() error {
	errs := []error{
		line("author", h.Author, MaxAuthorBytes),
		line("reason", h.Reason, MaxReasonBytes),
		line("version", h.Version, MaxVersionBytes),
	}
	if h.Author == "" {
		errs = append(errs, errors.New("a revision needs an author"))
	}
	if h.Number > 0 && (h.RollbackOf >= h.Number || h.Base >= h.Number) {
		errs = append(errs, fmt.Errorf("revision %d cannot build on revision %d", h.Number, max(h.RollbackOf, h.Base)))
	}
	return errors.Join(errs...)
}

func line(what, text string, limit int) error {
	switch {
	case len(text) > limit:
		return fmt.Errorf("the %s has more than %d bytes", what, limit)
	case !utf8.ValidString(text):
		return fmt.Errorf("the %s is not UTF-8 text", what)
	case strings.ContainsFunc(text, unprintable):
		return fmt.Errorf("the %s has characters that cannot be shown on one line", what)
	}
	return nil
}

// unprintable is for characters that break a line or make a terminal show something
// else than what is written. The two joiners are a part of how many Indian names are spelt.
func unprintable(r rune) bool {
	const nonJoiner, joiner = '\u200C', '\u200D'
	return !unicode.IsPrint(r) && r != nonJoiner && r != joiner
}
