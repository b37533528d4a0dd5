package wire

import (
	"bytes"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Answer is one message that a server sent, as far as verdicts, catalogues and stamps
// care. Its raw values alias the body.
type Answer struct {
	// Kind is Response, Notification, Request (servers of the legacy revisions send
	// them on event streams) or Batch.
	Kind Kind
	// ID holds the id's exact bytes; nil where absent. It may be null in errors.
	ID jsontext.Value
	// Method is that of a notification or request; empty in responses.
	Method string

	// HasError reports an error member; ErrorCode is 0 where it is not a number.
	HasError     bool
	ErrorCode    int64
	ErrorMessage string
	// ErrorData holds the exact bytes of error.data; nil where absent.
	ErrorData jsontext.Value

	// Result holds the exact bytes of the result; nil where absent. It begins at byte
	// ResultStart of the body and ends before byte ResultEnd.
	Result                 jsontext.Value
	ResultStart, ResultEnd int
	// IsError is result.isError of a tool result.
	IsError bool
	// ResultType is result.resultType, such as "complete"; empty where absent.
	ResultType string
	// Structured holds the exact bytes of result.structuredContent; nil where absent.
	Structured jsontext.Value
	// Text holds the exact bytes (a JSON string) of the text of the first content item
	// of type text; nil where there is none. Unquote decodes it.
	Text jsontext.Value
}

// ParseAnswer reads one message that a server sent. It is lenient where MCP clients are
// (a byte order mark, duplicate members of which the last counts, invalid UTF-8), and
// refuses what they cannot read: anything but exactly one JSON value, or an object that
// is neither response, notification nor request. The *Fault says where; its HTTPStatus
// is 0 and its ID nil.
func ParseAnswer(body []byte) (Answer, *Fault) {
	start := 0
	if bytes.HasPrefix(body, []byte(byteOrderMark)) {
		start = len(byteOrderMark)
	}
	if !Valid(body[start:]) {
		return Answer{}, &Fault{Code: CodeParse, Message: "answer is not one JSON value", Offset: start}
	}
	start = skipSpace(body, start)
	switch body[start] {
	case '[':
		return Answer{Kind: Batch}, nil
	case '{':
		return readAnswer(body, start)
	}
	return Answer{}, &Fault{Code: CodeInvalidRequest, Message: "answer is not an object", Offset: start}
}

func readAnswer(body []byte, at int) (Answer, *Fault) {
	var id, name, result, failure span
	collectLast(body, at, []known{{"id", &id}, {"method", &name}, {"result", &result}, {"error", &failure}})
	answer := Answer{ID: id.of(body)}
	if failure.present() && body[failure.start] == 'n' {
		// JSON-RPC 1.0 answers carry a null error beside the result.
		failure = span{}
	}
	switch {
	case result.present() || failure.present():
		answer.Kind = Response
		answer.readError(body, failure)
		answer.readResult(body, result)
		return answer, nil
	case name.present() && body[name.start] == '"':
		answer.Method, _ = Unquote(name.of(body))
		answer.Kind = Notification
		if id.present() && body[id.start] != 'n' {
			answer.Kind = Request
		}
		return answer, nil
	}
	return Answer{}, &Fault{Code: CodeInvalidRequest, Message: "answer has no result, error or method", Offset: at}
}

func (a *Answer) readError(body []byte, at span) {
	if !at.present() {
		return
	}
	a.HasError = true
	if body[at.start] != '{' {
		return
	}
	var code, message, data span
	collectLast(body, at.start, []known{{"code", &code}, {"message", &message}, {"data", &data}})
	a.ErrorCode = integer(code.of(body))
	a.ErrorMessage, _ = Unquote(message.of(body))
	a.ErrorData = data.of(body)
}

// integer reads a number that stands for an integer, however it is written (-32603.0
// too); 0 where it is none.
func integer(raw jsontext.Value) int64 {
	if raw == nil {
		return 0
	}
	if value, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return value
	}
	value, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || value != math.Trunc(value) || math.Abs(value) > maxSafeInteger {
		return 0
	}
	return int64(value)
}

func (a *Answer) readResult(body []byte, at span) {
	if !at.present() {
		return
	}
	a.Result, a.ResultStart, a.ResultEnd = at.of(body), at.start, at.end
	if body[at.start] != '{' {
		return
	}
	var isError, resultType, structured, content span
	collectLast(body, at.start, []known{
		{"isError", &isError},
		{"resultType", &resultType},
		{"structuredContent", &structured},
		{"content", &content},
	})
	a.IsError = string(isError.of(body)) == "true"
	if resultType.present() {
		a.ResultType, _ = Unquote(resultType.of(body))
	}
	a.Structured = structured.of(body)
	a.Text = firstText(body, content)
}

// maxContentItems bounds how many content items are looked through for a text.
const maxContentItems = 16

func firstText(body []byte, content span) jsontext.Value {
	if !content.present() || body[content.start] != '[' {
		return nil
	}
	items := scanArray(body, content.start)
	for range maxContentItems {
		item, more := items.next()
		if !more {
			return nil
		}
		if body[item.start] != '{' {
			continue
		}
		var kind, text span
		collectLast(body, item.start, []known{{"type", &kind}, {"text", &text}})
		if string(kind.of(body)) == `"text"` && text.present() && body[text.start] == '"' {
			return text.of(body)
		}
	}
	return nil
}
