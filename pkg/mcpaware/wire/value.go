package wire

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Valid reports whether b is exactly one JSON value. Duplicate names and invalid UTF-8
// are let through, as most parsers do.
func Valid(b []byte) bool {
	return jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Find returns the value that path leads to: member names of objects and decimal
// indexes of arrays, decoded reference tokens as in RFC 6901. Of duplicate members the
// last counts. v must be valid JSON. The value aliases v.
func Find(v jsontext.Value, path ...string) (jsontext.Value, bool) {
	at := span{skipSpace(v, 0), len(v)}
	at.end = skipValue(v, at.start)
	for _, token := range path {
		var ok bool
		if at, ok = child(v, at, token); !ok {
			return nil, false
		}
	}
	return at.of(v), at.present()
}

func child(b []byte, at span, token string) (found span, ok bool) {
	if !at.present() {
		return span{}, false
	}
	switch b[at.start] {
	case '{':
		var scratch [64]byte
		scan := scanObject(b, at.start)
		for {
			name, value, more := scan.next()
			if !more {
				return found, ok
			}
			if decoded, whole := decodeName(name.of(b), scratch[:]); whole && string(decoded) == token {
				found, ok = value, true
			}
		}
	case '[':
		index, isIndex := arrayIndex(token)
		if !isIndex {
			return span{}, false
		}
		scan := scanArray(b, at.start)
		for ; ; index-- {
			value, more := scan.next()
			if !more || index == 0 {
				return value, more
			}
		}
	}
	return span{}, false
}

// arrayIndex reads an RFC 6901 index: decimal, without leading zeros.
func arrayIndex(token string) (int, bool) {
	if token == "" || len(token) > 9 || (len(token) > 1 && token[0] == '0') {
		return 0, false
	}
	index := 0
	for i := range len(token) {
		if token[i] < '0' || token[i] > '9' {
			return 0, false
		}
		index = index*10 + int(token[i]-'0')
	}
	return index, true
}

// Unquote decodes a JSON string. ok is false where v is not a string or an escape in it
// names half of a surrogate pair.
func Unquote(v jsontext.Value) (s string, ok bool) {
	if v.Kind() != '"' {
		return "", false
	}
	var scratch [64]byte
	decoded, ok := decodeName(bytes.TrimSpace(v), scratch[:])
	if !ok {
		return "", false
	}
	return string(decoded), true
}

// SameID reports whether two JSON-RPC ids are one: strings after decoding, numbers by
// value. Clients match answers to requests so.
func SameID(a, b jsontext.Value) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if a.Kind() != b.Kind() {
		return false
	}
	switch a.Kind() {
	case '"':
		left, okLeft := Unquote(a)
		right, okRight := Unquote(b)
		return okLeft && okRight && left == right
	case '0':
		var bufLeft, bufRight [64]byte
		left, okLeft := AppendNumber(bufLeft[:0], a)
		right, okRight := AppendNumber(bufRight[:0], b)
		return okLeft && okRight && bytes.Equal(left, right)
	}
	return false
}

// maxExponent bounds the decimal exponents that AppendNumber reads.
const maxExponent = 1_000_000

// AppendNumber appends a JSON number in a form that is the same for all spellings of
// one value (1, 1.0 and 10e-1) and exact for any number of digits: an optional minus
// sign, digits without zeros at either end, "e", a decimal exponent; "0" for zero. ok
// is false where v is not a number or its exponent is beyond ±1,000,000.
func AppendNumber(dst []byte, v jsontext.Value) (canonical []byte, ok bool) {
	v = bytes.TrimSpace(v)
	if len(v) == 0 || v.Kind() != '0' {
		return dst, false
	}
	exponent := 0
	mantissa := v
	if e := bytes.IndexAny(v, "eE"); e >= 0 {
		mantissa = v[:e]
		parsed, err := strconv.Atoi(string(v[e+1:]))
		if err != nil || parsed > maxExponent || parsed < -maxExponent {
			return dst, false
		}
		exponent = parsed
	}
	begin := len(dst)
	if mantissa[0] == '-' {
		dst = append(dst, '-')
		mantissa = mantissa[1:]
	}
	if len(mantissa) == 0 {
		return dst[:begin], false
	}
	digits := len(dst)
	fraction := false
	for _, c := range mantissa {
		if c == '.' {
			fraction = true
			continue
		}
		if fraction {
			exponent--
		}
		if c != '0' || len(dst) > digits {
			dst = append(dst, c)
		}
	}
	for len(dst) > digits && dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
		exponent++
	}
	if len(dst) == digits {
		return append(dst[:begin], '0'), true
	}
	return strconv.AppendInt(append(dst, 'e'), int64(exponent), 10), true
}

// EmptyObject reports whether a JSON value is an object without members.
func EmptyObject(value []byte) bool {
	at := skipSpace(value, 0)
	if at >= len(value) || value[at] != '{' {
		return false
	}
	at = skipSpace(value, at+1)
	return at < len(value) && value[at] == '}'
}
