package extproc

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// tested is shopmax with an operator's word on answers.
func tested() *policyv1.RoutePolicy {
	p := shopmax()
	p.Servers[0].Regions = []string{"asia-south1", "asia-south2"}
	p.Rules[0].FailWhen = []*policyv1.AnswerMatch{
		{Status: []uint32{404}, Message: "no such table"},
		{Status: []uint32{410}},
		{Pointer: "/result/structuredContent/state", In: []string{`"DOWN"`}},
		{Pointer: "/error/code", In: []string{"-32602"}, Message: "schema.*moved"},
	}
	p.Rules[0].OkWhen = []*policyv1.AnswerMatch{
		{Pointer: "/error/code", In: []string{"-32001"}},
		{Status: []uint32{503, 408}},
	}
	return p
}

// TestAnswerTests: the operator's word on an answer beats the rules of MCP, both
// ways, for JSON, events and bare statuses; where there is none, the rules hold.
func TestAnswerTests(t *testing.T) {
	t.Parallel()
	const down = `{"jsonrpc":"2.0","id":7,"result":{"structuredContent":{"state":"DOWN"},"content":[]}}`
	json := func(status, body string) []string { return []string{status, "application/json", body} }
	for name, test := range map[string]struct {
		answer  []string
		verdict string
	}{
		"a value says failed":               {json("200", down), "tool_failed;200;mcp"},
		"the same as an event":              {[]string{"200", "text/event-stream", event(down)}, "tool_failed;200;mcp"},
		"another value":                     {json("200", strings.Replace(down, "DOWN", "UP", 1)), ""},
		"code and text say failed":          {json("200", strings.Replace(refusal, "no such tool", "the schema has moved", 1)), "tool_failed;200;mcp"},
		"the code alone does not":           {json("200", refusal), ""},
		"a code is an answer":               {json("200", strings.Replace(brokenResult, "-32603", "-32001", 1)), ""},
		"another code is not":               {json("200", brokenResult), "tool_failed;200;mcp"},
		"a status, no body to read":         {[]string{"410", "text/html", "gone"}, "tool_failed;410;raw"},
		"a status and a text":               {json("404", `{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"no such table: orders"}}`), "tool_failed;404;mcp"},
		"the status without the text":       {json("404", `{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"no such page"}}`), ""},
		"a status, unreadable":              {json("404", `no such table`), "caller_fault;404;raw"},
		"a 5xx is an answer":                {[]string{"503", "text/html", "closed on sundays"}, "caller_fault;503;raw"},
		"a 5xx is an answer, some JSON":     {json("503", `{"closed":true}`), "caller_fault;503;raw"},
		"another 5xx is not":                {[]string{"502", "text/html", "bad gateway"}, "endpoint_failed;502;raw"},
		"408 is an answer where they say":   {[]string{"408", "text/html", ""}, "caller_fault;408;raw"},
		"401 is an answer":                  {[]string{"401", "text/html", ""}, ""},
		"403 is an answer":                  {[]string{"403", "text/html", ""}, "caller_fault;403;raw"},
		"429 is neither, and kept as it is": {[]string{"429", "text/html", ""}, "busy;429;raw"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, tested(), func(t *testing.T, e *envoy) {
				got := e.try(t, "tools[0]", test.answer)
				verdict := ""
				if _, rest, found := strings.Cut(got, names.HeaderVerdict+"="); found {
					verdict, _, _ = strings.Cut(rest, " ")
				}
				if verdict != test.verdict {
					t.Errorf("verdict %q in %q, want %q", verdict, got, test.verdict)
				}
			})
		})
	}
	t.Run("408 is the tool's failure where nobody says otherwise", func(t *testing.T) {
		t.Parallel()
		inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
			if got := e.try(t, "", []string{"408", "text/html", ""}); !strings.Contains(got, ":status=424") || !strings.Contains(got, "tool_failed;408;raw") {
				t.Error(got)
			}
		})
	})
}

// try is one try of get_order in Mumbai that is answered by status, media type and
// body; it returns what the headers' reply says.
func (e *envoy) try(t *testing.T, rule string, answer []string) string {
	t.Helper()
	x := e.open(names.PointAttempt)
	defer x.hangUp()
	x.say(tryHeaders(t, "POST", getOrder(func(c *policyv1.CallContext) { c.Rule = rule })))
	got := x.say(responseHeaders(answer[2] == "", ":status: "+answer[0], "content-type: "+answer[1]))
	if len(got) == 0 {
		got = x.say(responseBody(answer[2], true))
	}
	if len(got) == 0 {
		t.Fatalf("no reply to %v", answer)
	}
	return got[0]
}

const callGetOrder = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get_order","arguments":{}}}`

// route sends a call through the edge point and returns the subset that Envoy is told
// ("avoid=orders:asia-south1"), or the answer that it gets at once.
func (e *envoy) route(t *testing.T, body string, more ...string) (x *exchange, said string) {
	t.Helper()
	x = e.open(names.PointEdge)
	lines := append([]string{":method: POST", ":path: /mcp", "content-type: application/json", "accept: application/json, text/event-stream", "content-length: 1"}, more...)
	x.ask(requestHeaders(false, lines...))
	reply := x.ask(requestBody(body))
	if immediate := reply.GetImmediateResponse(); immediate != nil {
		return x, string(immediate.GetBody())
	}
	lb := reply.GetDynamicMetadata().GetFields()[names.LBNamespace].GetStructValue()
	if lb == nil {
		return x, ""
	}
	return x, lbWords(lb)
}

// lbWords are the load balancer's metadata, those of a fallback list one after the other.
func lbWords(m *structpb.Struct) (said string) {
	for key, value := range m.GetFields() {
		if list := value.GetListValue().GetValues(); list != nil {
			var all []string
			for _, one := range list {
				all = append(all, lbWords(one.GetStructValue()))
			}
			return strings.Join(all, " then ")
		}
		said += key + "=" + value.GetStringValue()
	}
	return cmp.Or(said, "anywhere")
}

// TestSteering: calls of a tool that is broken in a region are told to avoid it, and
// nothing else is; a trial goes there, and what becomes of it decides.
func TestSteering(t *testing.T) {
	t.Parallel()
	inBubble(t, tested(), func(t *testing.T, e *envoy) {
		breakers := e.service.opts.Breakers
		expect := func(what, body, want string, more ...string) {
			t.Helper()
			x, said := e.route(t, body, more...)
			x.hangUp()
			if !strings.Contains(said, want) || (want == "") != (said == "") {
				t.Errorf("%s: %q, want %q", what, said, want)
			}
		}
		expect("all is well", callGetOrder, "")
		// A server with one tool would be given to Envoy as a whole.
		e.service.opts.Window.Observe(outcome.Call{
			Server: "orders", Endpoint: mumbai, Region: "asia-south1", Method: "tools/call", Tool: "list_orders",
		}, outcome.Succeeded)
		for range breaker.DefaultFailures {
			e.try(t, "", []string{"200", "application/json", brokenResult})
		}
		expect("broken in Mumbai", callGetOrder, "avoid=orders:asia-south1")
		expect("another tool", strings.Replace(callGetOrder, "get_order", "list_orders", 1), "")
		expect("a list", `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`, "")
		expect("a call of a session", callGetOrder, "", "mcp-session-id: s")

		time.Sleep(7 * time.Second)
		trial, said := e.route(t, callGetOrder)
		if said != "" {
			t.Errorf("the trial is told %q", said)
		}
		expect("beside a trial", callGetOrder, "avoid=orders:asia-south1")
		trial.ask(answered(1, false, ":status: 200", names.HeaderRegion+": asia-south2"))
		expect("the trial told nothing: the next call tries", callGetOrder, "")
		for range 3 {
			trial, _ = e.route(t, callGetOrder)
			trial.ask(answered(1, false, ":status: 200", names.HeaderRegion+": asia-south1"))
		}
		expect("three good trials", callGetOrder, "")
		if !breakers.Quiet() {
			t.Errorf("not closed: %v", breakers.List())
		}
	})
}

// TestBrokenEverywhere: with the tool broken in every region nobody is asked, and the
// answer says when to come back.
func TestBrokenEverywhere(t *testing.T) {
	t.Parallel()
	inBubble(t, tested(), func(t *testing.T, e *envoy) {
		for _, region := range []string{"asia-south1", "asia-south2"} {
			e.service.opts.Breakers.Failed(breaker.Key{Server: "orders", Tool: "get_order", Region: region}, breaker.Settings{},
				func(time.Time) outcome.Tally { return outcome.Tally{Failed: 20, Row: 20, Confirmed: true} })
		}
		x, said := e.route(t, callGetOrder)
		x.hangUp()
		if !strings.Contains(said, "dependency_failed") || !strings.Contains(said, `"id":7`) || !strings.Contains(said, `"retryAfterMs":`) {
			t.Error(said)
		}
	})
}

// TestBusy: who is told to wait goes elsewhere for that time; others are not affected,
// and no breaker opens.
func TestBusy(t *testing.T) {
	t.Parallel()
	inBubble(t, tested(), func(t *testing.T, e *envoy) {
		x := e.open(names.PointAttempt)
		x.say(tryHeaders(t, "POST", getOrder(nil)))
		x.say(responseHeaders(true, ":status: 429", "retry-after: 3"))
		x.hangUp()
		x, said := e.route(t, callGetOrder)
		x.hangUp()
		if said != "avoid=orders:asia-south1" {
			t.Errorf("the caller that was told to wait: %q", said)
		}
		x, said = e.route(t, callGetOrder, "authorization: Bearer other")
		x.hangUp()
		if said != "" {
			t.Errorf("another caller: %q", said)
		}
		if list := e.service.opts.Breakers.List(); len(list) != 0 {
			t.Errorf("breakers %v", list)
		}
		time.Sleep(3 * time.Second)
		if x, said = e.route(t, callGetOrder); said != "" {
			t.Errorf("after the wait: %q", said)
		}
		x.hangUp()
	})
}

// TestWitness: calls that fail in Mumbai and succeed in Delhi open Mumbai's breaker,
// though one caller makes them all and the server has another. One such call says nothing about the others.
func TestWitness(t *testing.T) {
	t.Parallel()
	inBubble(t, tested(), func(t *testing.T, e *envoy) {
		e.service.opts.Window.Observe(outcome.Call{
			Server: "orders", Endpoint: mumbai, Region: "asia-south1", Method: "tools/call", Tool: "list_orders", Principal: 99,
		}, outcome.Succeeded)
		for range breaker.DefaultFailures - 1 {
			e.try(t, "", []string{"200", "application/json", brokenResult})
		}
		for n := range breaker.DefaultFailures {
			if list := e.service.opts.Breakers.List(); len(list) != 0 {
				t.Fatalf("with %d witnesses one caller alone has opened %v", n, list)
			}
			e.moveOn(t)
		}
		list := e.service.opts.Breakers.List()
		if len(list) != 1 || list[0].GetRegion() != "asia-south1" || list[0].GetTool() != "get_order" {
			t.Errorf("breakers %v", list)
		}
	})
}

// moveOn is a call that fails in Mumbai and then succeeds in Delhi.
func (e *envoy) moveOn(t *testing.T) {
	t.Helper()
	x := e.open(names.PointAttempt)
	x.say(tryHeaders(t, "POST", getOrder(nil)))
	x.say(responseHeaders(false, jsonHeaders...))
	left := x.ask(responseBody(brokenResult, true)).GetDynamicMetadata()
	x.hangUp()
	word := left.GetFields()[names.MetadataNamespace].GetStructValue().GetFields()[names.MetadataFailed].GetStringValue()
	if word != mumbai+" asia-south1" {
		t.Fatalf("the failed try leaves %q", word)
	}
	x = e.open(names.PointAttempt)
	defer x.hangUp()
	next := tryHeaders(t, "POST", getOrder(nil))
	setPlace(next, map[string]any{"upstream.address": delhi, "upstream.request_attempt_count": 2})
	setAttribute(next, names.AttributeFailed, word)
	x.say(next)
	x.say(responseHeaders(false, jsonHeaders...))
	if reply := x.ask(responseBody(goodResult, true)); reply.GetDynamicMetadata() != nil {
		t.Errorf("a good try leaves %v", reply.GetDynamicMetadata())
	}
}
