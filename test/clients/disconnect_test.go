package clients

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// limit of a wait for something that a real process does in its own time.
const limit = testbed.Patience

// waited is what became of a tool that waits.
type waited struct {
	started, gone chan struct{}
	release       chan struct{}
	ended         chan error
}

// TestDisconnect: the end of a connection reaches the server, which alone knows what
// it means: in 2026-07-28 the call is cancelled, in older revisions it goes on.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		header     http.Header
		cancelled  bool
	}{
		{"2026-07-28", testbed.CallTool("1", "wait", "{}"), testbed.ModernHeaders("tools/call", "wait"), true},
		{
			"2025-11-25", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wait","arguments":{}}}`,
			http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {"2025-11-25"}},
			false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := waited{make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan error, 1)}
			u := newUpstream(t, false)
			var handler http.Handler = w.handler()
			u.handler.Store(&handler)
			bed := testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: strings.NewReplacer(
				"MUMBAI", u.address(), "DELHI", u.address(), "SESSIONS", u.address(), "timeout: 17s", "timeout: 2m", "perTryTimeout: 8s", "perTryTimeout: 1m",
			).Replace(strings.Replace(config, "    - name: asia-south2\n      endpoints: [{name: standby-delhi, address: \"DELHI\"}]\n", "", 1))})
			ctx, hangUp := context.WithCancel(context.Background())
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+bed.Gateway+"/mcp", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = c.header
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
					resp.Body.Close()
				}
			}()
			wait(t, w.started, "the tool starts")
			hangUp()
			wait(t, answered, "the client is gone")
			wait(t, w.gone, "the server sees the end of the connection")
			if !c.cancelled {
				close(w.release)
			}
			select {
			case err := <-w.ended:
				if (err != nil) != c.cancelled {
					t.Errorf("the tool ended with %v", err)
				}
			case <-time.After(limit):
				t.Error("the tool does not end")
			}
		})
	}
}

func wait(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s: not after %v", what, limit)
	}
}

// handler is a server on the Go SDK with a tool that waits to be released.
func (w *waited) handler() http.HandlerFunc {
	s := mcp.NewServer(&mcp.Implementation{Name: "waits", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "wait"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		close(w.started)
		select {
		case <-ctx.Done():
		case <-w.release:
		}
		w.ended <- ctx.Err()
		return &mcp.CallToolResult{}, nil, nil
	})
	server := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s },
		&mcp.StreamableHTTPOptions{Stateless: true, PropagateRequestCancellation: true})
	return func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Mcp-Name"), "wait") || r.Header.Get("Mcp-Protocol-Version") == "2025-11-25" {
			context.AfterFunc(r.Context(), func() { close(w.gone) })
		}
		server.ServeHTTP(rw, r)
	}
}
