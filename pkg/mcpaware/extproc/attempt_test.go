package extproc

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// step is what Envoy sends next (or time that passes) and what it hears then.
type step struct {
	send  *extprocv3.ProcessingRequest
	after time.Duration
	want  []string
}

// Replies as describe writes them.
const (
	stampedMumbai = " x-holdfast-region=asia-south1 x-holdfast-via=primary-mumbai"
	passedOn      = "headers" + stampedMumbai
)

func failedAs(status, verdict string) string {
	return "headers :status=" + status + stampedHeaders(verdict)
}

func stampedHeaders(verdict string) string {
	return " x-holdfast-region=asia-south1 x-holdfast-verdict=" + verdict + " x-holdfast-via=primary-mumbai"
}

// getOrder is a safe call with id 7.
func getOrder(change func(*policyv1.CallContext)) *policyv1.CallContext {
	call := &policyv1.CallContext{
		Policy: "shopmax", Server: "orders", Method: "tools/call", Tool: "get_order", Id: []byte("7"), Safe: true,
		PerTryTimeout: durationpb.New(800 * time.Millisecond), Revision: "2026-07-28",
	}
	if change != nil {
		change(call)
	}
	return call
}

func tryHeaders(t *testing.T, verb string, call *policyv1.CallContext) *extprocv3.ProcessingRequest {
	t.Helper()
	raw, err := proto.Marshal(call)
	if err != nil {
		t.Fatal(err)
	}
	encoded := base64.RawURLEncoding.EncodeToString(raw)
	req := requestHeaders(verb == "GET", ":method: "+verb, ":path: /mcp", "x-request-id: r-1",
		"x-holdfast-route: shopmax.get", "x-holdfast-more: x")
	req.ProtocolConfig = &extprocv3.ProtocolConfiguration{ResponseBodyMode: filterv3.ProcessingMode_FULL_DUPLEX_STREAMED}
	req.Attributes = attributeMap(map[string]any{
		"upstream.address": mumbai, "upstream.locality": `region: "asia-south1" `,
		"upstream.request_attempt_count": 1, "xds.cluster_name": "orders",
	})
	setAttribute(req, names.AttributeCall, encoded)
	return req
}

// setPlace says where Envoy sends the try.
func setPlace(req *extprocv3.ProcessingRequest, attributes map[string]any) {
	call := req.GetAttributes()[attributesKey].GetFields()[names.AttributeCall].GetStringValue()
	req.Attributes = attributeMap(attributes)
	setAttribute(req, names.AttributeCall, call)
}

// setAttribute adds a text to the attributes of a message.
func setAttribute(req *extprocv3.ProcessingRequest, name, value string) {
	req.GetAttributes()[attributesKey].GetFields()[name] = structpb.NewStringValue(value)
}

var (
	jsonHeaders  = []string{":status: 200", "content-type: application/json"}
	eventHeaders = []string{":status: 200", "content-type: text/event-stream"}
)

const (
	goodResult   = `{"jsonrpc":"2.0","id":7,"result":{"content":[]}}`
	goodStamped  = `{"jsonrpc":"2.0","id":7,"result":{"_meta":{"holdfast/via":"primary-mumbai"},"content":[]}}`
	brokenResult = `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"database is gone"}}`
	refusal      = `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"no such tool"}}`
	progress     = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`
	elicitation  = `{"jsonrpc":"2.0","id":99,"method":"elicitation/create","params":{}}`
)

func event(data string) string { return "event: message\ndata: " + data + "\n\n" }

type attemptTest struct {
	name  string
	verb  string
	call  func(*policyv1.CallContext)
	steps []step
	// then looks at what comes after the steps; nil for nothing.
	then func(*testing.T, *exchange)
}

func (tt *attemptTest) run(t *testing.T) {
	t.Helper()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		verb := tt.verb
		if verb == "" {
			verb = "POST"
		}
		x := e.open(names.PointAttempt)
		defer x.hangUp()
		got := x.say(tryHeaders(t, verb, getOrder(tt.call)))
		want := []string{"request -x-holdfast-more -x-holdfast-route"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("request headers: (-want +got)\n%s", diff)
		}
		for i, s := range tt.steps {
			if s.send != nil {
				got = x.say(s.send)
			} else {
				time.Sleep(s.after)
				got = x.heard()
			}
			if s.want == nil {
				s.want = []string{}
			}
			if diff := cmp.Diff(s.want, got); diff != "" {
				t.Fatalf("step %d: (-want +got)\n%s", i, diff)
			}
		}
		if tt.then != nil {
			tt.then(t, x)
		}
	})
}

func runAll(t *testing.T, tests []attemptTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t)
		})
	}
}

func TestAttemptPassesAtOnce(t *testing.T) {
	t.Parallel()
	noID := func(c *policyv1.CallContext) { c.Id, c.Method, c.Tool = nil, "notifications/initialized", "" }
	passed := []string{passedOn}
	runAll(t, []attemptTest{
		{name: "202", call: noID, steps: []step{{send: responseHeaders(true, ":status: 202"), want: passed}}},
		{name: "204", steps: []step{{send: responseHeaders(true, ":status: 204"), want: []string{failedAs("424", "tool_failed;204;raw")}}}},
		{name: "405 to a notification", call: noID, steps: []step{{send: responseHeaders(true, ":status: 405"), want: passed}}},
		{name: "307", steps: []step{{send: responseHeaders(true, ":status: 307", "location: /x"), want: passed}}},
		{name: "notification answered with JSON", call: noID, steps: []step{
			{send: responseHeaders(false, jsonHeaders...), want: passed},
			{send: responseBody(brokenResult, true), want: []string{"last " + brokenResult}},
		}},
		{name: "GET", verb: "GET", steps: []step{
			{send: responseHeaders(false, eventHeaders...), want: passed},
			{send: responseBody(": hello\n\n", false), want: []string{"body : hello\n\n"}},
		}},
		{name: "DELETE", verb: "DELETE", steps: []step{{send: responseHeaders(true, ":status: 200"), want: passed}}},
		{name: "foreign media type", steps: []step{
			{send: responseHeaders(false, ":status: 200", "content-type: text/html"), want: []string{failedAs("424", "tool_failed;200;raw")}},
			{send: responseBody("<p>", true), want: []string{"last <p>"}},
		}},
		{name: "compressed", steps: []step{
			{send: responseHeaders(false, append(jsonHeaders, "content-encoding: gzip")...), want: passed},
		}},
		{name: "announced too large", steps: []step{
			{send: responseHeaders(false, append(jsonHeaders, "content-length: 65537")...), want: passed},
			{send: responseBody("{", false), want: []string{"body {"}},
		}},
		{name: "headers of ours from the server", steps: []step{
			{
				send: responseHeaders(true, ":status: 307", "x-holdfast-region: mars", "x-holdfast-verdict: tool_failed;200;mcp", "x-holdfast-x: 1"),
				want: []string{"headers -x-holdfast-verdict -x-holdfast-x" + stampedMumbai},
			},
		}},
	})
}

func TestAttemptJudgesJSON(t *testing.T) {
	t.Parallel()
	runAll(t, []attemptTest{
		{name: "good, in pieces", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(goodResult[:10], false)},
			{send: responseBody(goodResult[10:], false)},
			{send: responseBody("", true), want: []string{passedOn, "last " + goodStamped}},
		}},
		{name: "good, length announced", steps: []step{
			{send: responseHeaders(false, append(jsonHeaders, "content-length: 48")...)},
			{send: responseBody(goodResult, false)},
			{send: responseBody("", true), want: []string{"headers content-length=90" + stampedMumbai, "last " + goodStamped}},
		}},
		{name: "good, with trailers", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(goodResult, false)},
			{send: responseTrailers(), want: []string{passedOn, "body " + goodStamped, "trailers"}},
		}},
		{name: "empty result stays empty", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(`{"jsonrpc":"2.0","id":7,"result":{ }}`, true), want: []string{passedOn, `last {"jsonrpc":"2.0","id":7,"result":{ }}`}},
		}},
		{name: "caller's mistake", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(refusal, true), want: []string{passedOn, "last " + refusal}},
		}},
		{name: "server's failure", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(brokenResult, true), want: []string{failedAs("424", "tool_failed;200;mcp"), "last " + brokenResult}},
		}},
		{name: "failure with id null", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{
				send: responseBody(`{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"x"}}`, true),
				want: []string{failedAs("424", "tool_failed;200;raw"), `last {"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"x"}}`},
			},
		}},
		{name: "another call's answer", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{
				send: responseBody(`{"jsonrpc":"2.0","id":8,"result":{}}`, true),
				want: []string{failedAs("424", "tool_failed;200;raw"), `last {"jsonrpc":"2.0","id":8,"result":{}}`},
			},
		}},
		{name: "no JSON", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody("oops", true), want: []string{failedAs("424", "tool_failed;200;raw"), "last oops"}},
		}},
		{name: "nothing", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody("", true), want: []string{failedAs("424", "tool_failed;200;raw"), "last "}},
		}},
		{name: "nothing at once", steps: []step{
			{send: responseHeaders(true, jsonHeaders...), want: []string{failedAs("424", "tool_failed;200;raw")}},
		}},
		{name: "grows too large", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(strings.Repeat(" ", 40<<10), false)},
			{send: responseBody(strings.Repeat(" ", 30<<10), false), want: []string{passedOn, "body " + strings.Repeat(" ", 70<<10)}},
			{send: responseBody(brokenResult, true), want: []string{"last " + brokenResult}},
		}},
	})
}

func TestAttemptJudgesServerErrors(t *testing.T) {
	t.Parallel()
	broken := []string{":status: 500", "content-type: application/json"}
	runAll(t, []attemptTest{
		{name: "empty 503", steps: []step{
			{send: responseHeaders(true, ":status: 503"), want: []string{"headers" + stampedHeaders("endpoint_failed;503;raw")}},
		}},
		{name: "502 in words", steps: []step{
			{send: responseHeaders(false, ":status: 502", "content-type: text/plain"), want: []string{"headers" + stampedHeaders("endpoint_failed;502;raw")}},
			{send: responseBody("bad gateway", true), want: []string{"last bad gateway"}},
		}},
		{name: "500 with an internal error", steps: []step{
			{send: responseHeaders(false, broken...)},
			{send: responseBody(brokenResult, true), want: []string{failedAs("424", "tool_failed;500;mcp"), "last " + brokenResult}},
		}},
		{name: "500 for the caller's mistake", steps: []step{
			{send: responseHeaders(false, broken...)},
			{send: responseBody(refusal, true), want: []string{failedAs("200", "caller_fault;500;mcp"), "last " + refusal}},
		}},
		{name: "500 that is no answer", steps: []step{
			{send: responseHeaders(false, broken...)},
			{send: responseBody(`{"error":"x"}`, true), want: []string{"headers" + stampedHeaders("endpoint_failed;500;raw"), `last {"error":"x"}`}},
		}},
		{name: "500 without end", steps: []step{
			{send: responseHeaders(false, broken...)},
			{send: responseBody(strings.Repeat(" ", 65<<10), false), want: []string{"headers" + stampedHeaders("endpoint_failed;500;raw"), "body " + strings.Repeat(" ", 65<<10)}},
		}},
		{name: "500 that stalls", steps: []step{
			{send: responseHeaders(false, broken...)},
			{after: 800 * time.Millisecond, want: []string{"headers" + stampedHeaders("endpoint_failed;500;raw")}},
		}},
	})
}

func TestAttemptDeadline(t *testing.T) {
	t.Parallel()
	timedOut := []string{failedAs("424", "timeout;200;raw")}
	runAll(t, []attemptTest{
		{name: "silence", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{after: 799 * time.Millisecond},
			{after: time.Millisecond, want: timedOut},
			{send: responseBody(goodResult, true), want: []string{"last " + goodResult}},
		}},
		{name: "half an answer", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{send: responseBody(goodResult[:20], false)},
			{after: 800 * time.Millisecond, want: append(timedOut[:1:1], "body "+goodResult[:20])},
		}},
		{name: "comments are no answer", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(": ping\n\n", false)},
			{after: 800 * time.Millisecond, want: append(timedOut[:1:1], "body : ping\n\n")},
		}},
		{name: "counted from the start of the try", steps: []step{
			{after: 500 * time.Millisecond},
			{send: responseHeaders(false, jsonHeaders...)},
			{after: 300 * time.Millisecond, want: timedOut},
		}},
		{name: "over before the headers", steps: []step{
			{after: time.Second},
			{send: responseHeaders(false, jsonHeaders...), want: timedOut},
		}},
		{name: "a notification buys time", steps: []step{
			{send: responseHeaders(false, eventHeaders...)},
			{send: responseBody(event(progress), false)},
			{after: 800 * time.Millisecond, want: []string{passedOn, "body " + event(progress)}},
			{send: responseBody(event(goodResult), true), want: []string{"last " + event(goodResult)}},
		}},
		{name: "in time", steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{after: 700 * time.Millisecond},
			{send: responseBody(refusal, true), want: []string{passedOn, "last " + refusal}},
		}},
		{name: "no limit", call: func(c *policyv1.CallContext) { c.PerTryTimeout = nil }, steps: []step{
			{send: responseHeaders(false, jsonHeaders...)},
			{after: time.Hour},
			{send: responseBody(refusal, true), want: []string{passedOn, "last " + refusal}},
		}},
	})
}

func TestAttemptWithoutCall(t *testing.T) {
	t.Parallel()
	for name, encoded := range map[string]string{"none": "", "too long": strings.Repeat("A", maxCallBytes+1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
				x := e.open(names.PointAttempt)
				defer x.hangUp()
				req := tryHeaders(t, "POST", nil)
				setAttribute(req, names.AttributeCall, encoded)
				x.say(req)
				want := []string{"headers x-holdfast-region=asia-south1 x-holdfast-via=" + mumbai}
				if diff := cmp.Diff(want, x.say(responseHeaders(false, jsonHeaders...))); diff != "" {
					t.Errorf("answer: (-want +got)\n%s", diff)
				}
			})
		})
	}
}
