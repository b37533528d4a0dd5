package wire

import (
	"bytes"
	"errors"
	"fmt"
)

// KeepStrings returns a copy of a response in which an array of strings in its result has
// only those elements that keep accepts; all other bytes are kept. A response without that
// array, or with nothing to take out of it, is returned as it is. It fails where answer is
// not one JSON value, or the member is there twice.
func KeepStrings(answer []byte, member string, keep func(s string) bool) ([]byte, error) {
	start := 0
	if bytes.HasPrefix(answer, []byte(byteOrderMark)) {
		start = len(byteOrderMark)
	}
	if !Valid(answer[start:]) {
		return nil, errors.New("keeping strings: not one JSON value")
	}
	at := skipSpace(answer, start)
	for _, name := range []string{"result", member} {
		if answer[at] != '{' {
			return answer, nil
		}
		found, err := soleMember(answer, at, name)
		if err != nil {
			return nil, fmt.Errorf("keeping strings: %w", err)
		}
		if !found.present() {
			return answer, nil
		}
		at = found.start
	}
	if answer[at] != '[' {
		return answer, nil
	}
	list := []byte{'['}
	whole := true
	for scan := scanArray(answer, at); ; {
		item, more := scan.next()
		if !more {
			break
		}
		if s, ok := Unquote(item.of(answer)); ok && !keep(s) {
			whole = false
			continue
		}
		if len(list) > 1 {
			list = append(list, ',')
		}
		list = append(list, item.of(answer)...)
	}
	if whole {
		return answer, nil
	}
	return replacement{at: span{at, skipValue(answer, at)}, text: append(list, ']')}.apply(answer), nil
}
