package main

import "fmt"

// configuration of one Holdfast. Under each prefix /mcp and /read go to the same server, of
// which large bodies are left unread in /mcp only, and /gone to one that is switched off once
// its list is known. The routes below /limited have rate limits that nobody reaches: two of
// the route and one of the tool, which is what a call is charged for.
func configuration(server, gone, traces string) string {
	out := fmt.Sprintf(`apiVersion: holdfast/v1alpha1
kind: Gateway
metadata: {name: bench}
spec:
  address: "127.0.0.1:10000"
%s---
kind: MCPServer
metadata: {name: bench}
spec:
  regions: [{name: here, endpoints: [{name: bench, address: %s}]}]
  healthCheck: {interval: 1s}
  verifiesHeaders: true
---
kind: MCPServer
metadata: {name: read}
spec:
  regions: [{name: here, endpoints: [{name: bench, address: %s}]}]
  healthCheck: {interval: 1s}
---
kind: MCPServer
metadata: {name: gone}
spec:
  regions: [{name: here, endpoints: [{name: gone, address: %s}]}]
  healthCheck: {interval: 100ms}
`, traces, server, server, gone)
	for _, name := range []string{"mcp", "read", "gone"} {
		server := name
		if name == "mcp" {
			server = "bench"
		}
		out += fmt.Sprintf(`---
kind: MCPRoute
metadata: {name: %s}
spec:
  path: /%s
  servers: [{name: %s}]
  tools: [{match: {name: "get_*"}, safe: true}, {match: {name: "echo"}, safe: true}]
---
kind: MCPRoute
metadata: {name: limited-%s}
spec:
  path: %s/%s
  servers: [{name: %s}]
  rateLimits: [{requests: 10000000, per: 1s, by: [principal]}, {requests: 10000000, per: 10s}]
  tools:
    - {match: {name: "get_*"}, safe: true}
    - {match: {name: "echo"}, safe: true, rateLimits: [{requests: 10000000, per: 10s, by: [principal, tool]}]}
`, name, name, server, name, prefixLimited, name, server)
	}
	return out
}

// prefixLimited is the prefix of paths with rate limits.
const prefixLimited = "/limited"

// tracesTo sends the spans of a share of calls to a receiver.
func tracesTo(address, ratio string) string {
	return fmt.Sprintf("  telemetry: {traces: {address: %q, ratio: %s}}\n", address, ratio)
}
