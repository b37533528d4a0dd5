package config

import (
	"slices"
	"strings"
	"time"
)

// Defaults of Breaker.
const (
	// DefaultBreakerFailures is Breaker.Failures.
	DefaultBreakerFailures = 10
	// DefaultOpenFor is Breaker.OpenFor.
	DefaultOpenFor = Duration(5 * time.Second)
	// DefaultMaxOpenFor is Breaker.MaxOpenFor, unless OpenFor is longer.
	DefaultMaxOpenFor = Duration(time.Minute)
)

// Bounds on breakers and on tests of answers.
const (
	minBreakerFailures = 2
	minOpenFor         = Duration(100 * time.Millisecond)
	maxOpenFor         = Duration(time.Hour)
	maxAnswerTests     = 16
	maxStatuses        = 32
	minStatus          = 200
	maxStatus          = 599
)

func (b *Breaker) applyDefaults() {
	setDefault(&b.Failures, DefaultBreakerFailures)
	setDefault(&b.OpenFor, DefaultOpenFor)
	setDefault(&b.MaxOpenFor, max(DefaultMaxOpenFor, b.OpenFor))
}

func checkBreakerValues(s loaded[MCPServer]) {
	b, doc := s.value.Spec.Breaker, s.document
	rangeAt(doc, "spec.breaker.failures", count(b.Failures), minBreakerFailures, maxConsecutive)
	rangeAt(doc, "spec.breaker.openFor", b.OpenFor, minOpenFor, maxOpenFor)
	rangeAt(doc, "spec.breaker.maxOpenFor", b.MaxOpenFor, minOpenFor, maxOpenFor)
}

// checkBreaker checks the times together, defaults in place.
func checkBreaker(s loaded[MCPServer]) {
	b := s.value.Spec.Breaker
	if s.clean("spec.breaker") && b.OpenFor > b.MaxOpenFor {
		s.report("spec.breaker.maxOpenFor", "", "%s is shorter than openFor, %s%s",
			b.MaxOpenFor, b.OpenFor, s.orDefault("spec.breaker.openFor"))
	}
}

func checkAnswers(doc *document, path string, tests []AnswerMatch) {
	doc.countAt(path, len(tests), 0, maxAnswerTests)
	for i, m := range tests {
		checkAnswer(doc, item(path, i), m)
	}
}

func checkAnswer(doc *document, path string, m AnswerMatch) {
	fields := []string{"status", "pointer", "message"}
	values := []string{"equals", "in", "regex"}
	unwritten := func(name string) bool { return !doc.written(path + "." + name) }
	given := slices.DeleteFunc(slices.Clone(values), unwritten)
	switch {
	case len(given) > 1:
		doc.report(path+"."+given[1], "keep one of them", "%s and %s exclude each other", given[0], given[1])
	case len(given) == 1 && unwritten("pointer"):
		doc.report(path+"."+given[0], "write message: for the text of an answer", "tests nothing: it needs a pointer")
	case len(given) == 0 && !unwritten("pointer"):
		doc.report(path+".pointer", "", "has no test: one of %s is needed", oneOf(values))
	case len(slices.DeleteFunc(fields, unwritten)) == 0 && doc.clean(path):
		doc.report(path, "", "tests nothing: one of status, pointer, message is needed")
	}
	doc.textAt(path+".pointer", m.Pointer, badAnswerPointer)
	doc.textAt(path+".regex", m.Regex, badRegex)
	doc.textAt(path+".message", m.Message, badRegex)
	checkValues(doc, path+".in", m.In)
	doc.countAt(path+".status", len(m.Status), 1, maxStatuses)
	for i, status := range m.Status {
		at := item(path+".status", i)
		rangeAt(doc, at, count(status), minStatus, maxStatus)
		switch status {
		case 401, 403:
			doc.report(at, "", "%d is always an answer: it is about the caller", status)
		case 429:
			doc.report(at, "", "429 is neither a failure nor an answer: the call moves on")
		}
	}
}

// badAnswerPointer is badPointer for a pointer into an answer.
func badAnswerPointer(s string) (problem, hint string) {
	if problem, hint = badPointer(s); problem != "" {
		return problem, hint
	}
	first, _, _ := strings.Cut(s[1:], "/")
	if first != "result" && first != "error" {
		return quote(s) + " begins with neither /result nor /error", meant("/result" + s)
	}
	return "", ""
}
