package stack_test

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// inSession posts a message in a session and returns the answer's headers and status.
func inSession(t *testing.T, url, session, message string) (http.Header, int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
		req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.Header, resp.StatusCode
}

// TestStackOfSessions runs examples/sessions as its first lines say, with a Redis: a
// session outlives the process that has it, and Redis knows where it went.
func TestStackOfSessions(t *testing.T) {
	address, _ := stacktest.StartRedis(t)
	places := demo.Places()
	for i := range places {
		places[i].Stateful = true
	}
	running := stacktest.Start(t, stack.Options{
		Config: filepath.Join(stacktest.Root(t), "examples", "sessions"), Demo: places, Redis: address, Processors: 1, EnvoyConcurrency: 1,
	})
	url := running.Info().Endpoints["orders"]
	header, status := inSession(t, url, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	id := header.Get("Mcp-Session-Id")
	if status != http.StatusOK || id == "" {
		t.Fatalf("initialize: %d %v", status, header)
	}
	if _, status := inSession(t, url, id, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); status != http.StatusAccepted {
		t.Fatalf("initialized: %d", status)
	}
	if _, err := (supervise.Remote{Socket: running.Info().Control}).Do(t.Context(), header.Get(names.HeaderVia), supervise.ActionKill); err != nil {
		t.Fatal(err)
	}
	header, status = inSession(t, url, id, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"ORD-7701"}}}`)
	if status != http.StatusOK || header.Get(names.HeaderVia) != "standby-delhi" {
		t.Fatalf("Mumbai killed: %d %v", status, header)
	}
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close() //nolint:errcheck // a test
	if keys, err := client.Keys(t.Context(), "holdfast:session:*").Result(); err != nil || len(keys) != 1 {
		t.Errorf("Redis knows %v, %v", keys, err)
	}
}
