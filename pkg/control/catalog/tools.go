package catalog

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// maxTools bounds the names that are read of a server's lists.
const maxTools = 10_000

// addTools reads the result of a tools/list: members tools[].name and tools[].outputSchema. What is
// not of that form is passed over; results are whole JSON objects already.
func addTools(known map[string]jsontext.Value, result []byte) {
	d := jsontext.NewDecoder(bytes.NewReader(result), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	eachMember(d, func(name string) bool {
		if name != "tools" || d.PeekKind() != '[' {
			return d.SkipValue() == nil
		}
		if _, err := d.ReadToken(); err != nil {
			return false
		}
		for d.PeekKind() != ']' && d.PeekKind() != 0 {
			if !readTool(d, known) {
				return false
			}
		}
		_, err := d.ReadToken()
		return err == nil
	})
}

func readTool(d *jsontext.Decoder, known map[string]jsontext.Value) bool {
	if d.PeekKind() != '{' {
		return d.SkipValue() == nil
	}
	var tool string
	var named bool
	var schema jsontext.Value
	whole := eachMember(d, func(name string) bool {
		switch {
		case name == "name" && d.PeekKind() == '"':
			token, err := d.ReadToken()
			if err == nil {
				tool, named = token.String(), true
			}
			return err == nil
		case name == "outputSchema" && d.PeekKind() == '{':
			value, err := d.ReadValue()
			schema = bytes.Clone(value)
			return err == nil
		default:
			return d.SkipValue() == nil
		}
	})
	if _, again := known[tool]; whole && named && (again || len(known) < maxTools) {
		known[tool] = schema
	}
	return whole
}

// eachMember reads one object; value reads or skips the value of the member, and says
// whether to go on.
func eachMember(d *jsontext.Decoder, value func(name string) bool) bool {
	if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
		return false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil || !value(name.String()) {
			return false
		}
	}
	_, err := d.ReadToken()
	return err == nil
}
