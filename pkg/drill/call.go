package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/holdfast-mcp/holdfast/pkg/agents"
)

// Call is a tool call to make.
type Call struct {
	Tool      string
	Arguments map[string]any
	// Unsafe: it must not run twice.
	Unsafe bool
}

// ParseCall reads `get_order {"order_id": "ORD-7701"}`, or a tool's name alone.
func ParseCall(text string, unsafe bool) (Call, error) {
	tool, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	c := Call{Tool: tool, Arguments: map[string]any{}, Unsafe: unsafe}
	if tool == "" || strings.ContainsAny(tool, "{}\"") {
		return Call{}, fmt.Errorf("%q is not a tool's name and its arguments as JSON, such as get_order {\"order_id\":\"ORD-7701\"}", text)
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		if err := json.Unmarshal([]byte(rest), &c.Arguments); err != nil {
			return Call{}, fmt.Errorf("the arguments of %s are not a JSON object: %w", tool, err)
		}
	}
	return c, nil
}

// made is a call and what came of it.
type made struct {
	agents.Answer
	id   string
	call Call
	due  time.Time
}

// good: a server's own answer that is not an error.
func (m *made) good() bool {
	return m.Err == nil && m.Answer.Degraded == "" && m.Result != nil && !m.Result.IsError
}

// degraded: an answer that is of use, in the servers' place.
func (m *made) degraded() bool {
	return m.Err == nil && m.Answer.Degraded != "" && m.Result != nil && !m.Result.IsError
}

func (m *made) failed() bool { return !m.good() && !m.degraded() }

func (m *made) took() time.Duration { return m.Ended.Sub(m.due) }

// Classes of failures for which Holdfast has no word of its own.
const (
	classServer = "server error"
	classNone   = "no answer"
)

// class of a failed call.
func (m *made) class() string {
	switch {
	case m.Code != "":
		return m.Code
	case m.Err == nil, m.Via != "":
		return classServer
	default:
		return classNone
	}
}

// said is what the caller of a failed call was told.
func (m *made) said() string {
	if m.Err != nil {
		return m.Err.Error()
	}
	return m.Text()
}

// one call in unsafeEvery is an unsafe one, where there are both kinds.
const unsafeEvery = 10

// pick is the nth call.
func (o *Options) pick(n int) Call {
	var safe, unsafe []Call
	for _, c := range o.Calls {
		if c.Unsafe {
			unsafe = append(unsafe, c)
		} else {
			safe = append(safe, c)
		}
	}
	if len(safe) == 0 || (len(unsafe) > 0 && n%unsafeEvery == unsafeEvery-1) {
		return unsafe[n/unsafeEvery%len(unsafe)]
	}
	return safe[n%len(safe)]
}

func (o *Options) load(run string) *agents.Load[*made] {
	id := func(n int) string { return fmt.Sprintf("%s-%d", run, n) }
	return &agents.Load[*made]{
		Client: o.Client, Callers: o.Callers, Rate: o.Rate,
		Call: func(ctx context.Context, c *agents.Caller, n int, due time.Time) *made {
			m := &made{id: id(n), call: o.pick(n), due: due}
			params := &mcp.CallToolParams{Name: m.call.Tool, Arguments: m.call.Arguments}
			if o.CallIDKey != "" {
				params.Meta = mcp.Meta{o.CallIDKey: m.id}
			}
			m.Answer = c.Call(ctx, params)
			return m
		},
		Missed: func(n int, due time.Time) *made {
			now := time.Now()
			return &made{id: id(n), call: o.pick(n), due: due, Answer: agents.Answer{Began: now, Ended: now, Err: agents.ErrOverrun, Outcome: "not_executed"}}
		},
	}
}

var errNoCalls = errors.New("a drill needs a tool to call")
