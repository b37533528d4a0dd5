package demo_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a demo server with its two addresses.
type running struct {
	*demo.Server
	url, control, journal string
}

// serve runs a demo server until the end of the test.
func serve(t *testing.T, kind string) running {
	t.Helper()
	return serveTraced(t, kind, nil)
}

func serveTraced(t *testing.T, kind string, traces *trace.Pipeline) running {
	t.Helper()
	r := running{journal: filepath.Join(t.TempDir(), "journal.jsonl")}
	journal, err := demo.OpenJournal(r.journal)
	if err != nil {
		t.Fatal(err)
	}
	r.Server, err = demo.NewServer(demo.Config{Server: kind, Name: "primary-mumbai", Region: "asia-south1", Journal: journal, Version: "test", Traces: traces})
	if err != nil {
		t.Fatal(err)
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	public, control := listen(), listen()
	r.url, r.control = "http://"+public.Addr().String()+"/mcp", control.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx, public, control) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := journal.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r running) faults(t *testing.T, f demo.Faults) {
	t.Helper()
	if err := demo.PutFaults(t.Context(), r.control, f); err != nil {
		t.Fatal(err)
	}
}

// connect opens a session with the SDK's client.
func connect(t *testing.T, url string, opts *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	transport := &http.Transport{}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, opts).Connect(t.Context(),
		&mcp.StreamableClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: transport}, DisableStandaloneSSE: true, MaxRetries: -1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = session.Close()
		transport.CloseIdleConnections()
	})
	return session
}

func TestToolsWithTheSDK(t *testing.T) {
	orders, inventory := serve(t, demo.Orders), serve(t, demo.Inventory)
	tests := []struct {
		server  running
		tool    string
		args    map[string]any
		want    map[string]any
		isError string
	}{
		{orders, "get_order", map[string]any{"order_id": "ORD-7701"}, map[string]any{
			"order_id": "ORD-7701", "customer_id": "C-1201", "status": "SHIPPED", "total_rs": 78000.0, "channel": "web",
		}, ""},
		{orders, "get_order", map[string]any{"order_id": "ORD-7702"}, map[string]any{
			"order_id": "ORD-7702", "customer_id": "C-3302", "status": "CONFIRMED", "total_rs": 34500.0, "channel": "app",
		}, ""},
		{orders, "get_order", map[string]any{"order_id": "ORD-1"}, nil, `there is no order "ORD-1"`},
		{orders, "get_order", map[string]any{}, nil, "order_id"},
		{orders, "list_orders", map[string]any{"channel": "app"}, map[string]any{"orders": []any{map[string]any{
			"order_id": "ORD-7702", "customer_id": "C-3302", "status": "CONFIRMED", "total_rs": 34500.0, "channel": "app",
		}}}, ""},
		{orders, "list_orders", map[string]any{"status": "LOST"}, map[string]any{"orders": []any{}}, ""},
		{orders, "create_order", map[string]any{"customer_id": "C-1", "total_rs": 5}, map[string]any{
			"order_id": "ORD-9001", "customer_id": "C-1", "status": "CONFIRMED", "total_rs": 5.0, "channel": "web",
		}, ""},
		{orders, "create_order", map[string]any{"customer_id": "C-1", "total_rs": 5, "order_id": "ORD-7701"}, nil, `there is an order "ORD-7701" already`},
		{orders, "create_order", map[string]any{"customer_id": "", "total_rs": 5}, nil, "an order has a customer"},
		{orders, "track_order", map[string]any{"order_id": "ORD-7701", "step_ms": 0}, map[string]any{
			"order_id": "ORD-7701", "status": "SHIPPED",
			"steps": []any{"placed", "packed in Mumbai", "on the road", "at the hub in Delhi", "out for delivery"},
		}, ""},
		{orders, "report", map[string]any{"delay_ms": 0}, map[string]any{"orders": 5.0, "total_rs": 126754.0}, ""},
		{orders, "report", map[string]any{"delay_ms": 30001}, nil, "30001 ms is not between 0 and 30000"},
		{inventory, "check_stock", map[string]any{"sku": "SKU-300"}, map[string]any{"sku": "SKU-300", "name": "pressure cooker", "available": 12.0}, ""},
		{inventory, "reserve_stock", map[string]any{"sku": "SKU-300", "quantity": 12}, map[string]any{"sku": "SKU-300", "name": "pressure cooker", "available": 0.0}, ""},
		{inventory, "reserve_stock", map[string]any{"sku": "SKU-300", "quantity": 1}, nil, "only 0 of SKU-300 are available"},
		{inventory, "reserve_stock", map[string]any{"sku": "SKU-300", "quantity": -1}, nil, "cannot be reserved"},
		{inventory, "check_stock", map[string]any{"sku": "SKU-1"}, nil, `there is no article "SKU-1"`},
	}
	sessions := map[string]*mcp.ClientSession{
		orders.url: connect(t, orders.url, nil), inventory.url: connect(t, inventory.url, nil),
	}
	for _, test := range tests {
		t.Run(test.tool, func(t *testing.T) {
			result, err := sessions[test.server.url].CallTool(t.Context(), &mcp.CallToolParams{Name: test.tool, Arguments: test.args})
			if err != nil {
				t.Fatal(err)
			}
			if result.IsError != (test.isError != "") {
				t.Fatalf("isError is %v: %s", result.IsError, text(result))
			}
			if test.isError != "" {
				if !strings.Contains(text(result), test.isError) {
					t.Errorf("it says %q, want %q", text(result), test.isError)
				}
				return
			}
			if diff := cmp.Diff(any(test.want), result.StructuredContent); diff != "" {
				t.Errorf("structured content (-want +got):\n%s", diff)
			}
		})
	}
}

func text(result *mcp.CallToolResult) string {
	var parts []string
	for _, c := range result.Content {
		if one, ok := c.(*mcp.TextContent); ok {
			parts = append(parts, one.Text)
		}
	}
	return strings.Join(parts, "\n")
}

func TestProgress(t *testing.T) {
	r := serve(t, demo.Orders)
	got := make(chan string, 10)
	session := connect(t, r.url, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
			got <- fmt.Sprintf("%v/%v %s", req.Params.Progress, req.Params.Total, req.Params.Message)
		},
	})
	params := &mcp.CallToolParams{Name: "track_order", Arguments: map[string]any{"order_id": "ORD-7701", "step_ms": 1}}
	params.SetProgressToken("token")
	if _, err := session.CallTool(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1/5 placed", "2/5 packed in Mumbai", "3/5 on the road", "4/5 at the hub in Delhi", "5/5 out for delivery"} {
		select {
		case one := <-got:
			if one != want {
				t.Errorf("progress %q, want %q", one, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("no progress %q", want)
		}
	}
}

func TestJSONAnswersAreSwitchedAtRunTime(t *testing.T) {
	r := serve(t, demo.Orders)
	for _, asJSON := range []bool{false, true, false} {
		r.faults(t, demo.Faults{JSON: asJSON})
		resp := post(t, r.url, getOrder("c", "ORD-7701"))
		want := map[bool]string{false: "text/event-stream", true: "application/json"}[asJSON]
		if got := resp.header.Get("Content-Type"); got != want || resp.status != http.StatusOK {
			t.Errorf("status %d, content type %q, want %q", resp.status, got, want)
		}
		session := connect(t, r.url, nil)
		if _, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "get_order", Arguments: map[string]any{"order_id": "ORD-7701"}}); err != nil {
			t.Errorf("json %v: %v", asJSON, err)
		}
	}
}

func TestHealth(t *testing.T) {
	r := serve(t, demo.Inventory)
	resp, err := http.DefaultClient.Get(strings.TrimSuffix(r.url, "/mcp") + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(body) != "ok\n" {
		t.Errorf("status %d, %q, %v", resp.StatusCode, body, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestUnknownServer(t *testing.T) {
	if _, err := demo.NewServer(demo.Config{Server: "billing"}); err == nil {
		t.Error("a server of an unknown kind was made")
	}
}
