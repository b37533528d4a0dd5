package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// welcome says where everything is and what can be done with it.
func welcome(env *environment, running *stack.Stack, flags upFlags, took time.Duration) string {
	info := running.Info()
	names := endpointNames(info.Endpoints)
	me := env.Invoked
	state := ""
	if flags.state != env.stateDir() {
		state = " --state " + shellQuote(flags.state)
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("\nHoldfast is up, after %.1f s.\n", took.Seconds())
	line("MCP endpoints")
	for _, name := range names {
		line("  %-12s %s", name, info.Endpoints[name])
	}
	if len(names) > 0 {
		first := info.Endpoints[names[0]]
		line("\nPoint an MCP client at them")
		line("  claude mcp add --transport http shopmax %s", first)
		line("  or, in a client's configuration file:")
		line("%s", indent(clientSnippet(names, info.Endpoints), "  "))
		line("\nCall one by hand")
		line("  %s", curlLine(first, len(info.Demo) > 0))
	}
	line("\nTraces\n  %s", tracesLine(env, running.Jaeger(), info.Tracing))
	line("\nTry next")
	files := filepath.Join(shown(info.Config), "*.yaml")
	try := [][2]string{
		{me + " status" + state, "shows what runs, and how it is"},
		{"edit " + files, "and see below what becomes of it"},
		{me + " history" + state, "shows every change"},
	}
	if info.Tracing != nil {
		try = append(try, [2]string{me + " trace --last" + state, "shows the way of the last call, try by try"})
	}
	if len(info.Demo) > 0 {
		try = append([][2]string{{me + " demo" + state, "kills the servers under load and shows what callers get"}}, try...)
	}
	width := 0
	for _, t := range try {
		width = max(width, len(t[0]))
	}
	for _, t := range try {
		line("  %-*s  %s", width, t[0], t[1])
	}
	line("\nLogs are in %s. Ctrl-C stops everything.", filepath.Join(flags.state, "logs"))
	return b.String()
}

// endpointNames puts the shortest path first: it is the one to try.
func endpointNames(endpoints map[string]string) []string {
	names := make([]string, 0, len(endpoints))
	for name := range endpoints {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := len(endpoints[a]) - len(endpoints[b]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}

// clientSnippet is the part of a configuration file that many MCP clients share.
func clientSnippet(names []string, endpoints map[string]string) string {
	type server struct {
		Type string `json:"type"`
		URL  string `json:"url"`
	}
	servers := map[string]server{}
	for _, name := range names {
		servers[name] = server{Type: "http", URL: endpoints[name]}
	}
	text, err := json.Marshal(map[string]any{"mcpServers": servers}, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return string(text)
}

// curlLine is a whole command that works when pasted into a shell.
func curlLine(endpoint string, shop bool) string {
	message := `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	if shop {
		message = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"ORD-7701"}}}`
	}
	return fmt.Sprintf("curl -s %s -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -H 'MCP-Protocol-Version: 2025-11-25' -d '%s'",
		shellQuote(endpoint), message)
}

// shellQuote leaves plain words alone and puts others into single quotes.
func shellQuote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// shown is path relative to the working folder where that is shorter.
func shown(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	relative, err := filepath.Rel(dir, path)
	if err != nil || len(relative) >= len(path) {
		return path
	}
	return relative
}

func indent(text, by string) string { return by + strings.ReplaceAll(text, "\n", "\n"+by) }

// demoEndpoint is the endpoint in front of the orders servers: the one whose path
// is /mcp.
func demoEndpoint(endpoints map[string]string) (string, bool) {
	for _, name := range endpointNames(endpoints) {
		if u, err := url.Parse(endpoints[name]); err == nil && u.Path == "/mcp" {
			return endpoints[name], true
		}
	}
	return "", false
}
