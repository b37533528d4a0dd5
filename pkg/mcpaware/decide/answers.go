package decide

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// AnswerTests are what an operator knows about the answers of a rule's tools. It is
// immutable and safe for concurrent use.
type AnswerTests struct{ fail, ok []answerTest }

// answerTest is one compiled policyv1.AnswerMatch; all that is set must hold.
type answerTest struct {
	status []uint32
	value  *argument
	text   *regexp.Regexp
}

// AnswerTests returns the tests of a tool rule; nil where it has none.
func (r *Route) AnswerTests(rule string) *AnswerTests { return r.answers[rule] }

// Judge says whether the tests call an answer a failure; known is false where none
// of them has a word on it. message is the whole message and a what was read of it;
// both are nil where the answer has only a status.
func (t *AnswerTests) Judge(status int, message jsontext.Value, a *wire.Answer) (failed, known bool) {
	holds := func(test answerTest) bool { return test.holds(status, message, a) }
	if slices.ContainsFunc(t.fail, holds) {
		return true, true
	}
	return false, slices.ContainsFunc(t.ok, holds)
}

func (t *answerTest) holds(status int, message jsontext.Value, a *wire.Answer) bool {
	if len(t.status) > 0 && !slices.Contains(t.status, uint32(status)) { //nolint:gosec // an HTTP status
		return false
	}
	if t.value != nil && !t.value.holds(message) {
		return false
	}
	return t.text == nil || (a != nil && t.text.MatchString(readable(a)))
}

// readable is what a person would read of an answer.
func readable(a *wire.Answer) string {
	if a.HasError {
		return a.ErrorMessage
	}
	text, _ := wire.Unquote(a.Text)
	return text
}

func (c *compiler) answerTests(field string, r *policyv1.ToolRule) *AnswerTests {
	if len(r.GetFailWhen())+len(r.GetOkWhen()) == 0 {
		return nil
	}
	return &AnswerTests{
		fail: c.answerList(field+".fail_when", r.GetFailWhen()),
		ok:   c.answerList(field+".ok_when", r.GetOkWhen()),
	}
}

func (c *compiler) answerList(field string, list []*policyv1.AnswerMatch) []answerTest {
	out := make([]answerTest, 0, len(list))
	for i, m := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		test := answerTest{status: m.GetStatus()}
		if m.GetPointer() != "" {
			value := c.argument(at, &policyv1.ArgumentMatch{Pointer: m.GetPointer(), In: m.GetIn(), Regex: m.GetRegex()})
			test.value = &value
		}
		if m.GetMessage() != "" {
			// Compiled as a whole one too, for its checks.
			c.regex(at+".message", m.GetMessage())
			test.text, _ = regexp.Compile(m.GetMessage())
		}
		if len(test.status) == 0 && test.value == nil && m.GetMessage() == "" {
			c.problem(at, "tests nothing")
		}
		out = append(out, test)
	}
	return out
}

// describe says in words what the tests do, a line each.
func (t *AnswerTests) describe() []string {
	var out []string
	for _, test := range t.fail {
		out = append(out, "a failure: "+test.describe())
	}
	for _, test := range t.ok {
		out = append(out, "an answer: "+test.describe())
	}
	return out
}

func (t *answerTest) describe() string {
	var parts []string
	if len(t.status) > 0 {
		parts = append(parts, "status in "+strings.ReplaceAll(fmt.Sprint(t.status), " ", ", "))
	}
	if t.value != nil {
		parts = append(parts, strings.TrimPrefix(t.value.describe(), "argument "))
	}
	if t.text != nil {
		parts = append(parts, fmt.Sprintf("text with %s", t.text))
	}
	return strings.Join(parts, ", ")
}
