package extproc

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// tests are what the operator says about the answers of a call's tool. The zero
// value says nothing.
type tests struct {
	rule *decide.AnswerTests
	// status of the answer.
	status int
}

// class is that of an answer to the call after the operator's word.
func (t *tests) class(class outcome.Class, message jsontext.Value, a *wire.Answer) outcome.Class {
	if t.rule == nil || class == outcome.Unrelated {
		return class
	}
	failed, known := t.rule.Judge(t.status, message, a)
	switch {
	case !known:
		return class
	case failed:
		return outcome.Failed
	case class == outcome.Failed:
		return outcome.Refused
	}
	return class
}

// byTests acts on an answer by what the operator says about its status alone, where
// there is no message to read.
func (a *attempt) byTests(last bool) (said bool, err error) {
	if a.tests.rule == nil {
		return false, nil
	}
	failed, known := a.tests.rule.Judge(a.held.status, nil, nil)
	switch {
	case !known:
		return false, nil
	case failed:
		return true, a.judged(a.observe(outcome.Failed), false, last)
	case a.held.status >= 500:
		a.observe(outcome.Refused)
		return true, a.judged(outcome.CallerFault, false, last)
	}
	a.observe(outcome.Refused)
	return true, a.refused(!a.refuses(), last)
}

// odd says that a JSON answer with another status than 200 has to be read for the
// operator's tests only.
func (a *attempt) odd() bool {
	return a.tests.rule != nil && a.held.status != 200 && a.held.status < 500
}

// weighOdd judges such an answer: it goes on as it came unless a test makes it a
// failure. read says that parsed is a message.
func (a *attempt) weighOdd(parsed *wire.Answer, read, last bool) error {
	if !read {
		parsed = nil
	}
	class := outcome.Refused
	if a.held.status < 300 {
		// No client reads an answer to its request there.
		class = outcome.Failed
	}
	if failed, known := a.tests.rule.Judge(a.held.status, a.held.body, parsed); known && failed {
		class = outcome.Failed
	} else if known {
		class = outcome.Refused
	}
	verdict, usable := a.observe(class), read && outcome.Answers(parsed, a.call.GetId())
	if class == outcome.Refused && a.refuses() {
		return a.refused(usable, last)
	}
	return a.judged(verdict, usable, last)
}
