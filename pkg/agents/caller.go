// Package agents is traffic as agents make it: MCP clients of the official SDK that call
// tools at a steady rate, and what they get. `holdfast demo` and `holdfast drill` are built on it.
package agents

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Answer is what one call got.
type Answer struct {
	// Began and Ended as the caller saw them.
	Began, Ended time.Time
	// Result; nil where Err says why there is none.
	Result *mcp.CallToolResult
	// Degraded is the source of an answer that Holdfast gave in the servers' place, such as "stale" or
	// "error"; empty for a server's own.
	Degraded string
	// Code and Outcome are Holdfast's words for a failure, such as "timeout" and "unknown"; empty: it said nothing.
	Code, Outcome string
	// Via is the endpoint that answered; empty: not known.
	Via string
	// Attempts that Envoy made; 0: not known.
	Attempts int
	// Err where there was no answer of the protocol at all, or a JSON-RPC error.
	Err error
}

// Text of the answer's content.
func (a Answer) Text() string {
	if a.Result == nil {
		return ""
	}
	var parts []string
	for _, content := range a.Result.Content {
		if text, ok := content.(*mcp.TextContent); ok {
			parts = append(parts, text.Text)
		}
	}
	return strings.Join(parts, " ")
}

// callTimeout bounds one call, as an agent's own patience does.
const callTimeout = 10 * time.Second

// Client is how callers reach an MCP endpoint.
type Client struct {
	// Endpoint is its URL.
	Endpoint string
	// Name and Version of the client, as told to servers.
	Name, Version string
	// Header is sent with every request; nil: nothing more.
	Header http.Header
}

// Caller is one MCP client with one session on connections of its own. It makes
// one call at a time.
type Caller struct {
	client    Client
	transport *http.Transport
	seen      *responseHeaders
	session   *mcp.ClientSession
}

// NewCaller connects with its first call; end it with Close.
func NewCaller(client Client) *Caller {
	transport := &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute}
	return &Caller{client: client, transport: transport, seen: &responseHeaders{next: transport, add: client.Header}}
}

// Close ends the session and its connections.
func (c *Caller) Close() {
	c.drop()
	c.transport.CloseIdleConnections()
}

func (c *Caller) drop() {
	if c.session != nil {
		_ = c.session.Close() // a session without state on the server, or one that is lost
		c.session = nil
	}
}

func (c *Caller) connect(ctx context.Context) error {
	if c.session != nil {
		return nil
	}
	client := mcp.NewClient(&mcp.Implementation{Name: c.client.Name, Version: c.client.Version}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: c.client.Endpoint, HTTPClient: &http.Client{Transport: c.seen}, MaxRetries: -1, DisableStandaloneSSE: true,
	}, nil)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", c.client.Endpoint, err)
	}
	c.session = session
	return nil
}

// Call calls a tool once. A session that an error has ended is replaced before the next call.
func (c *Caller) Call(ctx context.Context, params *mcp.CallToolParams) Answer {
	a := Answer{Began: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if a.Err = c.connect(ctx); a.Err != nil {
		a.Ended = time.Now()
		return a
	}
	a.Result, a.Err = c.session.CallTool(ctx, params)
	a.Ended = time.Now()
	headers := c.seen.last()
	if n, err := strconv.Atoi(headers.Get(names.HeaderAttempts)); err == nil {
		a.Attempts = n
	}
	a.Via = headers.Get(names.HeaderVia)
	if a.Err != nil {
		a.readError()
		c.drop()
		return a
	}
	if via, _ := a.Result.Meta[names.MetaVia].(string); via != "" {
		a.Via = via
	}
	if said, ok := a.Result.Meta[names.MetaDegraded]; ok {
		a.Degraded = "unknown"
		degraded, _ := said.(map[string]any)
		if source, ok := degraded["source"].(string); ok {
			a.Degraded = source
		}
	}
	if data, ok := a.Result.Meta[names.MetaError].(map[string]any); ok {
		a.Code, _ = data["code"].(string)
		a.Outcome, _ = data["outcome"].(string)
	}
	return a
}

// responseHeaders adds headers to requests, and remembers those of the last answer to a
// POST. The SDK's client does not hand them out.
type responseHeaders struct {
	next http.RoundTripper
	add  http.Header

	mu      sync.Mutex
	headers http.Header
}

// RoundTrip implements http.RoundTripper.
func (r *responseHeaders) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(r.add) > 0 {
		req = req.Clone(req.Context())
		for name, values := range r.add {
			req.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	resp, err := r.next.RoundTrip(req)
	var headers http.Header
	if err == nil {
		headers = resp.Header.Clone()
	}
	if req.Method == http.MethodPost {
		r.mu.Lock()
		r.headers = headers
		r.mu.Unlock()
	}
	return resp, err //nolint:wrapcheck // a RoundTripper hands errors on as they are
}

func (r *responseHeaders) last() http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.headers
}
