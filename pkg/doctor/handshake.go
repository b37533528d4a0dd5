package doctor

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// handshakeTimeout bounds the opening of one connection, and the list after it.
const handshakeTimeout = 10 * time.Second

// handshake connects to each route as a client does, and asks for its tools.
func (e *examination) handshake(ctx context.Context) {
	for _, route := range e.status.GetRoutes() {
		url := "http://" + e.Gateway + route.GetPath()
		tools, err := e.connect(ctx, url)
		if err != nil {
			fix := "'holdfast status' and the logs of the processors and of the server say more"
			if text := err.Error(); strings.Contains(text, "Unauthorized") || strings.Contains(text, "401") {
				fix = "give credentials as clients do: --header 'Authorization: Bearer …'"
			} else if strings.Contains(text, "Forbidden") {
				fix = "is this host in spec.allowedHosts of the Gateway?"
			}
			e.fail("handshake", fmt.Sprintf("%s: %v", url, err), fix)
			continue
		}
		e.ok("handshake", "%s shows %d tools", url, tools)
	}
}

func (e *examination) connect(ctx context.Context, url string) (tools int, err error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	client := mcp.NewClient(&mcp.Implementation{Name: "holdfast-doctor", Version: "1"}, nil)
	own := *e.HTTP
	own.Transport = withHeader{e.Header, e.HTTP.Transport}
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: &own, MaxRetries: -1, DisableStandaloneSSE: true}, nil)
	if err != nil {
		return 0, fmt.Errorf("connecting: %w", err)
	}
	defer session.Close() //nolint:errcheck // nothing is under way
	list, err := session.ListTools(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("listing tools: %w", err)
	}
	return len(list.Tools), nil
}

// withHeader adds a header to each request.
type withHeader struct {
	header http.Header
	next   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w withHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range w.header {
		r.Header[name] = values
	}
	next := w.next
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(r) //nolint:wrapcheck // http.Client does
}
