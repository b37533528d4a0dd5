package drill

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
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

// gateway stands for a Holdfast in front of the servers a and b: while it is broken, answers are
// b's, or those of fail.
type gateway struct {
	// fail answers calls while it is broken; nil: b does, well.
	fail func(tool string) (*mcp.CallToolResult, error)
	// always fails calls all the time.
	always bool
	// twice notes each call that must not run twice two times.
	twice bool

	mu     sync.Mutex
	broken bool
	runs   map[string]int
	log    []string
}

func (g *gateway) set(broken bool, what string) func(context.Context) error {
	return func(context.Context) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.broken = broken
		g.log = append(g.log, what)
		return nil
	}
}

func (g *gateway) noticed(context.Context) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken {
		return "the test", nil
	}
	return "", nil
}

func (g *gateway) executions() (map[string]int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.runs, nil
}

func (g *gateway) answer(_ context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if (g.broken || g.always) && g.fail != nil {
		result, err := g.fail(r.Params.Name)
		return result, nil, err
	}
	via := "a"
	if g.broken {
		via = "b"
	}
	id, _ := r.Params.Meta["test/call"].(string)
	g.runs[id]++
	if g.twice && r.Params.Name == "make" {
		g.runs[id]++
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done"}}, Meta: mcp.Meta{names.MetaVia: via}}, nil, nil
}

func (g *gateway) options(t *testing.T) Options {
	t.Helper()
	g.runs = map[string]int{}
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "get"}, g.answer)
	mcp.AddTool(server, &mcp.Tool{Name: "make"}, g.answer)
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(names.HeaderAttempts, "1")
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	kind, _ := Find(Crash)
	return Options{
		Kind: kind, Client: agents.Client{Endpoint: web.URL, Name: "test", Version: "1"},
		Fault: Fault{Does: "a was killed", Undoes: "it was started again", Break: g.set(true, "break"), Mend: g.set(false, "mend"), Noticed: g.noticed},
		Calls: []Call{{Tool: "get"}, {Tool: "make", Unsafe: true}}, CallIDKey: "test/call", Runs: g.executions,
		Callers: 4, Rate: 200, Before: 200 * time.Millisecond, Hold: 400 * time.Millisecond, After: 50 * time.Millisecond, Patience: 20 * time.Second,
	}
}

func failing(meta mcp.Meta) func(string) (*mcp.CallToolResult, error) {
	return func(string) (*mcp.CallToolResult, error) {
		return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: "down"}}, Meta: meta}, nil
	}
}

func TestAsPromised(t *testing.T) {
	g := &gateway{}
	r, err := Run(t.Context(), g.options(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Broken) > 0 || r.Calls.Made == 0 || r.Calls.Good != r.Calls.Made || r.Calls.Unsafe == 0 || *r.Calls.ExecutedTwice != 0 || *r.Calls.Lost != 0 {
		t.Errorf("%+v", r)
	}
	if r.DetectedMS == nil || r.DetectedBy != "the test" || r.FirstGoodMS == nil || r.RecoveredMS == nil || r.BrokenForMS < 400 {
		t.Errorf("times: %+v", r)
	}
	if !slices.Equal(g.log, []string{"break", "mend"}) {
		t.Errorf("it did %v", g.log)
	}
}

// TestCallsNotice: where nobody can be asked, the first call that went elsewhere by itself is when it was noticed.
func TestCallsNotice(t *testing.T) {
	opts := (&gateway{}).options(t)
	opts.Fault.Noticed, opts.Runs = nil, nil
	r, err := Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if r.DetectedMS == nil || !strings.HasPrefix(r.DetectedBy, "calls that went elsewhere") || r.Calls.ExecutedTwice != nil || len(r.Broken) > 0 {
		t.Errorf("%+v", r)
	}
}

func TestBrokenPromises(t *testing.T) {
	for name, c := range map[string]struct {
		g     *gateway
		check func(*Options)
		want  []string
		class string
	}{
		"calls fail in words": {
			g: &gateway{fail: failing(mcp.Meta{
				names.MetaError:    map[string]any{"code": "timeout", "outcome": "unknown"},
				names.MetaDegraded: map[string]any{"source": "error"},
			})},
			want: []string{"calls failed that may run twice"}, class: "timeout",
		},
		"calls fail without a word": {
			g:    &gateway{fail: func(string) (*mcp.CallToolResult, error) { return nil, errors.New("lost") }},
			want: []string{"calls failed that may run twice"}, class: classServer,
		},
		"they run twice": {g: &gateway{twice: true}, want: []string{"calls ran twice that must not"}},
		"it does not come back": {
			g: &gateway{},
			check: func(o *Options) {
				o.Fault.Mend, o.Patience = func(context.Context) error { return nil }, 300*time.Millisecond
			},
			want: []string{"it was not as before again"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := c.g.options(t)
			opts.AbortAt = 1
			if c.check != nil {
				c.check(&opts)
			}
			r, err := Run(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(r.Broken, "\n")
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q does not say %q", text, want)
				}
			}
			if c.class != "" && r.Calls.Failed[c.class] == 0 {
				t.Errorf("failed by class: %v", r.Calls.Failed)
			}
		})
	}
}

// TestAbort: too much fails, and it is mended before its time.
func TestAbort(t *testing.T) {
	g := &gateway{fail: failing(nil)}
	opts := g.options(t)
	opts.Hold = time.Minute
	r, err := Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if r.Aborted == "" || r.BrokenForMS > 50_000 || !slices.Equal(g.log, []string{"break", "mend"}) || !strings.Contains(r.Broken[0], "it was aborted") {
		t.Errorf("%+v, %v", r, g.log)
	}
}

// TestNotWell: what is not well is not broken further.
func TestNotWell(t *testing.T) {
	g := &gateway{always: true, fail: failing(nil)}
	opts := g.options(t)
	opts.Patience = 300 * time.Millisecond
	_, err := Run(t.Context(), opts)
	if sick := (*NotWellError)(nil); !errors.As(err, &sick) || len(g.log) != 0 {
		t.Errorf("%v, %v", err, g.log)
	}
	noticed := (&gateway{}).options(t)
	noticed.Patience = 300 * time.Millisecond
	noticed.Fault.Noticed = func(context.Context) (string, error) { return "somebody", nil }
	if _, err = Run(t.Context(), noticed); err == nil || !strings.Contains(err.Error(), "say somebody") {
		t.Errorf("something is wrong already: %v", err)
	}
}

// TestBrokenOff: whoever gives up, and whatever fails, it is mended.
func TestBrokenOff(t *testing.T) {
	g := &gateway{}
	opts := g.options(t)
	ctx, cancel := context.WithCancel(t.Context())
	opts.Hold = time.Minute
	opts.Say = func(text string) {
		if text == opts.Fault.Does {
			cancel()
		}
	}
	if _, err := Run(ctx, opts); !errors.Is(err, context.Canceled) || !slices.Equal(g.log, []string{"break", "mend"}) {
		t.Errorf("%v, %v", err, g.log)
	}
	half := &gateway{}
	opts = half.options(t)
	opts.Fault.Break = func(context.Context) error { return errors.New("half of it") }
	if _, err := Run(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "half of it") || !slices.Equal(half.log, []string{"mend"}) {
		t.Errorf("%v, %v", err, half.log)
	}
}

// TestSlow: who makes something slow is told what it takes.
func TestSlow(t *testing.T) {
	opts := (&gateway{}).options(t)
	told := time.Duration(0)
	opts.Fault.BreakBy = func(_ context.Context, usual time.Duration) error {
		told = usual
		return nil
	}
	if _, err := Run(t.Context(), opts); err != nil || told <= 0 {
		t.Errorf("%v, told %v", err, told)
	}
}

// TestFlaps: it goes and comes, and is there at the end.
func TestFlaps(t *testing.T) {
	g := &gateway{}
	opts := g.options(t)
	opts.Kind, _ = Find(Flapping)
	opts.Hold = 2*flapEvery + flapEvery/2
	if _, err := Run(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g.log, []string{"break", "mend", "break", "mend"}) {
		t.Errorf("it did %v", g.log)
	}
}

func TestParseCall(t *testing.T) {
	c, err := ParseCall(` get_order {"order_id": "ORD-7701"} `, true)
	if err != nil || c.Tool != "get_order" || c.Arguments["order_id"] != "ORD-7701" || !c.Unsafe {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{"", `{"order_id":1}`, "get_order [1]", "get_order {"} {
		if c, err := ParseCall(bad, false); err == nil {
			t.Errorf("%q is taken as %+v", bad, c)
		}
	}
}
