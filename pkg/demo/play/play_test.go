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
	"go.uber.org/goleak"

	"github.com/holdfast-mcp/holdfast/pkg/agents"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway stands for a Holdfast in front of two servers: it answers as one would
// while the servers are up or down.
type gateway struct {
	// breaks makes it lose the first calls after the first kill.
	breaks bool

	mu   sync.Mutex
	up   map[string]bool
	lost int
	log  []string
}

func newGateway() *gateway { return &gateway{up: map[string]bool{"a": true, "b": true}} }

func (g *gateway) set(name string, up bool, what string) (time.Time, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.log = append(g.log, what+" "+name)
	if g.up[name] == up {
		return time.Time{}, errors.New(name + " is so already")
	}
	at := time.Now()
	g.up[name] = up
	return at, nil
}

func (g *gateway) Kill(_ context.Context, name string) (time.Time, error) {
	return g.set(name, false, "kill")
}

func (g *gateway) Start(_ context.Context, name string) (time.Time, error) {
	return g.set(name, true, "start")
}

type orderIn struct {
	OrderID string `json:"order_id"`
}

// headerVia tells getOrder which server answers the request.
const headerVia = "x-test-via"

// choose is which server answers, "" where none does.
func (g *gateway) choose() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range []string{"a", "b"} {
		if g.up[name] {
			return name
		}
	}
	return ""
}

func (g *gateway) getOrder(_ context.Context, r *mcp.CallToolRequest, in orderIn) (*mcp.CallToolResult, any, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	via := r.Extra.Header.Get(headerVia)
	if via == "b" && g.breaks && g.lost < 3 {
		g.lost++
		return nil, nil, errors.New("lost")
	}
	if via == "" {
		return &mcp.CallToolResult{
			IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: "Service unavailable - all orders endpoints are down. Please retry later."}},
			Meta: mcp.Meta{names.MetaDegraded: map[string]any{"source": "error"}},
		}, nil, nil
	}
	order := map[string]any{"order_id": in.OrderID, "customer_id": "C-1201", "status": "SHIPPED", "total_rs": 78000}
	if in.OrderID == confirmedOrder.ID {
		order = map[string]any{"order_id": in.OrderID, "customer_id": "C-3302", "status": "CONFIRMED", "total_rs": 34500}
	}
	return &mcp.CallToolResult{StructuredContent: order, Meta: mcp.Meta{names.MetaVia: via}}, nil, nil
}

// serve returns the URL of the gateway's MCP endpoint.
func (g *gateway) serve(t *testing.T) string {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: toolName}, g.getOrder)
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Chosen once, so that the answer and what is said of it agree whatever is killed meanwhile.
		via := g.choose()
		r.Header.Set(headerVia, via)
		if via == "b" {
			w.Header().Set(names.HeaderAttempts, "2")
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	return web.URL
}

func options(t *testing.T, g *gateway, out *bytes.Buffer) Options {
	t.Helper()
	return Options{
		Endpoint: g.serve(t), Servers: g, Primary: "a", Standby: "b", Out: out,
		Callers: 4, Rate: 200, Act: 100 * time.Millisecond,
	}
}

func TestAsPromised(t *testing.T) {
	g := newGateway()
	var out bytes.Buffer
	s, err := Run(t.Context(), options(t, g, &out))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Broken) > 0 || s.Failed > 0 || s.Good == 0 || s.Degraded == 0 || s.Retried == 0 || s.Calls != s.Good+s.Degraded {
		t.Errorf("summary %+v", s)
	}
	for _, d := range []time.Duration{s.AfterPrimaryKilled, s.AfterBothKilled, s.AfterBothStarted, s.P50, s.P99} {
		if d <= 0 || d > 10*time.Second {
			t.Errorf("a time of %s in %+v", d, s)
		}
	}
	if got := strings.Join(g.log[:2], ", "); got != "kill a, kill b" || len(g.log) != 4 {
		t.Errorf("it did %q", g.log)
	}
	want := regexp.MustCompile(`^4 callers, 200 calls a second; a is killed, then b, then both come back
Tool: get_order\(\{"order_id":"ORD-7701"\}\)  → SHIPPED, 78000  \[via a\] +\d+ ms
-- a killed --
Tool: get_order\(\{"order_id":"ORD-7702"\}\)  → CONFIRMED, 34500  \[via b\] +\d+ ms   \(2 attempts\)
-- b killed --
Tool: get_order\(\{"order_id":"ORD-7701"\}\)  → Service unavailable - all orders endpoints are down\. Please retry later\.
-- a and b started again --
Tool: get_order\(\{"order_id":"ORD-770\d"\}\)  → [A-Z]+, \d+  \[via [ab]\] .* ms.*
`)
	if !want.MatchString(out.String()) {
		t.Errorf("the play reads\n%s", out.String())
	}
	if !strings.HasSuffix(out.String(), "As promised: no safe call failed.\n") {
		t.Errorf("it ends\n%s", out.String())
	}
}

func TestNotAsPromised(t *testing.T) {
	g := newGateway()
	g.breaks = true
	var out bytes.Buffer
	s, err := Run(t.Context(), options(t, g, &out))
	if err != nil {
		t.Fatal(err)
	}
	if s.Failed != 3 || len(s.Broken) != 1 || len(s.FirstFailures) != 3 {
		t.Errorf("summary %+v", s)
	}
	if !strings.Contains(out.String(), "Not as promised: 3 of") || !strings.Contains(out.String(), ": lost") {
		t.Errorf("it reads\n%s", out.String())
	}
}

// TestBrokenOff: whenever the play ends, what it killed is started again.
func TestBrokenOff(t *testing.T) {
	for _, after := range []string{"a killed", "b killed"} {
		t.Run(after, func(t *testing.T) {
			g := newGateway()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var out bytes.Buffer
			opts := options(t, g, &out)
			opts.Act = 50 * time.Millisecond
			opts.Out = &watcher{to: &out, word: after, found: cancel}
			if _, err := Run(ctx, opts); !errors.Is(err, context.Canceled) {
				t.Errorf("it went on: %v", err)
			}
			if !g.up["a"] || !g.up["b"] {
				t.Errorf("servers are left dead: %v, after %q", g.up, g.log)
			}
		})
	}
}

// watcher calls found when word is written.
type watcher struct {
	to    *bytes.Buffer
	word  string
	found func()
}

func (w *watcher) Write(data []byte) (int, error) {
	if bytes.Contains(data, []byte(w.word)) {
		w.found()
	}
	return w.to.Write(data)
}

func TestTheLines(t *testing.T) {
	var out bytes.Buffer
	p := newPrinter(&out, false)
	begun := time.Unix(0, 0)
	at := func(ms int) time.Time { return begun.Add(time.Duration(ms) * time.Millisecond) }
	p.call(Outcome{OrderID: "ORD-7701", Good: true, Status: "SHIPPED", TotalRs: 78000, Via: "primary-mumbai", Begun: begun, Ended: at(3), Attempts: 1})
	p.event("primary-mumbai killed")
	p.call(Outcome{OrderID: "ORD-7702", Good: true, Status: "CONFIRMED", TotalRs: 34500, Via: "standby-delhi", Begun: begun, Ended: at(9), Attempts: 2})
	p.event("standby-delhi killed")
	p.call(Outcome{OrderID: "ORD-7701", Degraded: true, Text: "Service unavailable - all orders endpoints are down. Please retry later."})
	p.call(Outcome{OrderID: "ORD-7701", Err: errors.New("bad\x1b[2J\nthing")})
	want := `Tool: get_order({"order_id":"ORD-7701"})  → SHIPPED, 78000  [via primary-mumbai]     3 ms
-- primary-mumbai killed --
Tool: get_order({"order_id":"ORD-7702"})  → CONFIRMED, 34500  [via standby-delhi]    9 ms   (2 attempts)
-- standby-delhi killed --
Tool: get_order({"order_id":"ORD-7701"})  → Service unavailable - all orders endpoints are down. Please retry later.
Tool: get_order({"order_id":"ORD-7701"})  → bad [2J thing
`
	if out.String() != want {
		t.Errorf("the lines read\n%s, want\n%s", out.String(), want)
	}
}

func TestSummarise(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	times := moments{began: at(0), primaryKilled: at(1000), bothKilled: at(2000), bothStarting: at(3000), ended: at(6000)}
	good := func(begun, ended int, via string) Outcome {
		return Outcome{Good: true, Via: via, Begun: at(begun), Ended: at(ended)}
	}
	degraded := func(begun, ended int) Outcome {
		return Outcome{Degraded: true, Text: "down", Begun: at(begun), Ended: at(ended)}
	}
	played := []Outcome{
		good(1, 2, "a"), good(999, 1009, "b"), degraded(1999, 2004), degraded(2500, 2501), good(3090, 3100, "b"), degraded(4050, 4051), good(5000, 5001, "a"),
	}
	opts := Options{Primary: "a", Standby: "b"}
	s := summarise(opts, times, played)
	if len(s.Broken) > 0 || s.Good != 4 || s.Degraded != 3 || s.AfterPrimaryKilled != 9*time.Millisecond ||
		s.AfterBothKilled != 4*time.Millisecond || s.AfterBothStarted != 100*time.Millisecond {
		t.Errorf("summary %+v", s)
	}
	for name, bad := range map[string]Outcome{
		"degraded while one is up":       degraded(1500, 1501),
		"degraded before":                degraded(10, 11),
		"degraded long after":            degraded(4200, 4201),
		"degraded, and says nothing":     {Degraded: true, Begun: at(2500), Ended: at(2501)},
		"an error while both are down":   {Err: errors.New("x"), Begun: at(2500), Ended: at(2501)},
		"an isError while one is up":     {Text: "x", Begun: at(1500), Ended: at(1501)},
		"another order than asked for":   {Err: errWrongOrder, Begun: at(10), Ended: at(11)},
		"a call that was never made":     {Err: agents.ErrOverrun, Begun: at(10), Ended: at(11)},
		"an isError while both are gone": {Text: "x", Begun: at(2500), Ended: at(2501)},
	} {
		s := summarise(opts, times, append(played[:len(played):len(played)], bad))
		if s.Failed != 1 || len(s.Broken) != 1 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := summarise(opts, moments{began: at(0), primaryKilled: at(1000), bothKilled: at(2000), bothStarting: at(3000), ended: at(6000)}, nil); len(s.Broken) != 4 {
		t.Errorf("nothing happened: %+v", s.Broken)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
}
