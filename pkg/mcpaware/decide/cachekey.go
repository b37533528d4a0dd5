package decide

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// maxCachedArguments bounds the arguments of calls whose results are remembered.
const maxCachedArguments = 64 << 10

// rememberResult finds where the result of a call is remembered. What a result depends on has
// to be in the key, so a call with anything that the key does not know is not remembered.
func (d *Decision) rememberResult(r *Request) {
	m := &d.Message
	if m.Kind != wire.Request || m.Method != method.ToolsCall {
		return
	}
	cached := d.Route.Degrade(d.Rule).GetCachedResult()
	if cached == nil {
		return
	}
	switch {
	case d.Unread:
		d.uncached = "the arguments go unread"
	case unrepeatable(m):
		d.uncached = "the message continues an earlier one"
	case len(m.Arguments) > maxCachedArguments:
		d.uncached = "the arguments are too large"
	case !plainCall(m.Params):
		d.uncached = "the message has members that a result may depend on"
	}
	if d.uncached != "" {
		return
	}
	arguments := jsontext.Value("null")
	if m.Arguments != nil {
		arguments = m.Arguments.Clone()
	}
	// As in RFC 8785, but for numbers, which keep their digits: written as that asks, 2^53 and
	// 2^53+1 would be one.
	if err := arguments.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)); err != nil {
		d.uncached = "the arguments cannot be compared with others"
		return
	}
	k := keyHash{sha256.New()}
	k.text("holdfast result", d.Action.GetServer(), m.Name, d.Revision)
	k.bytes(arguments)
	if !cached.GetShared() {
		d.Route.meters.callers.identify(r.Header, &k)
	}
	for _, name := range cached.GetVary() {
		k.values(name, r.Header.Values(name))
	}
	d.Call.Cache = &policyv1.CacheSlot{Key: k.Sum(nil), MaxAge: cached.GetMaxAge()}
}

// keyHash takes parts of a key, each with its length before it, so that no two lists of parts are
// one.
type keyHash struct{ hash.Hash }

func (k keyHash) bytes(b []byte) {
	var length [binary.MaxVarintLen64]byte
	// A hash never fails to take bytes.
	_, _ = k.Write(length[:binary.PutUvarint(length[:], uint64(len(b)))])
	_, _ = k.Write(b)
}

func (k keyHash) text(parts ...string) {
	for _, p := range parts {
		k.bytes([]byte(p))
	}
}

func (k keyHash) values(name string, values []string) {
	k.text(name)
	k.bytes(binary.AppendUvarint(nil, uint64(len(values))))
	k.text(values...)
}

// identify puts all into a key that tells a caller from another one: the subject of a checked
// token, every credential that goes to the server, and where there is none of that the address. It
// is more than what limits know callers by: there an operator may say that a header does not
// matter, but here a caller would be given what is another's.
func (c *callers) identify(h Header, k *keyHash) {
	known := false
	if subject := c.subject(h); subject != "" {
		k.text("subject", subject)
		known = true
	}
	names := []string{"authorization", "cookie", "x-api-key"}
	if c.header != "" && !slices.Contains(names, c.header) {
		names = append(names, c.header)
	}
	for _, name := range names {
		if values := h.Values(name); len(values) > 0 {
			k.values(name, values)
			known = true
		}
	}
	if !known {
		k.text("address", c.address(h))
	}
}

// plainCall says that the params of a tools/call hold nothing but the tool, its arguments and a
// _meta in which nothing is that a result may depend on.
func plainCall(params jsontext.Value) bool {
	return eachMember(params, func(name string, value jsontext.Value) bool {
		switch name {
		case "name", "arguments":
			return true
		case "_meta":
			return eachMember(value, func(name string, _ jsontext.Value) bool { return plainMeta(name) })
		}
		return false
	})
}

func plainMeta(name string) bool {
	switch name {
	case "progressToken", "traceparent", "tracestate", "baggage":
		return true
	}
	return strings.HasPrefix(name, "io.modelcontextprotocol/") || strings.HasPrefix(name, "holdfast/")
}

// eachMember calls see for the members of an object until that says no, which is what it gives
// then, as for anything that is no object.
func eachMember(object jsontext.Value, see func(name string, value jsontext.Value) bool) bool {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
		return false
	}
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return false
		}
		name := token.String()
		value, err := d.ReadValue()
		if err != nil || !see(name, value) {
			return false
		}
	}
	token, err := d.ReadToken()
	return err == nil && token.Kind() == '}'
}
