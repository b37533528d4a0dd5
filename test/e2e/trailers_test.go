package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestRequestTrailers: a call over HTTP/2 that ends with trailers is decided on as
// any other, and tried again with its whole body; what is refused stays refused.
func TestRequestTrailers(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	t.Cleanup(transport.CloseIdleConnections)
	post := func(tool, body string) testbed.Answer {
		t.Helper()
		// Nothing but a reader, so that the length is the test's to tell.
		req, err := http.NewRequest(http.MethodPost, "http://"+p.Gateway+"/mcp", io.MultiReader(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header, req.ContentLength = testbed.ModernHeaders("tools/call", tool), int64(len(body))
		req.Trailer = http.Header{"X-Checksum": {"1"}}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Fatalf("spoke %s", resp.Proto)
		}
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return testbed.Answer{Status: resp.StatusCode, Header: resp.Header, Body: data}
	}
	for _, tool := range []string{"get_order", "create_order"} {
		p.set(nil, nil)
		body := testbed.CallTool("1", tool, `{"f":"`+strings.Repeat("x", 100_000)+`"}`)
		got := post(tool, body)
		if seen := p.mumbai.requests(); got.Status != http.StatusOK || !strings.Contains(string(got.Body), `"text":"ok"`) || len(seen) != 1 || seen[0].Body != body {
			t.Errorf("%s: %d %s, %d requests", tool, got.Status, got.Body, len(seen))
		}
	}
	p.set(jsonAnswer(failing), nil)
	body := testbed.CallTool("1", "get_order", "{}")
	got := post("get_order", body)
	if seen := p.delhi.requests(); got.Status != http.StatusOK || len(seen) != 1 || seen[0].Body != body {
		t.Errorf("tried again: %d %s, %d requests", got.Status, got.Body, len(seen))
	}
	p.set(nil, nil)
	got = post("get_order", strings.Replace(body, `"method"`, `"method":"tools/call","method"`, 1))
	if got.Status != http.StatusBadRequest || p.runs() != 0 {
		t.Errorf("a message with a name twice: %d %s, %d requests", got.Status, got.Body, p.runs())
	}
}
