package wire

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// replacement replaces one range of bytes.
type replacement struct {
	at   span
	text []byte
}

func (e replacement) apply(b []byte) []byte {
	out := make([]byte, 0, len(b)-(e.at.end-e.at.start)+len(e.text))
	out = append(out, b[:e.at.start]...)
	out = append(out, e.text...)
	return append(out, b[e.at.end:]...)
}

// applyAll makes all changes, of which no two overlap, in one copy of b; b itself where there are none.
func applyAll(b []byte, changes []replacement) []byte {
	if len(changes) == 0 {
		return b
	}
	slices.SortFunc(changes, func(a, b replacement) int { return cmp.Compare(a.at.start, b.at.start) })
	size := len(b)
	for _, c := range changes {
		size += len(c.text)
	}
	out, at := make([]byte, 0, size), 0
	for _, c := range changes {
		out = append(append(out, b[at:c.at.start]...), c.text...)
		at = c.at.end
	}
	return append(out, b[at:]...)
}

// SetMember returns a copy of a JSON object in which a member has a value: the value
// replaces the member's own, or the member becomes the first one. All other bytes are
// kept. It fails where object is not one JSON object, value not one JSON value, or the
// member is there twice.
func SetMember(object []byte, name string, value []byte) ([]byte, error) {
	if !Valid(object) {
		return nil, errors.New("setting a member: not one JSON value")
	}
	change, err := memberEdit(object, skipSpace(object, 0), name, value)
	if err != nil {
		return nil, fmt.Errorf("setting member %q: %w", name, err)
	}
	return change.apply(object), nil
}

// SpliceMeta returns a copy of a JSON-RPC response in which result._meta has a member
// key with a value. It inserts bytes, or replaces those of a value that key has
// already; all other bytes are kept. It fails where answer is not one response with an
// object for a result, result._meta is not an object, or a member on the way is there
// twice.
func SpliceMeta(answer []byte, key string, value []byte) ([]byte, error) {
	start := 0
	if bytes.HasPrefix(answer, []byte(byteOrderMark)) {
		start = len(byteOrderMark)
	}
	if !Valid(answer[start:]) {
		return nil, errors.New("splicing _meta: not one JSON value")
	}
	change, err := metaEdit(answer, skipSpace(answer, start), "result", key, value)
	if err != nil {
		return nil, fmt.Errorf("splicing _meta: %w", err)
	}
	return change.apply(answer), nil
}

// SpliceRequestMeta is SpliceMeta on params._meta of a request or notification that
// ParseRequest has read.
func SpliceRequestMeta(request []byte, key string, value []byte) ([]byte, error) {
	if !Valid(request) {
		return nil, errors.New("splicing _meta: not one JSON value")
	}
	change, err := metaEdit(request, skipSpace(request, 0), "params", key, value)
	if err != nil {
		return nil, fmt.Errorf("splicing _meta: %w", err)
	}
	return change.apply(request), nil
}

// MetaText is a text member of the _meta in params, the exact bytes of a message that
// ParseRequest has read. there: the member is there, whatever it holds; value is empty
// where that is no string.
func MetaText(params []byte, key string) (value string, there bool) {
	if len(params) == 0 || params[0] != '{' {
		return "", false
	}
	meta, err := soleMember(params, 0, "_meta")
	if err != nil || !meta.present() || params[meta.start] != '{' {
		return "", false
	}
	found, err := soleMember(params, meta.start, key)
	if err != nil || !found.present() {
		return "", false
	}
	value, _ = Unquote(found.of(params))
	return value, true
}

// SpliceEvent is SpliceMeta on the answer that one whole server-sent event carries. It
// fails where raw is not exactly one event with one data line, or value holds a line
// break.
func SpliceEvent(raw []byte, key string, value []byte) ([]byte, error) {
	if bytes.ContainsAny(value, "\r\n") {
		return nil, errors.New("splicing _meta into an event: the value has a line break")
	}
	return EditEvent(raw, func(data []byte) ([]byte, error) { return SpliceMeta(data, key, value) })
}

// EditEvent returns a copy of one whole server-sent event with other data. It fails where
// raw is not exactly one event with one data line, where edit fails, or where what it
// gives has a line break.
func EditEvent(raw []byte, edit func(data []byte) ([]byte, error)) ([]byte, error) {
	stream := NewEventStream(len(raw))
	events, err := stream.Feed(raw)
	if err != nil {
		return nil, fmt.Errorf("editing an event: %w", err)
	}
	if len(events) == 0 {
		if last, ok := stream.End(); ok {
			events = append(events, last)
		}
	}
	if len(events) != 1 || len(events[0].Raw) != len(raw) || events[0].dataAt < 0 {
		return nil, errors.New("editing an event: not one event with one data line")
	}
	data, err := edit(events[0].Data)
	switch {
	case err != nil:
		return nil, err
	case bytes.ContainsAny(data, "\r\n"):
		return nil, errors.New("editing an event: the data has a line break")
	}
	at := span{events[0].dataAt, events[0].dataAt + len(events[0].Data)}
	return replacement{at: at, text: data}.apply(raw), nil
}

// metaEdit is the edit that gives the _meta of a message's holder, "result" or "params", a member.
func metaEdit(b []byte, at int, holder, key string, value []byte) (replacement, error) {
	if b[at] != '{' {
		return replacement{}, errors.New("the message is not an object")
	}
	held, err := soleMember(b, at, holder)
	switch {
	case err != nil:
		return replacement{}, err
	case !held.present() || b[held.start] != '{':
		return replacement{}, fmt.Errorf("the message's %s is not an object", holder)
	}
	meta, err := soleMember(b, held.start, "_meta")
	switch {
	case err != nil:
		return replacement{}, err
	case meta.present():
		return memberEdit(b, meta.start, key, value)
	}
	fresh, err := memberEdit([]byte("{}"), 0, key, value)
	if err != nil {
		return replacement{}, err
	}
	return memberEdit(b, held.start, "_meta", fresh.apply([]byte("{}")))
}

// memberEdit is the edit that gives the object at b[at] a member.
func memberEdit(b []byte, at int, name string, value []byte) (replacement, error) {
	switch {
	case b[at] != '{':
		return replacement{}, errors.New("not an object")
	case !Valid(value):
		return replacement{}, errors.New("the value is not JSON")
	}
	present, err := soleMember(b, at, name)
	if err != nil {
		return replacement{}, err
	}
	if present.present() {
		return replacement{at: present, text: value}, nil
	}
	text, err := jsontext.AppendQuote(nil, name)
	if err != nil {
		return replacement{}, fmt.Errorf("quoting the name: %w", err)
	}
	text = append(text, ':')
	text = append(text, value...)
	if first := skipSpace(b, at+1); b[first] != '}' {
		text = append(text, ',')
	}
	return replacement{at: span{at + 1, at + 1}, text: text}, nil
}

// soleMember finds a member that may be there once at most.
func soleMember(b []byte, at int, name string) (found span, err error) {
	var scratch [64]byte
	scan := scanObject(b, at)
	for {
		quoted, value, more := scan.next()
		if !more {
			return found, nil
		}
		decoded, ok := decodeName(quoted.of(b), scratch[:])
		if !ok || string(decoded) != name {
			continue
		}
		if found.present() {
			return span{}, fmt.Errorf("member %q is there twice", name)
		}
		found = value
	}
}
