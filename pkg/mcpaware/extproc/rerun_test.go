package extproc

import (
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// TestEdgeTakesUpAgain: a call that Envoy begins again is decided on as the POST
// that it was, and goes on as one.
func TestEdgeTakesUpAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		again := []string{
			":method: GET", ":path: " + names.PathRerun + "/mcp", names.HeaderRerun + ": 123",
			"content-type: application/json", "accept: application/json, text/event-stream", "mcp-protocol-version: 2025-11-25",
		}
		x := e.open(names.PointEdge)
		defer x.hangUp()
		if got := x.say(requestHeaders(false, again...)); len(got) != 1 || got[0] != "request" {
			t.Fatalf("headers: %q", got)
		}
		got := x.say(requestBody(callBody))
		for _, want := range []string{":method=POST", ":path=/mcp", "content-length=123", names.HeaderRoute + "=shopmax.get"} {
			if len(got) != 1 || !strings.Contains(got[0], want) {
				t.Errorf("body: %q, want %s in it", got, want)
			}
		}
		// Without Envoy's word it is a path that nobody serves.
		y := e.open(names.PointEdge)
		defer y.hangUp()
		if got := y.say(requestHeaders(true, ":method: GET", ":path: "+names.PathRerun+"/mcp")); len(got) != 1 || !strings.HasPrefix(got[0], "immediate 404") {
			t.Errorf("a stranger: %q", got)
		}
	})
}
