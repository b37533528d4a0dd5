package outcome

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// clock is set by hand.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{at: time.Unix(1_800_000_000, 0)} }

func (c *clock) now() time.Time { return c.at }

// play observes a script, one answer a word: a tool name failing ("get-"), with a
// result ("get+") or refused ("get?"); "~" before it means method tools/list;
// a number of seconds ("3s") lets time pass. It returns the last verdict.
func play(t *testing.T, w *Window, c *clock, endpoint, script string) Verdict {
	t.Helper()
	var last Verdict
	for _, word := range strings.Fields(script) {
		if d, err := time.ParseDuration(word); err == nil {
			c.at = c.at.Add(d)
			continue
		}
		call := Call{Server: "orders", Endpoint: endpoint, Method: "tools/call", Tool: word[:len(word)-1]}
		if method, ok := strings.CutPrefix(call.Tool, "~"); ok {
			call.Method, call.Tool = method, ""
		}
		var class Class
		switch word[len(word)-1] {
		case '-':
			class = Failed
		case '+':
			class = Succeeded
		case '?':
			class = Refused
		default:
			t.Fatalf("script word %q", word)
		}
		last = w.Observe(call, class)
	}
	return last
}

func TestWindow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		script string
		want   Verdict
	}{
		{"good", "get+", Good},
		{"refused", "get?", Good},
		{"one failure", "get-", ToolFailed},
		{"one tool four times", "get- get- get- get-", ToolFailed},
		{"one tool five times", "get- get- get- get- get-", EndpointFailed},
		{"one tool, a success in between", "get- get- get- get- get+ get-", ToolFailed},
		{"one tool, a refusal in between", "get- get- get- get- get? get-", ToolFailed},
		{"one tool, a list in between", "get- get- get- get- ~tools/list+ get-", ToolFailed},
		{"one tool, lists fail too", "get- get- ~tools/list- get- get-", EndpointFailed},
		{"one tool, slowly", "get- 5s get- 5s get- 5s get- 5s get-", EndpointFailed},
		{"one tool, too slowly for a row", "get- get- get- get- 11s get-", ToolFailed},
		{"a tool alone among others", "list+ get- get- get- get- get- get- get- get-", ToolFailed},
		{"a tool alone, the others seen a while ago", "list+ 60s get- get- get- get- get- get-", ToolFailed},
		{"a tool alone, the others long forgotten", "list+ 11m get- get- get- get- get-", EndpointFailed},
		{"two tools, three times each", "a- a- a- b- b- b-", EndpointFailed},
		{"two tools, not three times", "a- a- a- b- b-", ToolFailed},
		{"two tools, one succeeds", "b+ a- a- a- b- b- b-", ToolFailed},
		{"the success is out of the window", "b+ 10s a- a- a- b- b- b-", EndpointFailed},
		{"the failures are out of the window", "a- a- a- 10s b- b- b-", ToolFailed},
		{"one tool and a list", "get- get- get- ~tools/list- ~tools/list- ~tools/list-", EndpointFailed},
		{"a third of many", strings.Repeat("a+ b+ a+ b+ a- b- ", 4), EndpointFailed},
		{"a third of few", strings.Repeat("a+ b+ a+ b+ a- b- ", 3), ToolFailed},
		{"half of the tools, since they last succeeded", "a+ b+ c+ d+ a- b- a- b- a- b- a- b- a- b-", EndpointFailed},
		{"half of the tools, one not often enough", "a+ b+ c+ d+ a- b- a- b- a- b- a- b- b-", ToolFailed},
		{"two tools of five", "a+ b+ c+ d+ e+ a- b- a- b- a- b- a- b- a- b-", ToolFailed},
		{"lists are no tools", "a+ b+ ~tools/list+ ~ping+ ~prompts/list+ a- b- a- b- a- b- a- b- a- b-", EndpointFailed},
		{"a tenth of many", strings.Repeat("a+ b+ ", 36) + strings.Repeat("a- b- ", 4), ToolFailed},
		{"half of one tool's, many", "b+ " + strings.Repeat("a+ a- ", 20), ToolFailed},
		{"good while the endpoint is failed", "a- a- a- b- b- b- c+", Good},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			w := NewWindow(c.now)
			if got := play(t, w, c, "127.0.0.1:7101", tt.script); got != tt.want {
				t.Errorf("last verdict %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWindowKeepsEndpointsApart(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := NewWindow(c.now)
	play(t, w, c, "a:1", "x- x- x- y- y- y-")
	if got := play(t, w, c, "b:1", "x-"); got != ToolFailed {
		t.Errorf("the other endpoint's first failure is %q, want %q", got, ToolFailed)
	}
	// That the server has two tools is known from either endpoint.
	if got := play(t, w, c, "b:1", "x- x- x- x- x-"); got != ToolFailed {
		t.Errorf("one tool of two is %q, want %q", got, ToolFailed)
	}
}

func TestWindowUnrelatedCountsNothing(t *testing.T) {
	t.Parallel()
	w := NewWindow(newClock().now)
	if got := w.Observe(Call{Server: "s", Endpoint: "e", Tool: "t"}, Unrelated); got != Good || len(w.endpoints) != 0 {
		t.Errorf("Observe = %q with %d endpoints, want good and none", got, len(w.endpoints))
	}
}

func TestWindowBounds(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := NewWindow(c.now)
	for i := range 3 * maxTools {
		w.Observe(Call{Server: "s", Endpoint: "e", Method: "tools/call", Tool: "refused" + itoa(i)}, Refused)
	}
	e := w.endpoints[endpointKey{"s", "e"}]
	if len(e.tools) != 0 {
		t.Errorf("%d tools are known from refusals alone", len(e.tools))
	}
	for i := range 3 * maxTools {
		w.Observe(Call{Server: "s", Endpoint: "e", Method: "tools/call", Tool: "t" + itoa(i)}, Succeeded)
	}
	if len(e.tools) > maxTools+1 {
		t.Errorf("%d tools are kept, want %d and the rest as one", len(e.tools), maxTools)
	}
	if got := e.tools[otherTools].sum(c.at.Sub(w.epoch)+windowSpan, 0); got.failed.n != 0 || got.answered != 2*maxTools {
		t.Errorf("other tools: %+v", got)
	}
	c.at = c.at.Add(windowSpan)
	w.Observe(Call{Server: "s", Endpoint: "e", Method: "tools/call", Tool: "new"}, Failed)
	if e.tools[toolKey{"tools/call", "new"}] == nil || len(e.tools) != 1 {
		t.Errorf("quiet tools made no room: %d tools", len(e.tools))
	}
	for i := range maxEndpoints + 10 {
		c.at = c.at.Add(time.Millisecond)
		w.Observe(Call{Server: "s" + itoa(i), Endpoint: "e", Method: "ping"}, Succeeded)
	}
	if len(w.endpoints) != maxEndpoints || len(w.servers) != maxEndpoints {
		t.Errorf("%d endpoints, %d servers, want %d", len(w.endpoints), len(w.servers), maxEndpoints)
	}
	if w.endpoints[endpointKey{"s", "e"}] != nil {
		t.Error("the endpoint that was silent longest is still there")
	}
}

// TestInventedToolsHideNone: ten thousand names that callers make up do not keep the failures of a tool that is
// called all the time from being counted, and take no more memory than the bound.
func TestInventedToolsHideNone(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := NewWindow(c.now)
	call := Call{Server: "s", Endpoint: "e", Region: "r", Method: "tools/call", Tool: "real"}
	for i := range 10_000 {
		c.at = c.at.Add(time.Millisecond)
		invented := call
		invented.Tool = "invented" + itoa(i)
		w.Observe(invented, Failed)
		if i%100 == 0 {
			w.Observe(call, Failed)
		}
	}
	if got := w.Tool("s", "real", "r", time.Time{}); got.Row != 100 {
		t.Errorf("%d failures in a row are known, want 100", got.Row)
	}
	if n := len(w.servers["s"].cells); n > maxCells {
		t.Errorf("%d tools are watched, want at most %d", n, maxCells)
	}
}

func TestWindowConcurrent(t *testing.T) {
	t.Parallel()
	w := NewWindow(nil)
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 500 {
				w.Observe(Call{Server: "s" + itoa(i%3), Endpoint: "e" + itoa(g%2), Method: "tools/call", Tool: "t" + itoa(i%200)}, Class(1+i%3))
			}
		})
	}
	group.Wait()
}

func TestObserveAllocatesNothing(t *testing.T) {
	c := newClock()
	w := NewWindow(c.now)
	call := Call{Server: "orders", Endpoint: "127.0.0.1:7101", Method: "tools/call", Tool: "get_order"}
	w.Observe(call, Succeeded)
	if n := testing.AllocsPerRun(100, func() { w.Observe(call, Succeeded) }); n != 0 {
		t.Errorf("a good answer costs %v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	for _, class := range []Class{Succeeded, Failed} {
		b.Run(class.String(), func(b *testing.B) {
			w := NewWindow(nil)
			calls := make([]Call, 20)
			for i := range calls {
				calls[i] = Call{Server: "orders", Endpoint: "127.0.0.1:7101", Method: "tools/call", Tool: fmt.Sprintf("tool_%d", i)}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				w.Observe(calls[i%len(calls)], class)
			}
		})
	}
}
