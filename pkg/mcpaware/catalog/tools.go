package catalog

import (
	"bytes"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds on what is remembered: tools of one server, servers, and the bytes of output schemas, of one tool and of
// all tools together.
const (
	maxTools       = 10_000
	maxServers     = 4096
	maxSchemaBytes = 64 << 10
	maxAllSchemas  = 16 << 20
)

// tool is what is known of one.
type tool struct {
	// schema is its outputSchema; nil where it has none.
	schema []byte
}

// toolNames are the tools that servers have listed. Names are only added: a tool that is gone
// from a list may still be called, and is then no invention of the caller's.
// It is safe for concurrent use.
type toolNames struct {
	mu       sync.RWMutex
	byServer map[string]map[string]tool
	// schemas is how many bytes of schemas are held.
	schemas int
}

func (n *toolNames) has(server, name string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	_, ok := n.byServer[server][name]
	return ok
}

// outputSchema of a tool as it was last listed; nil where it has none. known is false for a tool
// that was never listed.
func (n *toolNames) outputSchema(server, name string) (schema []byte, known bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	found, known := n.byServer[server][name]
	return found.schema, known
}

func (n *toolNames) count(server string) int {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return len(n.byServer[server])
}

// learn reads the tools out of the result of a tools/list.
func (n *toolNames) learn(server string, result []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byServer == nil {
		n.byServer = map[string]map[string]tool{}
	}
	known := n.byServer[server]
	if known == nil {
		if len(n.byServer) >= maxServers {
			return
		}
		known = map[string]tool{}
		n.byServer[server] = known
	}
	eachTool(result, func(name string, schema, _ jsontext.Value) {
		old, there := known[name]
		if !there && len(known) >= maxTools {
			return
		}
		n.schemas -= len(old.schema)
		next := tool{}
		if len(schema) > 0 && len(schema) <= maxSchemaBytes && n.schemas+len(schema) <= maxAllSchemas {
			next.schema = bytes.Clone(schema)
		}
		n.schemas += len(next.schema)
		known[name] = next
	})
}

// eachTool shows the elements of tools[] with a name, the whole of each and its outputSchema, nil where
// it has none. What is not of that form is passed over. Values are only good until see returns.
func eachTool(result []byte, see func(name string, schema, whole jsontext.Value)) {
	d := jsontext.NewDecoder(bytes.NewReader(result), lenient()...)
	eachMember(d, func(name string) bool {
		if name != "tools" || d.PeekKind() != '[' {
			return d.SkipValue() == nil
		}
		return eachElement(d, func() bool {
			whole, err := d.ReadValue()
			if err != nil {
				return false
			}
			if name, schema, ok := readTool(whole); ok {
				see(name, schema, whole)
			}
			return true
		})
	})
}

func lenient() []jsontext.Options {
	return []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
}

func readTool(whole jsontext.Value) (tool string, schema jsontext.Value, ok bool) {
	if whole.Kind() != '{' {
		return "", nil, false
	}
	d := jsontext.NewDecoder(bytes.NewReader(whole), lenient()...)
	eachMember(d, func(name string) bool {
		switch {
		case name == "name" && d.PeekKind() == '"':
			token, err := d.ReadToken()
			if err == nil {
				tool, ok = token.String(), true
			}
			return err == nil
		case name == "outputSchema" && d.PeekKind() != 'n':
			value, err := d.ReadValue()
			schema = value.Clone()
			return err == nil
		}
		return d.SkipValue() == nil
	})
	return tool, schema, ok
}

// eachMember reads one object; value reads or skips the value of the member, and says whether
// to go on.
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

// eachElement reads one array in the same way.
func eachElement(d *jsontext.Decoder, value func() bool) bool {
	if token, err := d.ReadToken(); err != nil || token.Kind() != '[' {
		return false
	}
	for kind := d.PeekKind(); kind != ']' && kind != 0; kind = d.PeekKind() {
		if !value() {
			return false
		}
	}
	_, err := d.ReadToken()
	return err == nil
}
