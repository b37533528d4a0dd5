package catalog

import (
	"bytes"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds on the names that are remembered: of one server's tools, and of servers.
const (
	maxTools   = 10_000
	maxServers = 4096
)

// toolNames are the tools that servers have listed. Names are only added: a tool that is gone
// from a list may still be called, and is then no invention of the caller's.
// It is safe for concurrent use.
type toolNames struct {
	mu       sync.RWMutex
	byServer map[string]map[string]struct{}
}

func (n *toolNames) has(server, tool string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	_, ok := n.byServer[server][tool]
	return ok
}

func (n *toolNames) count(server string) int {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return len(n.byServer[server])
}

// learn reads the names out of the result of a tools/list: members tools[].name. What is not of
// that form is passed over.
func (n *toolNames) learn(server string, result []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byServer == nil {
		n.byServer = map[string]map[string]struct{}{}
	}
	known := n.byServer[server]
	if known == nil {
		if len(n.byServer) >= maxServers {
			return
		}
		known = map[string]struct{}{}
		n.byServer[server] = known
	}
	d := jsontext.NewDecoder(bytes.NewReader(result), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	eachMember(d, func(name string) bool {
		if name != "tools" || d.PeekKind() != '[' {
			return d.SkipValue() == nil
		}
		return eachElement(d, func() bool { return readName(d, known) })
	})
}

func readName(d *jsontext.Decoder, known map[string]struct{}) bool {
	if d.PeekKind() != '{' {
		return d.SkipValue() == nil
	}
	return eachMember(d, func(name string) bool {
		if name != "name" || d.PeekKind() != '"' || len(known) >= maxTools {
			return d.SkipValue() == nil
		}
		token, err := d.ReadToken()
		if err == nil {
			known[token.String()] = struct{}{}
		}
		return err == nil
	})
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
