package testbed

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/sync/semaphore"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
)

// Callers is how many clients a Load has.
const Callers = 16

// Call is one tools/call of a Load and what became of it, as the official SDK's
// client tells it.
type Call struct {
	// ID that the server journals.
	ID   string
	Tool string
	// Start is when the call was due, not when a slow system came to send it.
	Start time.Time
	Took  time.Duration
	// Err of the client; nil also for a result with IsError.
	Err     error
	IsError bool
	// Degraded: the answer came from Holdfast, not from a server.
	Degraded bool
	// Outcome is "not_executed", "unknown" or empty.
	Outcome string
	// Via names the endpoint that answered.
	Via string
	// Attempts that Envoy made, where the way of asking shows it; else 0.
	Attempts int
	Text     string
}

// Good says that a server's own, successful answer arrived.
func (c Call) Good() bool { return c.Err == nil && !c.IsError && !c.Degraded }

func (c Call) String() string {
	return fmt.Sprintf("%s %s after %v: err %v, isError %v, degraded %v, outcome %q, via %q, %.120q", c.ID, c.Tool, c.Took, c.Err, c.IsError, c.Degraded, c.Outcome, c.Via, c.Text)
}

// Tool makes the name and arguments of the nth call.
type Tool func(n int) (name string, arguments map[string]any)

// GetOrder is a safe call.
func GetOrder(int) (string, map[string]any) {
	return "get_order", map[string]any{"order_id": "ORD-7701"}
}

// CreateOrder is a call that must not run twice.
func CreateOrder(int) (string, map[string]any) {
	return "create_order", map[string]any{"customer_id": "C-1201", "total_rs": 100}
}

// Load is an open loop: calls are sent when they are due, whether or not earlier
// ones have been answered, by Callers clients in turn. What it asks for is what the machine
// can do: fewer calls a second where that is busy with other things, more again when it is no
// longer, and none beyond those of backlog that wait for their answers.
type Load struct {
	t        testing.TB
	sessions []*mcp.ClientSession
	stop     context.CancelFunc
	done     chan struct{}
	inFlight atomic.Int64
	// slots are for what waits for an answer; those beyond the backlog of the rate at the moment are taken.
	slots *semaphore.Weighted

	mu    sync.Mutex
	calls []Call
	pace  pace
}

// backlogOf is how many calls without an answer there are at most at a rate.
func backlogOf(rate int) int64 { return int64(rate) * int64(backlog/time.Second) }

// loadRun makes call ids unique in a test process.
var loadRun atomic.Int64

const (
	// headroom is how many times as many lists as calls the machine has to do in a second.
	headroom = 4
	// leastRate is what a Load sends on any machine.
	leastRate = 10
	// backlog is how long a Load sends calls of which none is answered. It is longer than
	// HastyTry, so that an endpoint that hangs holds none up.
	backlog = HastyTry + time.Second
)

// StartLoad sends rate calls a second to path until Stop, or fewer where the machine is too
// busy for so many.
func (b *Bed) StartLoad(path string, rate int, tool Tool) *Load {
	b.t.Helper()
	sessions := b.callers(path)
	return b.startLoad(sessions, pace{rate: b.able(sessions, rate), want: rate}, tool)
}

// StartLoadOf is StartLoad with exactly as many calls, be it too many for the machine.
func (b *Bed) StartLoadOf(path string, rate int, tool Tool) *Load {
	b.t.Helper()
	return b.startLoad(b.callers(path), pace{rate: rate, want: rate}, tool)
}

func (b *Bed) startLoad(sessions []*mcp.ClientSession, p pace, tool Tool) *Load {
	ctx, stop := context.WithCancel(context.Background())
	l := &Load{t: b.t, sessions: sessions, stop: stop, done: make(chan struct{}), slots: semaphore.NewWeighted(backlogOf(p.want)), pace: p}
	l.slots.TryAcquire(backlogOf(p.want - p.rate))
	go l.run(ctx, fmt.Sprintf("load%d", loadRun.Add(1)), tool)
	b.t.Cleanup(func() { l.Stop() })
	return l
}

func (b *Bed) callers(path string) []*mcp.ClientSession {
	b.t.Helper()
	var out []*mcp.ClientSession
	for range Callers {
		out = append(out, b.Connect(path))
	}
	return out
}

// Able is how many calls a second, of those that are wanted, the machine can be asked for at the moment.
func (b *Bed) Able(path string, want int) int {
	b.t.Helper()
	return b.able(b.callers(path), want)
}

// able is a share of the lists that all callers together get, and at most what is wanted.
func (b *Bed) able(sessions []*mcp.ClientSession, want int) int {
	const each = 4
	var lists sync.WaitGroup
	begin := time.Now()
	for _, session := range sessions {
		lists.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			for range each {
				if _, err := session.ListTools(ctx, nil); err != nil {
					return // the calls will tell
				}
			}
		})
	}
	lists.Wait()
	able := max(leastRate, int(Callers*each/time.Since(begin).Seconds())/headroom)
	if able < want {
		b.t.Logf("this machine is busy: %d calls a second in the place of %d", able, want)
	}
	return min(able, want)
}

// Connect opens a session of the official SDK's client; it ends with the test.
func (b *Bed) Connect(path string) *mcp.ClientSession {
	b.t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	client := mcp.NewClient(&mcp.Implementation{Name: "load", Version: "1"}, nil)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: "http://" + b.Gateway + path, HTTPClient: &http.Client{Transport: transport},
	}, nil)
	if err != nil {
		b.t.Fatalf("connecting a client: %v", err)
	}
	b.t.Cleanup(func() {
		_ = session.Close() // the server may be dead by now
		transport.CloseIdleConnections()
	})
	return session
}

func (l *Load) run(ctx context.Context, prefix string, tool Tool) {
	defer close(l.done)
	var wg sync.WaitGroup
	defer wg.Wait()
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if !l.slots.TryAcquire(1) {
			if err := l.slots.Acquire(ctx, 1); err != nil {
				return
			}
			// What was not sent meanwhile is not made up for.
			due = time.Now()
		}
		l.inFlight.Add(1)
		at := due
		wg.Go(func() { //nolint:contextcheck // calls under way have their answers when the load is over
			name, arguments := tool(n)
			call := Do(l.sessions[n%Callers], fmt.Sprintf("%s-%d", prefix, n), name, arguments)
			call.Start, call.Took = at, time.Since(at)
			l.inFlight.Add(-1)
			l.answered(call)
		})
		due = due.Add(l.interval())
	}
}

// interval until the next call.
func (l *Load) interval() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Second / time.Duration(l.pace.rate)
}

// answered keeps a call, and frees its slot and those that come with a rate that has grown.
func (l *Load) answered(call Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call)
	before := l.pace.rate
	if call.Good() {
		l.pace.take(call.Took)
	}
	l.slots.Release(1 + backlogOf(l.pace.rate-before))
}

// Do makes one call and reads its answer.
func Do(session *mcp.ClientSession, id, tool string, arguments map[string]any) Call {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	call := Call{ID: id, Tool: tool, Start: time.Now()}
	result, err := session.CallTool(ctx, &mcp.CallToolParams{
		Meta: mcp.Meta{demo.CallIDKey: id}, Name: tool, Arguments: arguments,
	})
	call.Took = time.Since(call.Start)
	if err != nil {
		call.Err = err
		return call
	}
	call.IsError = result.IsError
	if len(result.Content) > 0 {
		if text, ok := result.Content[0].(*mcp.TextContent); ok {
			call.Text = text.Text
		}
	}
	call.Via, _ = result.Meta["holdfast/via"].(string)
	_, call.Degraded = result.Meta["holdfast/degraded"]
	if data, ok := result.Meta["holdfast/error"].(map[string]any); ok {
		call.Outcome, _ = data["outcome"].(string)
	}
	return call
}

// InFlight is the number of calls sent and not answered.
func (l *Load) InFlight() int { return int(l.inFlight.Load()) }

// Calls answered so far.
func (l *Load) Calls() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Call(nil), l.calls...)
}

// Since are the answered calls that were due after a moment.
func (l *Load) Since(at time.Time) []Call {
	var out []Call
	for _, c := range l.Calls() {
		if c.Start.After(at) {
			out = append(out, c)
		}
	}
	return out
}

// Stop ends the load, waits for the answers under way and returns all calls.
func (l *Load) Stop() []Call {
	l.stop()
	<-l.done
	return l.Calls()
}

// Fault makes a demo server fail.
func (b *Bed) Fault(name string, f demo.Faults) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := demo.PutFaults(ctx, b.control(name), f); err != nil {
		b.t.Fatal(err)
	}
}

// Executions that a demo server has journalled.
func (b *Bed) Executions(name string) []demo.Execution {
	b.t.Helper()
	out, err := demo.ReadJournal(b.journal(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// RunsByCall counts, for each call id, how often any server executed it.
func (b *Bed) RunsByCall() map[string]int {
	b.t.Helper()
	var paths []string
	for _, server := range b.servers {
		paths = append(paths, b.journal(server.Name))
	}
	out, err := demo.CountByCall(paths...)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}
