package wire

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions of this file walk over JSON that jsontext has already accepted: they
// find where values begin and end and judge nothing. On other input they stop at its
// end; they never read outside of it.

// span is a range of bytes; the zero span means absent.
type span struct{ start, end int }

func (s span) present() bool { return s.end > s.start }

// of returns the bytes of the span; their capacity ends with it, so that an append
// cannot write over what follows.
func (s span) of(b []byte) jsontext.Value {
	if !s.present() {
		return nil
	}
	return b[s.start:s.end:s.end]
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at b[i].
func skipString(b []byte, i int) int {
	i++
	if quote := bytes.IndexByte(b[i:], '"'); quote >= 0 {
		escape := bytes.IndexByte(b[i:i+quote], '\\')
		if escape < 0 {
			return i + quote + 1
		}
		i += escape
	}
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}

// skipValue returns the index after the value that begins at b[i].
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				i = skipString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			i++
			if depth == 0 {
				return i
			}
		}
		return len(b)
	}
	for i < len(b) {
		switch b[i] {
		case ',', '}', ']', ' ', '\n', '\r', '\t':
			return i
		}
		i++
	}
	return i
}

// objectScan walks over the members of one object.
type objectScan struct {
	b []byte
	i int
}

// scanObject starts at the '{' at b[at].
func scanObject(b []byte, at int) objectScan { return objectScan{b: b, i: at + 1} }

// next returns where the next member's name (with its quotes) and value are.
func (s *objectScan) next() (name, value span, ok bool) {
	i := skipSpace(s.b, s.i)
	if i < len(s.b) && s.b[i] == ',' {
		i = skipSpace(s.b, i+1)
	}
	if i >= len(s.b) || s.b[i] != '"' {
		return span{}, span{}, false
	}
	name = span{i, skipString(s.b, i)}
	i = skipSpace(s.b, name.end)
	if i >= len(s.b) || s.b[i] != ':' {
		return span{}, span{}, false
	}
	value.start = skipSpace(s.b, i+1)
	value.end = skipValue(s.b, value.start)
	s.i = value.end
	return name, value, true
}

// arrayScan walks over the elements of one array.
type arrayScan struct {
	b []byte
	i int
}

// scanArray starts at the '[' at b[at].
func scanArray(b []byte, at int) arrayScan { return arrayScan{b: b, i: at + 1} }

func (s *arrayScan) next() (value span, ok bool) {
	i := skipSpace(s.b, s.i)
	if i < len(s.b) && s.b[i] == ',' {
		i = skipSpace(s.b, i+1)
	}
	if i >= len(s.b) || s.b[i] == ']' {
		return span{}, false
	}
	value = span{i, skipValue(s.b, i)}
	s.i = value.end
	return value, value.present()
}

// decodeName returns the decoded form of a quoted member name or string. Without
// escapes that is a subslice; scratch takes the others. ok is false where an escape
// names half of a surrogate pair.
func decodeName(quoted, scratch []byte) (name []byte, ok bool) {
	if len(quoted) < 2 {
		return nil, false
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], true
	}
	name, err := jsontext.AppendUnquote(scratch[:0], quoted)
	return name, err == nil
}

// deeperThan reports whether brackets nest deeper than limit anywhere in b, which need
// not be valid JSON.
func deeperThan(b []byte, limit int) (at int, deeper bool) {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			if depth++; depth > limit {
				return i, true
			}
		case '}', ']':
			depth--
		}
	}
	return 0, false
}
