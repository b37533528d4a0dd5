package play

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/holdfast-mcp/holdfast/pkg/agents"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// toolGateway stands for a Holdfast in front of two servers of which one has a tool that
// breaks: the first calls are tried there, then the breaker is open.
type toolGateway struct {
	// strays moves the neighbour too; gone has the server ejected.
	strays, gone bool
	// stays is how many calls go to the standby though the tool is mended.
	stays int

	mu     sync.Mutex
	broken bool
	tried  int
	log    []string
}

func (g *toolGateway) set(_ context.Context, tool string, broken bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if tool != toolName {
		return errors.New("another tool")
	}
	word := "mend"
	if broken {
		word = "break"
	}
	g.log, g.broken = append(g.log, word), broken
	return nil
}

// place gives where a call is answered, and after how many attempts.
func (g *toolGateway) place(tool string) (via, attempts string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.broken && g.tried > 0 && g.stays > 0 && tool == toolName:
		g.stays--
		return "b", "1"
	case !g.broken, tool == neighbourName && !g.strays:
		return "a", "1"
	}
	if g.tried++; g.tried <= 3 {
		return "b", "2"
	}
	return "b", "1"
}

func (g *toolGateway) serve(t *testing.T) string {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	answer := func(ctx context.Context, content any) (*mcp.CallToolResult, any, error) {
		via, _ := ctx.Value(viaKey{}).(string)
		return &mcp.CallToolResult{StructuredContent: content, Meta: mcp.Meta{names.MetaVia: via}}, nil, nil
	}
	mcp.AddTool(server, &mcp.Tool{Name: toolName}, func(ctx context.Context, _ *mcp.CallToolRequest, in orderIn) (*mcp.CallToolResult, any, error) {
		order := map[string]any{"order_id": in.OrderID, "customer_id": "C-1201", "status": "SHIPPED", "total_rs": 78000}
		if in.OrderID == confirmedOrder.ID {
			order = map[string]any{"order_id": in.OrderID, "customer_id": "C-3302", "status": "CONFIRMED", "total_rs": 34500}
		}
		return answer(ctx, order)
	})
	mcp.AddTool(server, &mcp.Tool{Name: neighbourName}, func(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		return answer(ctx, map[string]any{"orders": []any{1, 2}})
	})
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		via, attempts := "a", "1"
		if tool := r.Header.Get("Mcp-Name"); tool != "" {
			via, attempts = g.place(tool)
		}
		w.Header().Set(names.HeaderAttempts, attempts)
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), viaKey{}, via)))
	}))
	t.Cleanup(web.Close)
	return web.URL
}

type viaKey struct{}

func toolOptions(t *testing.T, g *toolGateway, out *bytes.Buffer) ToolOptions {
	t.Helper()
	return ToolOptions{
		Endpoint: g.serve(t), Primary: "a", Standby: "b", Callers: 4, Rate: 200, Act: 100 * time.Millisecond, Out: out,
		Break: g.set, Ejected: func(context.Context) (bool, error) { return g.gone, nil },
	}
}

func TestToolAsPromised(t *testing.T) {
	g := &toolGateway{}
	var out bytes.Buffer
	s, err := RunTool(t.Context(), toolOptions(t, g, &out))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Broken) > 0 || s.Failed > 0 || s.Moved == 0 || s.Tried == 0 || s.Tried > 3 || s.Neighbours == 0 || s.Strayed != 0 || s.Calls != s.Good {
		t.Errorf("summary %+v", s)
	}
	if s.AfterOpen < s.AfterBroken || s.AfterMended <= 0 {
		t.Errorf("times %+v", s)
	}
	if got := strings.Join(g.log, ", "); got != "break, mend" {
		t.Errorf("it did %q", got)
	}
	want := regexp.MustCompile(`^4 callers, 200 calls a second, half of get_order and half of list_orders; get_order breaks in a and is mended, list_orders works throughout
Tool: get_order\(\{"order_id":"ORD-7701"\}\)  → SHIPPED, 78000  \[via a\] +\d+ ms
Tool: list_orders\(\{\}\)                     → 2 orders  \[via a\] +\d+ ms
-- get_order broken in a: HTTP 200, isError, every time --
Tool: get_order\(\{"order_id":"ORD-770\d"\}\)  → [A-Z]+, \d+  \[via b\] +\d+ ms   \(2 attempts\)
-- breaker open: get_order no longer asks a --
Tool: get_order\(\{"order_id":"ORD-770\d"\}\)  → [A-Z]+, \d+  \[via b\] +\d+ ms
Tool: get_order\(\{"order_id":"ORD-7701"\}\)  → SHIPPED, 78000  \[via b\] +\d+ ms
Tool: list_orders\(\{\}\)                     → 2 orders  \[via a\] +\d+ ms
-- get_order mended in a; the next trial call finds out --
Tool: get_order\(\{"order_id":"ORD-770\d"\}\)  → [A-Z]+, \d+  \[via a\] +\d+ ms
`)
	if !want.MatchString(out.String()) {
		t.Errorf("the play reads\n%s", out.String())
	}
	if !strings.HasSuffix(out.String(), "As promised: one broken tool moved alone, and came back.\n") {
		t.Errorf("it ends\n%s", out.String())
	}
}

func TestToolNotAsPromised(t *testing.T) {
	g := &toolGateway{strays: true, gone: true}
	var out bytes.Buffer
	s, err := RunTool(t.Context(), toolOptions(t, g, &out))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Broken) != 2 || s.Strayed == 0 {
		t.Errorf("summary %+v", s)
	}
	for _, want := range []string{"of list_orders left a", "a was taken out of rotation"} {
		if !strings.Contains(out.String(), "Not as promised: ") || !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestToolBrokenOff: whenever the play ends, the tool works again.
func TestToolBrokenOff(t *testing.T) {
	for _, after := range []string{"broken in a", "breaker open"} {
		t.Run(after, func(t *testing.T) {
			g := &toolGateway{}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var out bytes.Buffer
			opts := toolOptions(t, g, &out)
			opts.Out = &watcher{to: &out, word: after, found: cancel}
			s, err := RunTool(ctx, opts)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("it went on: %v", err)
			}
			if g.broken || !s.WasBroken || s.Back {
				t.Errorf("the tool is left broken, after %q: %+v", g.log, s)
			}
		})
	}
}

// TestToolBrokenOffAndWaitedFor: a play that is broken off says that the tool's calls are back when they are, and
// not when nobody waited for them.
func TestToolBrokenOffAndWaitedFor(t *testing.T) {
	for _, patient := range []bool{true, false} {
		g := &toolGateway{stays: 5}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var out bytes.Buffer
		opts := toolOptions(t, g, &out)
		opts.Out = &watcher{to: &out, word: "breaker open", found: cancel}
		opts.Linger = func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, stop := context.WithCancel(ctx)
			if !patient {
				stop()
			}
			return ctx, stop
		}
		s, err := RunTool(ctx, opts)
		if !errors.Is(err, context.Canceled) || g.broken || !s.WasBroken || s.Back != patient {
			t.Errorf("patient %v: %+v, %v", patient, s, err)
		}
		if patient && g.stays != 0 {
			t.Errorf("it said that calls are back %d calls before they were", g.stays)
		}
	}
}

func TestSummariseTool(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	times := toolMoments{began: at(0), broken: at(1000), healed: at(2000), ended: at(3000)}
	good := func(tool, via string, begun, attempts int) Outcome {
		return Outcome{Tool: tool, Good: true, Via: via, Attempts: attempts, Begun: at(begun), Ended: at(begun + 10)}
	}
	played := []Outcome{
		good(toolName, "a", 500, 1), good(toolName, "b", 1000, 2), good(toolName, "b", 1100, 1), good(neighbourName, "a", 1200, 1),
		good(toolName, "b", 2200, 1), good(toolName, "a", 2300, 1), good(neighbourName, "a", 2400, 1),
	}
	opts := ToolOptions{Primary: "a", Standby: "b"}
	s := summariseTool(opts, times, played)
	if len(s.Broken) > 0 || s.Moved != 2 || s.Tried != 1 || s.Neighbours != 1 || s.AfterBroken != 10*time.Millisecond ||
		s.AfterOpen != 110*time.Millisecond || s.AfterMended != 310*time.Millisecond || s.AfterSettled != 210*time.Millisecond {
		t.Errorf("summary %+v", s)
	}
	for name, bad := range map[string]Outcome{
		"an error":                  {Tool: toolName, Err: errors.New("x"), Begun: at(1500), Ended: at(1501)},
		"a neighbour that strayed":  good(neighbourName, "b", 1500, 1),
		"a degraded answer":         {Tool: toolName, Degraded: true, Begun: at(1500), Ended: at(1501)},
		"a call that was not made":  {Tool: toolName, Err: agents.ErrOverrun, Begun: at(10), Ended: at(11)},
		"the broken tool's failure": {Tool: toolName, Text: "internal_error", Begun: at(1500), Ended: at(1501)},
	} {
		if s := summariseTool(opts, times, append(played[:len(played):len(played)], bad)); len(s.Broken) != 1 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := summariseTool(opts, times, nil); len(s.Broken) != 4 {
		t.Errorf("nothing happened: %+v", s.Broken)
	}
}
