package wire

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// KeepStrings returns a copy of a response in which an array of strings in its result has
// only those elements that keep accepts; all other bytes are kept. A response without that
// array, or with nothing to take out of it, is returned as it is. It fails where answer is
// not one JSON value, or the member is there twice.
func KeepStrings(answer []byte, member string, keep func(s string) bool) ([]byte, error) {
	return KeepElements(answer, func(element jsontext.Value) bool {
		s, ok := Unquote(element)
		return !ok || keep(s)
	}, "result", member)
}

// KeepElements is KeepStrings for an array of anything at a path of members.
func KeepElements(object []byte, keep func(element jsontext.Value) bool, path ...string) ([]byte, error) {
	start := 0
	if bytes.HasPrefix(object, []byte(byteOrderMark)) {
		start = len(byteOrderMark)
	}
	if !Valid(object[start:]) {
		return nil, errors.New("keeping elements: not one JSON value")
	}
	at := skipSpace(object, start)
	for _, name := range path {
		if object[at] != '{' {
			return object, nil
		}
		found, err := soleMember(object, at, name)
		if err != nil {
			return nil, fmt.Errorf("keeping elements: %w", err)
		}
		if !found.present() {
			return object, nil
		}
		at = found.start
	}
	if object[at] != '[' {
		return object, nil
	}
	list := []byte{'['}
	whole := true
	for scan := scanArray(object, at); ; {
		item, more := scan.next()
		if !more {
			break
		}
		if !keep(item.of(object)) {
			whole = false
			continue
		}
		if len(list) > 1 {
			list = append(list, ',')
		}
		list = append(list, item.of(object)...)
	}
	if whole {
		return object, nil
	}
	return replacement{at: span{at, skipValue(object, at)}, text: append(list, ']')}.apply(object), nil
}
