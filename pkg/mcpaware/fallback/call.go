package fallback

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// errTooLarge is for what has more than MaxBytes.
var errTooLarge = fmt.Errorf("more than %d bytes", MaxBytes)

// Request is the tools/call of body for another tool: with its name, and with arguments
// as the Mapping says. The id and everything else is kept.
func Request(body []byte, tool string, arguments Mapping) ([]byte, error) {
	if len(body) > MaxBytes {
		return nil, errTooLarge
	}
	params, ok := wire.Find(body, "params")
	if !ok {
		return nil, errors.New("the call has no params")
	}
	name, err := jsontext.AppendQuote(nil, tool)
	if err != nil {
		return nil, fmt.Errorf("quoting the tool's name: %w", err)
	}
	changed, err := wire.SetMember(params, "name", name)
	if err != nil {
		return nil, err
	}
	if !arguments.Empty() {
		given, _ := wire.Find(params, "arguments")
		mapped, err := arguments.Apply(given)
		if err != nil {
			return nil, fmt.Errorf("mapping the arguments: %w", err)
		}
		if changed, err = wire.SetMember(changed, "arguments", mapped); err != nil {
			return nil, err
		}
	}
	return bounded(wire.SetMember(body, "params", changed))
}

func bounded(b []byte, err error) ([]byte, error) {
	if err == nil && len(b) > MaxBytes {
		return nil, errTooLarge
	}
	return b, err
}

// Answer is a tool's answer with its structured content as the Mapping says and, since
// clients may read either, that as its only text. Where there is no structured content, a
// single text that is a JSON object stands for it. An answer with isError is kept, and so
// is one that has neither.
func Answer(answer []byte, result Mapping) ([]byte, error) {
	value, ok := wire.Find(answer, "result")
	if result.Empty() || !ok || isError(value) {
		return answer, nil
	}
	structured, has := wire.Find(value, "structuredContent")
	if !has {
		if structured, has = soleObject(value); !has {
			return answer, nil
		}
	}
	mapped, err := result.Apply(structured)
	if err != nil {
		return nil, fmt.Errorf("mapping the result: %w", err)
	}
	text, err := jsontext.AppendQuote(nil, mapped)
	if err != nil {
		return nil, fmt.Errorf("quoting the result: %w", err)
	}
	content := append(append([]byte(`[{"type":"text","text":`), text...), `}]`...)
	changed, err := wire.SetMember(value, "content", content)
	if err != nil {
		return nil, err
	}
	if changed, err = wire.SetMember(changed, "structuredContent", mapped); err != nil {
		return nil, err
	}
	return wire.SetMember(answer, "result", changed)
}

func isError(result jsontext.Value) bool {
	flag, ok := wire.Find(result, "isError")
	return ok && string(bytes.TrimSpace(flag)) == "true"
}

// soleObject is the JSON object that the only text of a result holds.
func soleObject(result jsontext.Value) (jsontext.Value, bool) {
	if _, more := wire.Find(result, "content", "1"); more {
		return nil, false
	}
	quoted, ok := wire.Find(result, "content", "0", "text")
	if !ok {
		return nil, false
	}
	text, ok := wire.Unquote(quoted)
	object := jsontext.Value(text)
	if !ok || !wire.Valid(object) || object.Kind() != '{' {
		return nil, false
	}
	return object, true
}
