package decide

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// argument is one compiled test of a value in params.arguments.
type argument struct {
	pointer string
	path    []string
	regex   *wholeRegex
	// in holds canonical scalars (see appendScalar), values what was written.
	in     map[string]bool
	values string
}

// holds reports whether the value that the pointer leads to passes the test. A value
// that is not there passes none.
func (a *argument) holds(arguments jsontext.Value) bool {
	if arguments == nil {
		return false
	}
	value, ok := wire.Find(arguments, a.path...)
	if !ok {
		return false
	}
	if a.regex != nil {
		text, isText := wire.Unquote(value)
		return isText && a.regex.matches(text)
	}
	var buffer [128]byte
	canonical, ok := appendScalar(buffer[:0], value)
	return ok && a.in[string(canonical)]
}

// appendScalar appends a scalar so that equal values have equal bytes: numbers by
// value, strings decoded behind a quote. ok is false for objects, arrays and strings
// with half of a surrogate pair.
func appendScalar(dst []byte, value jsontext.Value) (canonical []byte, ok bool) {
	value = bytes.TrimSpace(value)
	switch value.Kind() {
	case 'n', 't', 'f':
		return append(dst, value...), true
	case '0':
		return wire.AppendNumber(dst, value)
	case '"':
		dst = append(dst, '"')
		if bytes.IndexByte(value, '\\') < 0 {
			return append(dst, value[1:len(value)-1]...), true
		}
		unquoted, err := jsontext.AppendUnquote(dst, value)
		return unquoted, err == nil
	}
	return dst, false
}

func (c *compiler) argument(field string, m *policyv1.ArgumentMatch) argument {
	compiled := argument{
		pointer: m.GetPointer(),
		path:    c.pointer(field+".pointer", m.GetPointer()),
		values:  strings.Join(m.GetIn(), ", "),
	}
	switch {
	case (len(m.GetIn()) > 0) == (m.GetRegex() != ""):
		c.problem(field, "needs either in or regex")
	case m.GetRegex() != "":
		compiled.regex = c.regex(field+".regex", m.GetRegex())
	}
	compiled.in = make(map[string]bool, len(m.GetIn()))
	for _, raw := range m.GetIn() {
		value := jsontext.Value(raw)
		canonical, ok := []byte(nil), value.IsValid()
		if ok {
			canonical, ok = appendScalar(nil, value)
		}
		if !ok {
			c.problem(field+".in", "%q is not a JSON scalar", raw)
			continue
		}
		compiled.in[string(canonical)] = true
	}
	return compiled
}

// pointer parses an RFC 6901 pointer.
func (c *compiler) pointer(field, pointer string) []string {
	if pointer == "" {
		return nil
	}
	if pointer[0] != '/' || len(pointer) > maxPatternBytes {
		c.problem(field, "%q is not a JSON pointer: it must begin with /", pointer)
		return nil
	}
	tokens := strings.Split(pointer[1:], "/")
	for i, token := range tokens {
		rest := strings.NewReplacer("~0", "", "~1", "").Replace(token)
		if strings.Contains(rest, "~") {
			c.problem(field, "%q is not a JSON pointer: ~ stands only in ~0 and ~1", pointer)
		}
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
	}
	return tokens
}
