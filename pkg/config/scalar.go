package config

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

// scalarOf turns a YAML scalar into JSON. What JSON and YAML read differently
// (0x10, 1_000, .5, .inf, 0777) is refused rather than guessed at; problem is "" on success.
func scalarOf(n *yaml.Node) (s Scalar, problem, hint string) {
	if n.Kind != yaml.ScalarNode {
		return Scalar{}, fmt.Sprintf("got %s, want text, a number, true, false or null", got(n)), ""
	}
	if len(n.Value) > maxScalarBytes {
		return Scalar{}, fmt.Sprintf("is longer than %d bytes", maxScalarBytes), ""
	}
	switch n.Tag {
	case "!!null":
		if n.Value == "" {
			return Scalar{}, "has no value", "write null to test for null"
		}
		return Scalar{JSON: "null"}, "", ""
	case "!!bool":
		return Scalar{JSON: strings.ToLower(n.Value)}, "", ""
	}
	if n.Style == 0 && looksNumeric(n) {
		return numberOf(n.Value)
	}
	text, err := jsontext.AppendQuote(nil, n.Value)
	if err != nil {
		return Scalar{}, "is not valid UTF-8", ""
	}
	return Scalar{JSON: string(text)}, "", ""
}

// looksNumeric covers what YAML reads as a number, and numbers too large for it to do so.
func looksNumeric(n *yaml.Node) bool {
	return n.Tag == "!!int" || n.Tag == "!!float" || jsontext.Value(n.Value).Kind() == '0' && jsontext.Value(n.Value).IsValid()
}

func numberOf(text string) (s Scalar, problem, hint string) {
	if len(text) > maxNumberBytes {
		return Scalar{}, fmt.Sprintf("number %s is longer than %d characters", quote(text), maxNumberBytes), "put it in quotes if it is text"
	}
	if v := jsontext.Value(text); !v.IsValid() || v.Kind() != '0' {
		return Scalar{}, fmt.Sprintf("number %s is not written as in JSON", text), "write decimal digits, or put it in quotes if it is text"
	}
	f, err := strconv.ParseFloat(text, 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	if err != nil || f == 0 && strings.Trim(mantissa, "-0.") != "" {
		return Scalar{}, fmt.Sprintf("number %s is out of range", text), "put it in quotes if it is text"
	}
	return Scalar{JSON: text}, "", ""
}

// canonical gives one text for all scalars that match the same JSON values:
// numbers compare by value, so that 1, 1.0 and 10e-1 are one.
func (s Scalar) canonical() string {
	if jsontext.Value(s.JSON).Kind() == '0' {
		// Bounded by numberOf: at most some 300 digits.
		if r, ok := new(big.Rat).SetString(s.JSON); ok {
			return r.RatString()
		}
	}
	return s.JSON
}

// text is the value of a scalar that is a string.
func (s Scalar) text() (string, bool) {
	if jsontext.Value(s.JSON).Kind() != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, s.JSON)
	return string(text), err == nil
}

// show gives the JSON text for a message, bounded and on one line.
func (s Scalar) show() string {
	if len(s.JSON) > maxShown || !printable(s.JSON) {
		return quote(s.JSON)
	}
	return s.JSON
}

// String gives the JSON text.
func (s Scalar) String() string { return s.JSON }

// MarshalJSON gives the JSON text; a Scalar without one is null.
func (s Scalar) MarshalJSON() ([]byte, error) {
	if s.JSON == "" {
		return []byte("null"), nil
	}
	return []byte(s.JSON), nil
}

// MarshalYAML writes the value so that it keeps its JSON type: text is quoted
// unless it is a plain word.
func (s Scalar) MarshalYAML() (any, error) {
	text, ok := s.text()
	switch {
	case !ok && s.JSON == "":
		return &yaml.Node{Kind: yaml.ScalarNode, Value: "null"}, nil
	case !ok:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: s.JSON}, nil
	case plainWord(text):
		// The encoder quotes the words that mean something else: on, no, null, …
		return text, nil
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: text, Style: yaml.DoubleQuotedStyle}, nil
	}
}

func plainWord(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		other := c >= '0' && c <= '9' || c == '_' || c == '-'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return s != ""
}
