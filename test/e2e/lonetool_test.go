package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestLoneToolLeavesItsEndpoint: 424 moves the calls of a tool that fails alone,
// and Envoy counts none of them against the endpoint, which keeps the other tools.
func TestLoneToolLeavesItsEndpoint(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	p.set(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || strings.Contains(string(body), `"get_order"`) {
			jsonAnswer(failing)(w, r)
			return
		}
		good(w, r)
	}, nil)
	for range 20 {
		if got := p.call(t, "list_orders"); got.Header.Get("x-holdfast-region") != testbed.Mumbai {
			t.Fatalf("the good tool was answered by %q", got.Header.Get("x-holdfast-region"))
		}
		if got := p.call(t, "get_order"); got.Header.Get("x-holdfast-region") != testbed.Delhi {
			t.Fatalf("the failing tool was answered by %q", got.Header.Get("x-holdfast-region"))
		}
	}
	if n := p.Ejections("orders"); n != 0 {
		t.Errorf("the endpoint was ejected %d times", n)
	}
}
