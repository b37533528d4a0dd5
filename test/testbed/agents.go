package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
)

// Agents are Callers clients that make one call at a time each. Calls fall due at a fixed
// rate; one that is due while everybody is busy waits, and counts from when it was due. They
// speak MCP's newest revision by hand, which costs a fifth of what the SDK's client does, so that 1,000
// calls a second leave the machine to what is tested.
type Agents struct {
	stopping chan struct{}
	done     chan struct{}
	busy     atomic.Int64

	mu    sync.Mutex
	calls []Call
}

// StartAgents sends rate calls a second to path until Stop.
func (b *Bed) StartAgents(path string, rate int, tool Tool) *Agents {
	b.t.Helper()
	return startAgents(b.t, "http://"+b.Gateway+path, rate, tool)
}

func startAgents(t testing.TB, url string, rate int, tool Tool) *Agents {
	a := &Agents{stopping: make(chan struct{}), done: make(chan struct{})}
	go a.run(url, fmt.Sprintf("agents%d", loadRun.Add(1)), rate, tool)
	t.Cleanup(func() { a.Stop() })
	return a
}

type dueCall struct {
	n  int
	at time.Time
}

func (a *Agents) run(url, prefix string, rate int, tool Tool) {
	defer close(a.done)
	// Minutes of calls may wait, and none is forgotten.
	due := make(chan dueCall, 100_000)
	var wg sync.WaitGroup
	for n := range Callers {
		wg.Go(func() {
			// Each is somebody else to breakers, shares and limits.
			who := fmt.Sprintf("Bearer agent-%d", n)
			transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			for d := range due {
				a.busy.Add(1)
				name, arguments := tool(d.n)
				call := ask(client, url, who, fmt.Sprintf("%s-%d", prefix, d.n), name, arguments)
				call.Start, call.Took = d.at, time.Since(d.at)
				a.busy.Add(-1)
				a.mu.Lock()
				a.calls = append(a.calls, call)
				a.mu.Unlock()
			}
		})
	}
	start, interval := time.Now(), time.Second/time.Duration(rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		at := start.Add(time.Duration(n) * interval)
		if wait := time.Until(at); wait > 0 {
			timer.Reset(wait)
			select {
			case <-a.stopping:
			case <-timer.C:
			}
		}
		select {
		case <-a.stopping:
			close(due)
			wg.Wait()
			return
		case due <- dueCall{n, at}:
		}
	}
}

// answered is what of an answer to tools/call is looked at.
type answered struct {
	Result *struct {
		IsError bool `json:"isError"`
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
		Meta struct {
			Via      string          `json:"holdfast/via"`
			Degraded json.RawMessage `json:"holdfast/degraded"`
			Error    struct {
				Outcome string `json:"outcome"`
			} `json:"holdfast/error"`
		} `json:"_meta"`
	} `json:"result"`
	Error *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    struct {
			Outcome string `json:"outcome"`
		} `json:"data"`
	} `json:"error"`
}

// ask makes one call and reads its answer.
func ask(client *http.Client, url, who, id, tool string, arguments map[string]any) Call {
	call := Call{ID: id, Tool: tool}
	text, err := json.Marshal(arguments)
	if err != nil {
		call.Err = err
		return call
	}
	// The servers journal the id that stands in _meta.
	body := strings.Replace(CallTool(fmt.Sprintf("%q", id), tool, string(text)), `"_meta":{`, fmt.Sprintf(`"_meta":{%q:%q,`, demo.CallIDKey, id), 1)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		call.Err = err
		return call
	}
	req.Header = ModernHeaders("tools/call", tool)
	req.Header.Set("Authorization", who)
	resp, err := client.Do(req)
	if err != nil {
		call.Err = err
		return call
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		call.Err = err
		return call
	}
	call.Via = resp.Header.Get("x-holdfast-via")
	call.Degraded = resp.Header.Get("x-holdfast-degraded") != ""
	call.Attempts, _ = strconv.Atoi(resp.Header.Get("x-holdfast-attempts")) // absent: not known
	call.read(resp, data)
	return call
}

// read fills in what the body says.
func (c *Call) read(resp *http.Response, data []byte) {
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		last := []byte(nil)
		for line := range bytes.Lines(data) {
			if text, ok := bytes.CutPrefix(line, []byte("data:")); ok && len(bytes.TrimSpace(text)) > 0 {
				last = text
			}
		}
		data = last
	}
	var a answered
	switch err := json.Unmarshal(data, &a); {
	case err != nil:
		c.Err = fmt.Errorf("status %d: %w: %.200q", resp.StatusCode, err, data)
	case a.Error != nil:
		c.Err, c.Outcome = fmt.Errorf("status %d: error %d: %s", resp.StatusCode, a.Error.Code, a.Error.Message), a.Error.Data.Outcome
	case a.Result == nil:
		c.Err = errors.New("neither a result nor an error")
	default:
		c.IsError, c.Outcome = a.Result.IsError, a.Result.Meta.Error.Outcome
		c.Degraded = c.Degraded || a.Result.Meta.Degraded != nil
		if a.Result.Meta.Via != "" {
			c.Via = a.Result.Meta.Via
		}
		if len(a.Result.Content) > 0 {
			c.Text = a.Result.Content[0].Text
		}
	}
}

// Busy is how many callers wait for an answer.
func (a *Agents) Busy() int { return int(a.busy.Load()) }

// Calls answered so far.
func (a *Agents) Calls() []Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[:len(a.calls):len(a.calls)]
}

// Since are the answered calls that were due after a moment.
func (a *Agents) Since(at time.Time) []Call {
	var out []Call
	for _, c := range a.Calls() {
		if c.Start.After(at) {
			out = append(out, c)
		}
	}
	return out
}

// Stop ends the load, waits for the answers under way and returns all calls.
func (a *Agents) Stop() []Call {
	select {
	case <-a.stopping:
	default:
		close(a.stopping)
	}
	<-a.done
	return a.Calls()
}

// Calibration is how much slower this machine is at the moment than a quiet one, at
// least 1: calls through a plain Envoy to the named server, with nothing else under way,
// as many and at the rate of a drill. It is by what factor the slowest hundredth of them misses 8 ms, or the
// slowest of all 50 ms, both of which two quiet cores hold. Bounds in absolute time are multiplied by it.
func (b *Bed) Calibration(server string, rate int, tool Tool) float64 {
	b.t.Helper()
	const quiet, slack = 8 * time.Millisecond, 50 * time.Millisecond
	enough := 5 * rate
	load := startAgents(b.t, "http://"+b.plainEnvoy(server)+"/mcp", rate, tool)
	b.Until(Patience, "answers through a plain Envoy", func() bool { return len(load.Calls()) >= enough })
	var took []time.Duration
	// The first second is spent on connecting.
	for _, c := range load.Stop()[rate:] {
		if c.Good() {
			took = append(took, c.Took)
		}
	}
	if len(took) < enough/2 {
		b.t.Fatalf("only %d good answers through a plain Envoy", len(took))
	}
	slices.Sort(took)
	return max(1, float64(took[len(took)*99/100])/float64(quiet), float64(took[len(took)-1])/float64(slack))
}
