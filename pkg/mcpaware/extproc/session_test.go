package extproc

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

const (
	openBody  = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`
	levelBody = `{"jsonrpc":"2.0","id":3,"method":"logging/setLevel","params":{"level":"info"}}`
	bareLoss  = "immediate 404\n"
	maxAge    = time.Hour
)

// sessionEnvoy is an envoy whose servers keep sessions.
type sessionEnvoy struct {
	*envoy
	ring  atomic.Pointer[session.Keyring]
	store *session.Memory
	// direct answers what the processor itself asks of an endpoint.
	direct func(*http.Request) (*http.Response, error)
}

func (s *sessionEnvoy) RoundTrip(r *http.Request) (*http.Response, error) { return s.direct(r) }

func ringOf(t *testing.T, ids ...uint32) *session.Keyring {
	t.Helper()
	keys := &sessionv1.Keys{}
	for _, id := range ids {
		keys.Keys = append(keys.Keys, &sessionv1.Key{Id: id, Secret: bytes.Repeat([]byte{byte(id)}, session.KeyBytes), NotBefore: timestamppb.New(time.Unix(0, 0))})
	}
	ring, err := session.NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// inSessionBubble is inBubble with sessions, which are opened again where that is wanted.
func inSessionBubble(t *testing.T, reinitialize bool, test func(t *testing.T, s *sessionEnvoy)) {
	t.Helper()
	policy := shopmax()
	server := policy.GetServers()[0]
	server.SessionMaxAge, server.SessionPrincipalHeader, server.ReinitializeSessions = durationpb.New(maxAge), "authorization", reinitialize
	table := compile(t, policy)
	synctest.Test(t, func(t *testing.T) {
		store, err := session.NewMemory(100, maxAge)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		s := &sessionEnvoy{envoy: &envoy{t: t}, store: store}
		s.ring.Store(ringOf(t, 1))
		s.service = New(Options{
			Table: func() *decide.Table { return table }, Keyring: s.ring.Load, Reopener: session.NewReopener(store, s),
		})
		stop := s.serve()
		defer stop()
		test(t, s)
	})
}

// post sends a message up to where Envoy waits for the server; refused is what the client
// gets in its place, if anything.
func (s *sessionEnvoy) post(body string, lines ...string) (x *exchange, reply *extprocv3.ProcessingResponse) {
	s.t.Helper()
	x = s.open(names.PointEdge)
	x.ask(requestHeaders(false, append(append([]string{}, postHeaders...), lines...)...))
	return x, x.ask(requestBody(body))
}

func (s *sessionEnvoy) get(verb, id string, lines ...string) (x *exchange, reply *extprocv3.ProcessingResponse) {
	s.t.Helper()
	x = s.open(names.PointEdge)
	return x, x.ask(requestHeaders(true, append([]string{":method: " + verb, ":path: /mcp", "mcp-session-id: " + id}, lines...)...))
}

// opened makes a session of the server's id "up" in Mumbai and returns the client's id.
func (s *sessionEnvoy) opened(lines ...string) string {
	s.t.Helper()
	x, reply := s.post(openBody, lines...)
	defer x.hangUp()
	if reply.GetRequestBody() == nil {
		s.t.Fatalf("initialize: %v", reply)
	}
	given := x.ask(answered(1, false, ":status: 200", "mcp-session-id: up"))
	for _, h := range given.GetResponseHeaders().GetResponse().GetHeaderMutation().GetSetHeaders() {
		if h.GetHeader().GetKey() == headerSession {
			return string(h.GetHeader().GetRawValue())
		}
	}
	s.t.Fatalf("no id is given out: %v", describe(given))
	return ""
}

// TestEdgeSealsSessions: the client gets an id of its own, and its messages carry the
// server's again, to the endpoint that gave it; whatever comes back has the client's.
func TestEdgeSealsSessions(t *testing.T) {
	t.Parallel()
	inSessionBubble(t, false, func(t *testing.T, s *sessionEnvoy) {
		id := s.opened()
		if !strings.HasPrefix(id, "hf1.") || strings.Contains(id, "up") && len(id) < 10 {
			t.Fatalf("the client's id is %q", id)
		}
		at := base64.StdEncoding.EncodeToString([]byte(mumbai))
		x, reply := s.post(callBody, "mcp-session-id: "+id)
		want := fmt.Sprintf("request body mcp-session-id=up %s=%s", names.HeaderEndpointOnly, at)
		if got := describe(reply); !strings.HasPrefix(got, want) {
			t.Errorf("a call: %q, want %q", got, want)
		}
		if got := describe(x.ask(answered(1, false, ":status: 200", "mcp-session-id: up"))); !strings.Contains(got, "mcp-session-id="+id) {
			t.Errorf("its answer: %q", got)
		}
		x.hangUp()
		x, reply = s.get("GET", id)
		if got := describe(reply); !strings.Contains(got, "mcp-session-id=up") || !strings.Contains(got, "shopmax.stream") {
			t.Errorf("the event stream: %q", got)
		}
		x.hangUp()
	})
}

// TestEdgeOpensSessionsAfresh: an initialize in the name of another session is one of its own, and no
// server sees the other's id.
func TestEdgeOpensSessionsAfresh(t *testing.T) {
	t.Parallel()
	inSessionBubble(t, false, func(t *testing.T, s *sessionEnvoy) {
		before := s.opened()
		for _, id := range []string{before, "made up"} {
			x, reply := s.post(openBody, "mcp-session-id: "+id)
			if got := describe(reply); !strings.Contains(got, " -"+headerSession) || strings.Contains(got, headerSession+"=") {
				t.Errorf("initialize in %q: %q", id, got)
			}
			x.hangUp()
			if after := s.opened("mcp-session-id: " + id); after == id {
				t.Errorf("initialize in %q gives it again", id)
			}
		}
	})
}

// TestEdgeKeepsSessionsFromOtherServers: a call that a rule sends to another server than its session's
// tells that one nothing of the session.
func TestEdgeKeepsSessionsFromOtherServers(t *testing.T) {
	t.Parallel()
	policy := shopmax()
	policy.Servers = append(policy.Servers, &policyv1.Server{Name: "reports"})
	table := compile(t, policy)
	synctest.Test(t, func(t *testing.T) {
		s := &sessionEnvoy{envoy: &envoy{t: t}}
		s.ring.Store(ringOf(t, 1))
		s.service = New(Options{Table: func() *decide.Table { return table }, Keyring: s.ring.Load})
		stop := s.serve()
		defer stop()
		theirs := session.New()
		theirs.Server, theirs.Endpoint, theirs.UpstreamID, theirs.IssuedAt = "reports", delhi, "theirs", time.Now()
		id, err := s.ring.Load().Seal(theirs, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		x, reply := s.post(callBody, "mcp-session-id: "+id)
		defer x.hangUp()
		if got := describe(reply); !strings.Contains(got, " -"+headerSession) || strings.Contains(got, headerSession+"=") || strings.Contains(got, names.HeaderEndpointOnly) {
			t.Errorf("a call to another server: %q", got)
		}
	})
}

// TestEdgeSessionsEnd: by age, by another caller, by the key's end and by the endpoint's,
// with a bare 404 each time.
func TestEdgeSessionsEnd(t *testing.T) {
	t.Parallel()
	alice := "authorization: Bearer alice"
	for name, test := range map[string]func(t *testing.T, s *sessionEnvoy, id string) string{
		"another caller": func(_ *testing.T, s *sessionEnvoy, id string) string {
			x, reply := s.post(callBody, "mcp-session-id: "+id, "authorization: Bearer mallory")
			defer x.hangUp()
			return describe(reply)
		},
		"too old": func(t *testing.T, s *sessionEnvoy, id string) string {
			time.Sleep(maxAge)
			x, reply := s.get("GET", id, alice)
			if got := describe(reply); !strings.HasPrefix(got, "request ") {
				t.Errorf("at its last moment: %q", got)
			}
			x.hangUp()
			time.Sleep(time.Second)
			x, reply = s.get("GET", id, alice)
			defer x.hangUp()
			return describe(reply)
		},
		"rotated out": func(t *testing.T, s *sessionEnvoy, id string) string {
			s.ring.Store(ringOf(t, 1, 2))
			x, reply := s.get("DELETE", id, alice)
			if got := describe(reply); !strings.HasPrefix(got, "request ") {
				t.Errorf("with both keys: %q", got)
			}
			x.hangUp()
			s.ring.Store(ringOf(t, 2))
			x, reply = s.get("DELETE", id, alice)
			defer x.hangUp()
			return describe(reply)
		},
		"its endpoint is down": func(_ *testing.T, s *sessionEnvoy, id string) string {
			x, _ := s.post(callBody, "mcp-session-id: "+id, alice)
			defer x.hangUp()
			return describe(x.ask(localReply("503", 2, "no_healthy_upstream", 1)))
		},
		"its server forgot it": func(_ *testing.T, s *sessionEnvoy, id string) string {
			x, _ := s.post(callBody, "mcp-session-id: "+id, alice)
			defer x.hangUp()
			return describe(x.ask(answered(1, false, ":status: 404", "content-type: application/json")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inSessionBubble(t, false, func(t *testing.T, s *sessionEnvoy) {
				if got := test(t, s, s.opened(alice)); got != bareLoss {
					t.Errorf("%q, want a bare 404", got)
				}
			})
		})
	}
}

// TestEdgeEndedSessionsStayEnded: what its client has ended nobody opens again.
func TestEdgeEndedSessionsStayEnded(t *testing.T) {
	t.Parallel()
	inSessionBubble(t, true, func(t *testing.T, s *sessionEnvoy) {
		id := s.opened()
		x, _ := s.get("DELETE", id)
		x.ask(answered(1, true, ":status: 405"))
		x.hangUp()
		x, reply := s.post(callBody, "mcp-session-id: "+id)
		if got := describe(reply); got == bareLoss {
			t.Error("a DELETE that the server does not know has ended the session")
		}
		// The endpoint is down: that is no loss where sessions are opened again.
		if got := describe(x.ask(localReply("503", 2, "no_healthy_upstream", 1))); strings.HasPrefix(got, "immediate 404") {
			t.Errorf("no endpoint: %q", got)
		}
		x.hangUp()
		x, _ = s.get("DELETE", id)
		x.ask(answered(1, true, ":status: 204"))
		x.hangUp()
		x, reply = s.post(callBody, "mcp-session-id: "+id)
		defer x.hangUp()
		if got := describe(reply); got != bareLoss {
			t.Errorf("after DELETE: %q", got)
		}
	})
}

// TestEdgeEndsStreamsOfMovedSessions: the endpoint that has the session now does not know
// the stream that is resumed. Its refusal would end some clients' connections.
func TestEdgeEndsStreamsOfMovedSessions(t *testing.T) {
	t.Parallel()
	inSessionBubble(t, true, func(t *testing.T, s *sessionEnvoy) {
		id := s.opened()
		from := func(address, status string) *extprocv3.ProcessingRequest {
			req := answered(1, false, ":status: "+status, "content-type: text/plain")
			req.Attributes = attributeMap(map[string]any{"response.code_details": "via_upstream", "upstream.address": address})
			return req
		}
		for _, c := range []struct {
			name, address, status string
			last, ended           bool
		}{
			{name: "elsewhere", address: delhi, status: "400", last: true, ended: true},
			{name: "elsewhere, taken", address: delhi, status: "409", last: true, ended: true},
			{name: "elsewhere, served", address: delhi, status: "200", last: true},
			{name: "elsewhere, no streams", address: delhi, status: "405", last: true},
			{name: "elsewhere, a new stream", address: delhi, status: "400"},
			{name: "at home", address: mumbai, status: "400", last: true},
		} {
			lines := []string{}
			if c.last {
				lines = append(lines, "last-event-id: 3_7")
			}
			x, _ := s.get("GET", id, lines...)
			got := describe(x.ask(from(c.address, c.status)))
			if ended := strings.HasPrefix(got, "immediate 200") && strings.Contains(got, "content-type=text/event-stream") && strings.Contains(got, "\n: "); ended != c.ended {
				t.Errorf("%s: %q", c.name, got)
			}
			x.hangUp()
		}
	})
}

// inDelhi is a try of a call of the session that Envoy sent to Delhi.
func (s *sessionEnvoy) inDelhi(t *testing.T, id string, attempt int, change func(*policyv1.CallContext)) *extprocv3.ProcessingRequest {
	t.Helper()
	x, reply := s.post(callBody, "mcp-session-id: "+id)
	x.hangUp()
	call, err := toldCall(reply)
	if err != nil || call.GetSession() == nil {
		t.Fatalf("%v, %v", call, err)
	}
	if change != nil {
		change(call)
	}
	req := tryHeaders(t, "POST", call)
	setPlace(req, map[string]any{
		"upstream.address": delhi, "upstream.locality": `region: "asia-south2" `, "upstream.request_attempt_count": attempt,
	})
	return req
}

func reopened(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	answer := &http.Response{StatusCode: http.StatusAccepted, Header: http.Header{}, Body: http.NoBody, Request: r}
	if strings.Contains(string(body), `"initialize"`) {
		answer.StatusCode = http.StatusOK
		answer.Header.Set("Content-Type", "application/json")
		answer.Header.Set("Mcp-Session-Id", "new")
		answer.Body = io.NopCloser(strings.NewReader(`{"jsonrpc":"2.0","id":"holdfast-initialize","result":{"protocolVersion":"2025-11-25","capabilities":{}}}`))
	}
	return answer, nil
}

// TestAttemptOpensSessionsAgain: a call that lands where its session is not goes on in a
// new one; a server that takes its time gets five seconds, and one that takes no
// connection is Envoy's to pass over.
func TestAttemptOpensSessionsAgain(t *testing.T) {
	t.Parallel()
	slow := func(d time.Duration) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(d):
				return reopened(r)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
	}
	const lost, later = "immediate 404 x-holdfast-session=lost\n", "immediate 200 content-type=application/json"
	for _, c := range []struct {
		name   string
		direct func(*http.Request) (*http.Response, error)
		wait   time.Duration
		want   string
	}{
		{name: "at once", direct: reopened, want: "request -x-holdfast-more -x-holdfast-route mcp-session-id=new"},
		{name: "slowly", direct: slow(500 * time.Millisecond), wait: time.Second, want: "request -x-holdfast-more -x-holdfast-route mcp-session-id=new"},
		{name: "too slowly", direct: slow(time.Hour), wait: session.ReopenTimeout, want: later},
		{name: "not now", direct: func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}, want: later},
		{name: "not at all", direct: func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}, want: lost},
		{name: "no connection", direct: func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
		}, want: "request -x-holdfast-more -x-holdfast-route"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inSessionBubble(t, true, func(t *testing.T, s *sessionEnvoy) {
				s.direct = c.direct
				id := s.opened()
				try := s.inDelhi(t, id, 2, nil)
				x := s.open(names.PointAttempt)
				defer x.hangUp()
				began := time.Now()
				asks := x.ask(try)
				if asks.GetOverrideMessageTimeout().AsDuration() <= session.ReopenTimeout {
					t.Fatalf("Envoy is asked for no time: %v", asks)
				}
				got := <-x.replies
				same := describe(got) == c.want || c.want == later && strings.HasPrefix(describe(got), later) && strings.Contains(describe(got), `"outcome":"not_executed"`)
				if !same || time.Since(began) != c.wait {
					t.Errorf("after %v: %q, want %q after %v", time.Since(began), describe(got), c.want, c.wait)
				}
			})
		})
	}
}

// TestAttemptLeavesSessionsAlone: where nobody wants sessions opened again, a call that
// lands elsewhere ends it; one that the endpoint itself forgot is moved on where it is wanted.
func TestAttemptLeavesSessionsAlone(t *testing.T) {
	t.Parallel()
	inSessionBubble(t, false, func(t *testing.T, s *sessionEnvoy) {
		x := s.open(names.PointAttempt)
		defer x.hangUp()
		if got := describe(x.ask(s.inDelhi(t, s.opened(), 1, nil))); got != "immediate 404 x-holdfast-session=lost\n" {
			t.Errorf("elsewhere: %q", got)
		}
	})
	inSessionBubble(t, true, func(t *testing.T, s *sessionEnvoy) {
		s.direct = reopened
		id := s.opened()
		at := s.inDelhi(t, id, 1, func(c *policyv1.CallContext) { c.Session.Endpoint = delhi })
		x := s.open(names.PointAttempt)
		defer x.hangUp()
		x.ask(at)
		got := x.say(responseHeaders(true, ":status: 404", "content-type: text/plain"))
		if len(got) == 0 || !strings.Contains(got[0], ":status=442") || !strings.Contains(got[0], "x-holdfast-session=lost") {
			t.Fatalf("forgotten: %q", got)
		}
		owner, err := s.ring.Load().Open(id)
		if err != nil {
			t.Fatal(err)
		}
		if state, err := s.store.Get(context.Background(), owner.Key("orders")); err != nil || !state.GetLost() {
			t.Errorf("kept: %v, %v", state, err)
		}
	})
}

// TestAttemptRemembersWhatIsReplayed: a log level counts from the server's good answer on, one that
// was held and one that came after an event's id alike.
func TestAttemptRemembersWhatIsReplayed(t *testing.T) {
	t.Parallel()
	for answer, kept := range map[string]string{
		`{"jsonrpc":"2.0","id":3,"result":{}}`:                               `{"level":"info"}`,
		`{"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"what?"}}`: "",
	} {
		for _, primed := range []bool{false, true} {
			inSessionBubble(t, true, func(t *testing.T, s *sessionEnvoy) {
				id := s.opened()
				edge, reply := s.post(levelBody, "mcp-session-id: "+id)
				defer edge.hangUp()
				call, err := toldCall(reply)
				if err != nil {
					t.Fatal(err)
				}
				x := s.open(names.PointAttempt)
				defer x.hangUp()
				x.ask(tryHeaders(t, "POST", call))
				if primed {
					x.say(responseHeaders(false, eventHeaders...))
					x.say(responseBody("id: 1\ndata:\n\n", false))
					x.say(responseBody("id: 2\n"+event(answer), true))
				} else {
					x.say(responseHeaders(false, jsonHeaders...))
					x.say(responseBody(answer, true))
				}
				owner, err := s.ring.Load().Open(id)
				if err != nil {
					t.Fatal(err)
				}
				if state, err := s.store.Get(t.Context(), owner.Key("orders")); err != nil || string(state.GetLogLevel()) != kept {
					t.Errorf("kept after %s: %v, %v", answer, state, err)
				}
			})
		}
	}
}
