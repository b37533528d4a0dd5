package outcome

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// maxTextBytes bounds the text of a tool error that is read as JSON.
const maxTextBytes = 64 << 10

// failureWord says whether an error word in a tool result blames the server.
func failureWord(word string) bool {
	switch word {
	case "internal_error", "service_unavailable", "timeout", "dependency_failed":
		return true
	}
	return false
}

// failureText reads the text of a tool error as JSON, where it is an object.
func failureText(quoted jsontext.Value) bool {
	if len(quoted) == 0 || len(quoted) > maxTextBytes {
		return false
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return false
	}
	text = bytes.TrimSpace(text)
	return len(text) > 0 && text[0] == '{' && failureValue(text)
}

// failureValue looks for a failure word in the members error and code of an
// object, and in those of an object under error.
func failureValue(value jsontext.Value) bool {
	if len(value) == 0 || len(value) > maxTextBytes {
		return false
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(value), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return failureObject(d, true)
}

// failureObject reads the object that comes next in d; outer says that an object
// under error is to be looked into.
func failureObject(d *jsontext.Decoder, outer bool) bool {
	if d.PeekKind() != '{' {
		return false
	}
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return false
		}
		member := name.String()
		interesting := member == "error" || member == "code"
		switch kind := d.PeekKind(); {
		case interesting && kind == '"':
			word, err := d.ReadToken()
			if err != nil {
				return false
			}
			if failureWord(word.String()) {
				return true
			}
		case outer && member == "error" && kind == '{':
			// On a false it has read to the end of the object, or the text is
			// broken and the next read says so.
			if failureObject(d, false) {
				return true
			}
		default:
			if err := d.SkipValue(); err != nil {
				return false
			}
		}
	}
	// The closing brace; where it is missing, so is everything after it.
	_, _ = d.ReadToken()
	return false
}
