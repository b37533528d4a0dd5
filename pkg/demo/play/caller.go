package play

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Outcome is one call and what came of it.
type Outcome struct {
	// Tool is get_order or list_orders; OrderID is get_order's argument.
	Tool, OrderID string
	// Begun and Ended as the caller saw them.
	Begun, Ended time.Time
	// Good: the order that was asked for, as the shop knows it.
	Good bool
	// Degraded: an answer that Holdfast gave in the servers' place, and said so.
	Degraded bool
	// Status and TotalRs of a good answer.
	Status  string
	TotalRs int64
	// Orders in a good answer of list_orders.
	Orders int
	// Text of an answer that is not good.
	Text string
	// Via is the endpoint that answered; empty: not known.
	Via string
	// Attempts that Envoy made; 0: not known.
	Attempts int
	// Err where there was no answer of the protocol at all.
	Err error
}

// Took is the time from the beginning of the call to its answer.
func (o Outcome) Took() time.Duration { return o.Ended.Sub(o.Begun) }

// callTimeout bounds one call, as an agent's own patience does.
const callTimeout = 10 * time.Second

// caller is one MCP client with one session on connections of its own. It makes
// one call at a time.
type caller struct {
	endpoint  string
	version   string
	transport *http.Transport
	seen      *responseHeaders
	session   *mcp.ClientSession
}

func newCaller(endpoint, version string) *caller {
	transport := &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute}
	return &caller{endpoint: endpoint, version: version, transport: transport, seen: &responseHeaders{next: transport}}
}

// close ends the session and its connections.
func (c *caller) close() {
	c.drop()
	c.transport.CloseIdleConnections()
}

func (c *caller) drop() {
	if c.session != nil {
		_ = c.session.Close() // a session without state on the server
		c.session = nil
	}
}

func (c *caller) connect(ctx context.Context) error {
	if c.session != nil {
		return nil
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "holdfast-demo", Version: c.version}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: c.endpoint, HTTPClient: &http.Client{Transport: c.seen}, MaxRetries: -1, DisableStandaloneSSE: true,
	}, nil)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", c.endpoint, err)
	}
	c.session = session
	return nil
}

// getOrder calls get_order once. A session that an error has ended is replaced
// before the next call.
func (c *caller) getOrder(ctx context.Context, order Order) Outcome {
	o := Outcome{Tool: toolName, OrderID: order.ID, Begun: time.Now()}
	return c.call(ctx, o, map[string]any{"order_id": order.ID}, order.check)
}

// listOrders calls list_orders once, as getOrder does.
func (c *caller) listOrders(ctx context.Context) Outcome {
	o := Outcome{Tool: neighbourName, Begun: time.Now()}
	return c.call(ctx, o, map[string]any{}, checkList)
}

// call makes one call of a tool; check reads a result that is not an error into the outcome.
func (c *caller) call(ctx context.Context, o Outcome, arguments map[string]any, check func(*mcp.CallToolResult, *Outcome) (bool, error)) Outcome {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if o.Err = c.connect(ctx); o.Err != nil {
		o.Ended = time.Now()
		return o
	}
	result, err := c.session.CallTool(ctx, &mcp.CallToolParams{Name: o.Tool, Arguments: arguments})
	o.Ended = time.Now()
	if err != nil {
		o.Err = err
		c.drop()
		return o
	}
	headers := c.seen.last()
	o.Via, _ = result.Meta[names.MetaVia].(string)
	if o.Via == "" {
		o.Via = headers.Get(names.HeaderVia)
	}
	if n, err := strconv.Atoi(headers.Get(names.HeaderAttempts)); err == nil {
		o.Attempts = n
	}
	_, o.Degraded = result.Meta[names.MetaDegraded]
	if result.IsError || o.Degraded {
		o.Text = textOf(result)
		return o
	}
	o.Good, o.Err = check(result, &o)
	return o
}

// Order is what the shop knows about an order.
type Order struct {
	ID, CustomerID, Status string
	TotalRs                int64
}

const (
	toolName      = "get_order"
	neighbourName = "list_orders"
)

// errWrongOrder is in the error of an answer about something else.
var errWrongOrder = errors.New("the answer is not the order that was asked for")

// check reads the structured content of a result into o.
func (w Order) check(result *mcp.CallToolResult, o *Outcome) (bool, error) {
	got, ok := result.StructuredContent.(map[string]any)
	if !ok {
		return false, fmt.Errorf("%w: it has no structured content", errWrongOrder)
	}
	total, _ := got["total_rs"].(float64)
	o.Status, _ = got["status"].(string)
	o.TotalRs = int64(total)
	if got["order_id"] != w.ID || got["customer_id"] != w.CustomerID || o.Status != w.Status || o.TotalRs != w.TotalRs {
		return false, fmt.Errorf("%w: %v", errWrongOrder, got)
	}
	return true, nil
}

// checkList takes any list that has orders.
func checkList(result *mcp.CallToolResult, o *Outcome) (bool, error) {
	got, _ := result.StructuredContent.(map[string]any)
	orders, _ := got["orders"].([]any)
	if o.Orders = len(orders); o.Orders == 0 {
		return false, errors.New("the answer has no orders")
	}
	return true, nil
}

func textOf(result *mcp.CallToolResult) string {
	var parts []string
	for _, content := range result.Content {
		if text, ok := content.(*mcp.TextContent); ok {
			parts = append(parts, text.Text)
		}
	}
	return strings.Join(parts, " ")
}

// responseHeaders remembers the headers of the last answer to a POST. The SDK's
// client does not hand them out.
type responseHeaders struct {
	next http.RoundTripper

	mu      sync.Mutex
	headers http.Header
}

// RoundTrip implements http.RoundTripper.
func (r *responseHeaders) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, err //nolint:wrapcheck // a RoundTripper hands errors on as they are
	}
	if req.Method == http.MethodPost {
		r.mu.Lock()
		r.headers = resp.Header.Clone()
		r.mu.Unlock()
	}
	return resp, nil
}

func (r *responseHeaders) last() http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.headers
}
