package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	// perFile is how many servers a file describes.
	perFile = 100
	// routes is how many MCPRoutes the directory has, perRoute how many servers each names.
	routes, perRoute = 5, 20
	// changing is the server that is changed, and its route.
	changing = "changing"
	// baseTimeout is the connect timeout of change 0 in milliseconds; change n adds n.
	baseTimeout = 1000
)

var regions = []string{"asia-south1", "asia-south2", "europe-west1"}

// writeConfig writes a directory with so many servers.
func writeConfig(dir string, servers int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the configuration: %w", err)
	}
	for first := 0; first < servers; first += perFile {
		var text strings.Builder
		for n := first; n < min(first+perFile, servers); n++ {
			text.WriteString(serverDocument(serverName(n), n, baseTimeout))
		}
		if err := write(dir, fmt.Sprintf("servers-%05d.yaml", first), text.String()); err != nil {
			return err
		}
	}
	var text strings.Builder
	for n := range routes {
		text.WriteString(routeDocument(fmt.Sprintf("route-%d", n), n*perRoute, servers))
	}
	return write(dir, "routes.yaml", text.String())
}

func write(dir, name, text string) error {
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return nil
}

func serverName(n int) string { return fmt.Sprintf("server-%05d", n) }

// serverDocument is a server at addresses that nobody connects to.
func serverDocument(name string, n, timeout int) string {
	var text strings.Builder
	fmt.Fprintf(&text, "---\nkind: MCPServer\nmetadata: {name: %s}\nspec:\n  connectTimeout: %dms\n  regions:\n", name, timeout)
	for i, region := range regions {
		fmt.Fprintf(&text, "    - {name: %s, endpoints: [{address: \"127.%d.%d.%d:7101\"}]}\n", region, i+1, n/250, n%250+1)
	}
	return text.String()
}

// routeDocument is a route over some servers of so many, with a tool rule each.
func routeDocument(name string, first, servers int) string {
	count := min(perRoute, servers)
	var text strings.Builder
	fmt.Fprintf(&text, "---\nkind: MCPRoute\nmetadata: {name: %s}\nspec:\n  path: /%s\n  servers:\n", name, name)
	for n := range count {
		fmt.Fprintf(&text, "    - {name: %s}\n", serverName((first+n)%servers))
	}
	text.WriteString("  tools:\n")
	for n := range count {
		fmt.Fprintf(&text, "    - {match: {name: tool-%d}, to: {server: %s}}\n", n, serverName((first+n)%servers))
	}
	return text.String()
}

// changeDocuments are the changed server and a route to it.
func changeDocuments(n int) string {
	return serverDocument(changing, 0, baseTimeout+n) +
		fmt.Sprintf("---\nkind: MCPRoute\nmetadata: {name: %s}\nspec: {path: /%s, servers: [{name: %s}]}\n", changing, changing, changing)
}
