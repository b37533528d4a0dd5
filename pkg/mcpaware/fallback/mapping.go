// Package fallback turns a call of one server's tool into that of another's, and the
// other's answer into one that the caller understands.
package fallback

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// Bounds.
const (
	// MaxBytes of a call for the second provider, and of an answer that is mapped.
	MaxBytes = 64 << 10
	// MaxMoves of one Mapping.
	MaxMoves = 32
	// maxPointerBytes of one pointer, as in the configuration.
	maxPointerBytes = 256
)

// Mapping makes a new object of values of an old one. The empty Mapping changes nothing. It
// is immutable and safe for concurrent use.
type Mapping struct{ moves []move }

type move struct{ from, to []string }

// Compile checks pointers (RFC 6901) and makes a Mapping of them. Targets name members of
// objects only, and none lies within another.
func Compile(moves []*policyv1.Move) (Mapping, error) {
	var m Mapping
	if len(moves) > MaxMoves {
		return m, fmt.Errorf("has %d moves, more than %d", len(moves), MaxMoves)
	}
	for _, v := range moves {
		from, err := tokens(v.GetFrom())
		if err != nil {
			return Mapping{}, fmt.Errorf("from %q: %w", v.GetFrom(), err)
		}
		to, err := tokens(v.GetTo())
		if err != nil {
			return Mapping{}, fmt.Errorf("to %q: %w", v.GetTo(), err)
		}
		for _, other := range m.moves {
			if within(to, other.to) || within(other.to, to) {
				return Mapping{}, fmt.Errorf("to %q: lies within another target, or the other way round", v.GetTo())
			}
		}
		m.moves = append(m.moves, move{from: from, to: to})
	}
	return m, nil
}

// Empty says that the Mapping changes nothing.
func (m Mapping) Empty() bool { return len(m.moves) == 0 }

// within says that a is b or lies inside it.
func within(a, b []string) bool {
	if len(a) < len(b) {
		return false
	}
	for i := range b {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func tokens(pointer string) ([]string, error) {
	if len(pointer) > maxPointerBytes || !strings.HasPrefix(pointer, "/") {
		return nil, errors.New("is not a JSON pointer below the root")
	}
	parts := strings.Split(pointer[1:], "/")
	for i, part := range parts {
		for rest := part; ; {
			at := strings.IndexByte(rest, '~')
			if at < 0 {
				break
			}
			if at+1 == len(rest) || (rest[at+1] != '0' && rest[at+1] != '1') {
				return nil, errors.New("is not a JSON pointer: ~ stands before 0 or 1 only")
			}
			rest = rest[at+2:]
		}
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
	}
	return parts, nil
}

// node is a member of the new object: a value, or an object of further members.
type node struct {
	name    string
	value   jsontext.Value
	members []*node
}

func (n *node) member(name string) *node {
	for _, m := range n.members {
		if m.name == name {
			return m
		}
	}
	m := &node{name: name}
	n.members = append(n.members, m)
	return m
}

func (n *node) append(dst []byte) ([]byte, error) {
	if n.value != nil {
		return append(dst, n.value...), nil
	}
	dst = append(dst, '{')
	for i, m := range n.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		quoted, err := jsontext.AppendQuote(dst, m.name)
		if err != nil {
			return nil, fmt.Errorf("quoting %q: %w", m.name, err)
		}
		if dst, err = m.append(append(quoted, ':')); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// Apply returns the new object. A value that is not there is left out; values keep their
// exact bytes.
func (m Mapping) Apply(object jsontext.Value) (jsontext.Value, error) {
	if m.Empty() {
		return object, nil
	}
	root := &node{}
	for _, v := range m.moves {
		value, ok := wire.Find(object, v.from...)
		if object == nil || !ok {
			continue
		}
		at := root
		for _, name := range v.to {
			at = at.member(name)
		}
		at.value = bytes.TrimSpace(value)
	}
	return root.append(nil)
}
