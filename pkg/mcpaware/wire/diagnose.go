package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// byteOrderMark is U+FEFF in UTF-8.
const byteOrderMark = "\xef\xbb\xbf"

// diagnose says why jsontext refuses a body in its strictest reading; nil where it is
// only for escapes that name half of a surrogate pair, which pass outside of names.
func diagnose(body []byte) *Fault {
	parse := func(message string, at int) *Fault {
		return &Fault{Code: CodeParse, HTTPStatus: http.StatusBadRequest, Message: message, Offset: at}
	}
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return parse("body is empty", 0)
	case bytes.HasPrefix(body, []byte(byteOrderMark)):
		return parse("body begins with a byte order mark", 0)
	case !utf8.Valid(body):
		return parse("body is not valid UTF-8", invalidUTF8At(body))
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowInvalidUTF8(true))
	if _, err := decoder.ReadValue(); err != nil {
		at := int(decoder.InputOffset())
		if syntactic := (*jsontext.SyntacticError)(nil); errors.As(err, &syntactic) {
			at = int(syntactic.ByteOffset)
		}
		if errors.Is(err, jsontext.ErrDuplicateName) {
			fault := invalidRequest("an object has two members of one name", at)
			fault.ID = undisputedID(body)
			return fault
		}
		return parse("body is not valid JSON", at)
	}
	end := int(decoder.InputOffset())
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return parse("body goes on after its JSON value", end)
	}
	return nil
}

func invalidUTF8At(body []byte) int {
	for at := 0; at < len(body); {
		r, size := utf8.DecodeRune(body[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return len(body)
}

// undisputedID returns the id of a message with duplicate names somewhere, if the id is
// not one of them; nil otherwise.
func undisputedID(body []byte) jsontext.Value {
	at := skipSpace(body, 0)
	if !Valid(body) || body[at] != '{' {
		return nil
	}
	var id span
	scan := scanObject(body, at)
	var scratch [64]byte
	for {
		quoted, value, more := scan.next()
		if !more {
			break
		}
		name, ok := decodeName(quoted.of(body), scratch[:])
		if !ok || (bytes.EqualFold(name, []byte("id")) && (id.present() || string(name) != "id")) {
			return nil
		}
		if string(name) == "id" {
			id = value
		}
	}
	if !id.present() || checkID(id.of(body), id.start) != nil {
		return nil
	}
	return id.of(body)
}
