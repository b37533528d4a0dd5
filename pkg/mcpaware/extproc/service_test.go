package extproc

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func TestProcessRefusesUnknownPoints(t *testing.T) {
	t.Parallel()
	for point, words := range map[string]string{"": "0 times", "middle": `"middle"`} {
		t.Run("point "+point, func(t *testing.T) {
			t.Parallel()
			inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
				err := e.open(point).end()
				if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), words) {
					t.Errorf("the stream ended with %v", err)
				}
			})
		})
	}
}

func TestProcessWithoutPolicies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &envoy{t: t, service: New(Options{Table: func() *decide.Table { return nil }})}
		defer e.serve()()
		if err := e.open(names.PointEdge).end(); status.Code(err) != codes.Unavailable {
			t.Errorf("edge point: the stream ended with %v", err)
		}
		// A try under way while the policies are gone is judged all the same.
		x := e.open(names.PointAttempt)
		defer x.hangUp()
		x.say(tryHeaders(t, "POST", getOrder(nil)))
		x.say(responseHeaders(false, jsonHeaders...))
		got := x.say(responseBody(brokenResult, true))
		want := "headers :status=424 x-holdfast-region=asia-south1 x-holdfast-verdict=tool_failed;200;mcp x-holdfast-via=" + mumbai
		if len(got) != 2 || got[0] != want {
			t.Errorf("attempt point: %q, want %q", got, want)
		}
	})
}

func TestProcessSurvivesFaults(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		e := &envoy{t: t, service: New(Options{
			Table:  func() *decide.Table { panic("a fault") },
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})}
		defer e.serve()()
		if err := e.open(names.PointEdge).end(); status.Code(err) != codes.Internal {
			t.Errorf("the stream ended with %v", err)
		}
		if !strings.Contains(log.String(), `fault="a fault"`) {
			t.Errorf("log: %s", log.String())
		}
	})
}

func TestStreamsAreCountedAndEnd(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		edge, attempt := e.open(names.PointEdge), e.open(names.PointAttempt)
		edge.say(requestHeaders(false, postHeaders...))
		attempt.say(tryHeaders(t, "POST", getOrder(nil)))
		// The answer is held, its deadline is running.
		attempt.say(responseHeaders(false, jsonHeaders...))
		if n := e.service.Streams(); n != 2 {
			t.Errorf("%d streams, want 2", n)
		}
		edge.hangUp()
		attempt.hangUp()
		if n := e.service.Streams(); n != 0 {
			t.Errorf("%d streams after Envoy hung up, want 0", n)
		}
	})
}

func TestEndpointIsJudgedOverManyTries(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		want := failedAs("424", "tool_failed;200;mcp")
		for i, tool := range []string{"a", "b", "a", "b", "a", "b", "a"} {
			if i >= 5 {
				// Two tools, three failures each.
				want = failedAs("503", "endpoint_failed;200;mcp")
			}
			x := e.open(names.PointAttempt)
			x.say(tryHeaders(t, "POST", getOrder(func(c *policyv1.CallContext) { c.Tool = tool })))
			x.say(responseHeaders(false, jsonHeaders...))
			if got := x.say(responseBody(brokenResult, true)); len(got) != 2 || got[0] != want {
				t.Errorf("failure %d: %q, want %q", i, got, want)
			}
		}
	})
}

func TestEndpointNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, address, locality, server string
		want                            string
	}{
		{"known", delhi, `region: "x"`, "orders", "headers x-holdfast-region=asia-south2 x-holdfast-via=standby-delhi"},
		{"unknown address", "127.0.0.1:9", `region: "pune"`, "orders", "headers x-holdfast-region=pune x-holdfast-via=127.0.0.1:9"},
		{"unknown server", mumbai, ``, "stock", "headers x-holdfast-via=" + mumbai},
		{"hostile address", "a\r\nb", `region: "a\"b"`, "orders", "headers"},
		{"zone only", "127.0.0.1:9", `zone: "a"`, "orders", "headers x-holdfast-via=127.0.0.1:9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
				x := e.open(names.PointAttempt)
				defer x.hangUp()
				req := tryHeaders(t, "POST", getOrder(func(c *policyv1.CallContext) { c.Server = tt.server }))
				setPlace(req, map[string]any{"upstream.address": tt.address, "upstream.locality": tt.locality})
				x.say(req)
				if got := x.say(responseHeaders(true, ":status: 307")); len(got) != 1 || got[0] != tt.want {
					t.Errorf("%q, want %q", got, tt.want)
				}
			})
		})
	}
}
