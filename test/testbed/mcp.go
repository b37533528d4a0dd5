package testbed

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Modern is the newest MCP revision.
const Modern = "2026-07-28"

// meta is what a modern request carries in params._meta.
const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},` +
	`"io.modelcontextprotocol/clientInfo":{"name":"test","version":"1"}}`

// ListTools is a modern tools/list.
const ListTools = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta + `}}`

// CallTool is a modern tools/call with the given id (as JSON) and arguments.
func CallTool(id, tool, arguments string) string {
	name, err := json.Marshal(tool)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%s,"arguments":%s,%s}}`, id, name, arguments, meta)
}

// ModernHeaders are the headers of a modern request; name is for Mcp-Name, or empty.
func ModernHeaders(method, name string) http.Header {
	h := http.Header{
		"Content-Type":         {"application/json"},
		"Accept":               {"application/json, text/event-stream"},
		"Mcp-Protocol-Version": {Modern},
		"Mcp-Method":           {method},
	}
	if name != "" {
		h.Set("Mcp-Name", name)
	}
	return h
}
