package degrade

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// SourceCache marks a result that a tool gave before.
const SourceCache = "cache"

// Remembered is a result that a tool gave before.
type Remembered struct {
	// Result is the `result` member of its answer.
	Result []byte
	// AsOf is when the answer was received, Age the time since.
	AsOf time.Time
	Age  time.Duration
	// Warn adds a text to the content that tells the age.
	Warn bool
}

// Cached answers call with a remembered result: the caller's id, none of the _meta that the
// result came with, and _meta["holdfast/degraded"]. The header age has its age, warning says that it is
// stale (RFC 9111, section 5.1; RFC 7234, section 5.5.1). cause is why the server's own answer is missing. It fails
// where the call has no id or the result is not an object.
func Cached(call *policyv1.CallContext, r Remembered, cause Cause) (Answer, error) {
	if len(call.GetId()) == 0 {
		return Answer{}, errors.New("answering with a remembered result: the request has no id")
	}
	result := r.Result
	if !wire.Valid(result) {
		// Pasted into a body unchecked, it could bring members of its own.
		return Answer{}, errors.New("answering with a remembered result: it is not JSON")
	}
	seconds := strconv.FormatInt(int64(max(r.Age, 0)/time.Second), 10)
	asOf := r.AsOf.UTC().Format(time.RFC3339)
	mark := append([]byte(`{"reason":`), appendString(nil, string(cause.Code))...)
	mark = append(mark, `,"source":"cache","asOf":`...)
	mark = appendString(mark, asOf)
	mark = append(append(append(mark, `,"age":`...), seconds...), '}')
	result, err := wire.SetMember(result, "_meta", degradedMeta(mark))
	if err == nil && r.Warn {
		result, err = appendContent(result, "A remembered result, "+ageText(r.Age)+" old (as of "+asOf+"), since there is no new one: "+cause.Message)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("answering with a remembered result: %w", err)
	}
	set := append(headers(SourceCache, &Cause{}),
		HeaderValue{Name: "age", Value: seconds}, HeaderValue{Name: "warning", Value: `110 holdfast "Response is Stale"`})
	return Answer{Status: http.StatusOK, Headers: set, Body: wrapResult(call, result), Source: SourceCache, Code: cause.Code}, nil
}

// degradedMeta is a _meta with the mark alone.
func degradedMeta(mark []byte) []byte {
	meta := appendString([]byte{'{'}, names.MetaDegraded)
	return append(append(append(meta, ':'), mark...), '}')
}

// wrapResult makes an answer of a result.
func wrapResult(call *policyv1.CallContext, result []byte) []byte {
	body := append([]byte(`{"jsonrpc":"2.0","id":`), call.GetId()...)
	body = append(body, `,"result":`...)
	return append(append(body, result...), '}')
}

// appendContent adds a text to the end of a result's content. A result without content keeps
// none: no client looks for it there.
func appendContent(result []byte, text string) ([]byte, error) {
	content, ok := wire.Find(result, "content")
	if !ok || content.Kind() != '[' {
		return result, nil
	}
	item := appendString([]byte(`{"type":"text","text":`), text)
	list := bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(content), []byte{']'}))
	longer := append(make([]byte, 0, len(list)+len(item)+3), list...)
	if len(list) > 1 {
		longer = append(longer, ',')
	}
	longer = append(append(longer, item...), "}]"...)
	return wire.SetMember(result, "content", longer)
}

// ageText is an age for people, as exact as matters.
func ageText(d time.Duration) string {
	step := time.Second
	switch {
	case d >= time.Hour:
		step = time.Minute
	case d >= 10*time.Minute:
		step = 10 * time.Second
	}
	return window(max(d, 0).Truncate(step))
}

// StaticMayStandIn says whether an operator's answer may be given to a call: what may have run, and may
// not run twice, must be told to be of unknown outcome.
func StaticMayStandIn(call *policyv1.CallContext, cause *Cause) bool {
	return len(call.GetId()) > 0 && (call.GetSafe() || cause.Outcome == NotExecuted)
}

// SourceStatic marks an answer that an operator has written.
const SourceStatic = "static"

// Static answers call with what an operator has written; cause is why there is nothing else.
// It fails where the call has no id.
func Static(call *policyv1.CallContext, static *policyv1.StaticAnswer, cause Cause) (Answer, error) {
	if len(call.GetId()) == 0 {
		return Answer{}, errors.New("answering with the operator's answer: the request has no id")
	}
	content := jsontext.Value(static.GetStructuredContent())
	if len(content) > 0 && !wire.Valid(content) {
		return Answer{}, errors.New("answering with the operator's answer: its structured content is not JSON")
	}
	text := static.GetText()
	if text == "" {
		text = string(content)
	}
	result := appendString([]byte(`{"content":[{"type":"text","text":`), text)
	result = append(result, `}]`...)
	if len(content) > 0 {
		result = append(append(result, `,"structuredContent":`...), content...)
	}
	if static.GetIsError() {
		result = append(result, `,"isError":true`...)
	}
	mark := append([]byte(`{"reason":`), appendString(nil, string(cause.Code))...)
	mark = append(mark, `,"source":"static"`...)
	if cause.Outcome != "" {
		mark = appendString(append(mark, `,"outcome":`...), cause.Outcome)
	}
	result = append(append(result, `,"_meta":`...), degradedMeta(append(mark, '}'))...)
	if call.GetRevision() == ModernRevision {
		result = append(result, `,"resultType":"complete"`...)
	}
	return Answer{
		Status: http.StatusOK, Headers: headers(SourceStatic, &cause), Body: wrapResult(call, append(result, '}')), Source: SourceStatic, Code: cause.Code,
	}, nil
}
