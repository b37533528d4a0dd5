package main

import (
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

var cacheLines = []apiLine{
	{"cache-purge", breakersPlane, "", []string{"cache", "purge", "orders", "get_order", "--reason", "prices were wrong"}},
	{"cache-purge-server", breakersPlane, "", []string{"cache", "purge", "orders"}},
	{"cache-purge-all", breakersPlane, "", []string{"cache", "purge", "--all"}},
	{"cache-purge-json", breakersPlane, "", []string{"cache", "purge", "orders", "-o", "json"}},
	{"cache-purge-nothing", breakersPlane, "", []string{"cache", "purge"}},
	{"cache-purge-both", breakersPlane, "", []string{"cache", "purge", "orders", "--all"}},
	{"cache-purge-unknown", func() *plane {
		return &plane{refuse: refused(connect.CodeNotFound, `not found: there is no server named "ordres"; did you mean "orders"?`)}
	}, "", []string{"cache", "purge", "ordres"}},
}

func TestCachePurgeRequests(t *testing.T) {
	p := breakersPlane()
	startPlane(t, p)
	ask(t, p, "", "cache", "purge", "orders", "get_order", "--reason", "prices were wrong", "--author", "asha")
	ask(t, p, "", "cache", "purge", "--all")
	if len(p.purged) != 2 {
		t.Fatalf("%d requests", len(p.purged))
	}
	sameMessage(t, p.purged[0], &adminv1.PurgeCacheRequest{Server: "orders", Tool: "get_order", Reason: "prices were wrong", Author: "asha"})
	sameMessage(t, p.purged[1], &adminv1.PurgeCacheRequest{Author: "akhil"})
}
