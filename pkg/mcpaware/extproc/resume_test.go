package extproc

import (
	"net/http"
	"strings"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// moveTo has the session opened again in Delhi as "up2".
func (s *sessionEnvoy) moveTo(t *testing.T, id string) {
	t.Helper()
	owner, err := s.ring.Load().Open(id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = session.Change(t.Context(), s.store, owner.Key("orders"), func(state *sessionv1.State) bool {
		state.Endpoint, state.UpstreamId, state.OpenedAt = delhi, "up2", time.Now().UnixNano()
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestStaleEventIDs: an id of the endpoint that a session has left reaches no server. Who
// listened gets a new stream, who waited for an answer is told that none comes.
func TestStaleEventIDs(t *testing.T) {
	t.Parallel()
	inSessionBubble(t, true, func(t *testing.T, s *sessionEnvoy) {
		id := s.opened()
		// A call's stream breaks after an event.
		edge, reply := s.post(callBody, "mcp-session-id: "+id)
		defer edge.hangUp()
		call, err := toldCall(reply)
		if err != nil {
			t.Fatal(err)
		}
		x := s.open(names.PointAttempt)
		x.ask(tryHeaders(t, "POST", call))
		x.say(responseHeaders(false, eventHeaders...))
		x.say(responseBody("id: c_0\n"+event(progress)+"id: c_1\ndata:\n\n", false))
		x.hangUp()
		ask := func(last string) string {
			x, reply := s.get("GET", id, "last-event-id: "+last)
			defer x.hangUp()
			return describe(reply)
		}
		if got := ask("c_1"); strings.Contains(got, "-last-event-id") || !strings.Contains(got, "mcp-session-id=up ") {
			t.Errorf("before the move: %q", got)
		}
		s.moveTo(t, id)
		if got := ask("c_1"); !strings.HasPrefix(got, "immediate 200") || !strings.Contains(got, `"id":`+string(call.GetId())+`,"error"`) || !strings.Contains(got, `"outcome":"unknown"`) {
			t.Errorf("the call: %q", got)
		}
		if got := ask("heard"); !strings.HasPrefix(got, "immediate 200") || !strings.Contains(got, "\nretry: 100\nid: holdfast-wait-") || !strings.Contains(got, ".heard\n") {
			t.Errorf("who listens, for the first time: %q", got)
		}
		for _, last := range []string{"heard", names.WaitPrefix + "X.heard"} {
			if got := ask(last); !strings.Contains(got, "-last-event-id") || !strings.Contains(got, "mcp-session-id=up2") {
				t.Errorf("who listens, %s: %q", last, got)
			}
		}
		if got := ask("heard-there"); strings.Contains(got, "-last-event-id") || !strings.Contains(got, "mcp-session-id=up2") {
			t.Errorf("an id of Delhi: %q", got)
		}
	})
	// The request for the stream is what moves the session.
	inSessionBubble(t, true, func(t *testing.T, s *sessionEnvoy) {
		s.direct = reopened
		id := s.opened()
		edge, reply := s.get("GET", id, "last-event-id: heard")
		defer edge.hangUp()
		call, err := toldCall(reply)
		if err != nil {
			t.Fatal(err)
		}
		try := tryHeaders(t, "GET", call)
		list := try.GetRequestHeaders().GetHeaders()
		list.Headers = append(list.Headers, requestHeaders(true, "last-event-id: heard").GetRequestHeaders().GetHeaders().GetHeaders()...)
		setPlace(try, map[string]any{"upstream.address": delhi, "upstream.request_attempt_count": 2})
		x := s.open(names.PointAttempt)
		defer x.hangUp()
		x.ask(try)
		if got := describe(<-x.replies); !strings.HasPrefix(got, "immediate 200") || !strings.Contains(got, "\nretry: 100\nid: holdfast-wait-") {
			t.Errorf("at the attempt point: %q", got)
		}
	})
}

// TestAttemptAsksForSessions: a refusal that may or may not mean that a session is gone is looked
// into, and 404 to GET of a server that has the session says that it has no streams.
func TestAttemptAsksForSessions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		verb, status string
		knows        int
		want         string
		asks         int
	}{
		"GET, known":              {"GET", "404", 200, ":status=405", 1},
		"GET, unknown":            {"GET", "404", 404, ":status=442", 1},
		"GET, no stream":          {"GET", "405", 404, "", 0},
		"POST, 404":               {"POST", "404", 200, ":status=442", 0},
		"POST, 400, known":        {"POST", "400", 200, "caller_fault", 1},
		"POST, 400, unknown":      {"POST", "400", 400, ":status=442", 1},
		"DELETE of what is ended": {"DELETE", "404", 404, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inSessionBubble(t, true, func(t *testing.T, s *sessionEnvoy) {
				asked := 0
				s.direct = func(r *http.Request) (*http.Response, error) {
					asked++
					return &http.Response{StatusCode: c.knows, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
				}
				id := s.opened()
				var edge *exchange
				var reply *extprocv3.ProcessingResponse
				if c.verb == "POST" {
					edge, reply = s.post(callBody, "mcp-session-id: "+id)
				} else {
					edge, reply = s.get(c.verb, id)
				}
				defer edge.hangUp()
				call, err := toldCall(reply)
				if err != nil {
					t.Fatal(err)
				}
				x := s.open(names.PointAttempt)
				defer x.hangUp()
				x.ask(tryHeaders(t, c.verb, call))
				got := strings.Join(x.say(responseHeaders(true, ":status: "+c.status, "content-type: text/plain")), " ")
				if !strings.Contains(got, c.want) || c.want == "" && strings.Contains(got, ":status") || asked != c.asks {
					t.Errorf("asked %d times, then %q", asked, got)
				}
			})
		})
	}
}

// TestClientsWait: a client that comes back to its stream while no server can be reached is
// told to come again, with the id that it has, as often as it takes.
func TestClientsWait(t *testing.T) {
	t.Parallel()
	inSessionBubble(t, true, func(t *testing.T, s *sessionEnvoy) {
		id := s.opened()
		for _, last := range []string{"", "3_7", strings.Repeat("x", maxWaitBytes+1)} {
			lines := []string{}
			if last != "" {
				lines = append(lines, "last-event-id: "+last)
			}
			seen := map[string]bool{}
			for range 3 {
				x, _ := s.get("GET", id, lines...)
				down := answered(1, false, ":status: 503", "content-type: text/plain")
				down.Attributes = attributeMap(map[string]any{"response.code_details": "no_healthy_upstream"})
				got := describe(x.ask(down))
				x.hangUp()
				_, after, _ := strings.Cut(got, "\nid: ")
				given, _, _ := strings.Cut(after, "\n")
				if !strings.HasPrefix(got, "immediate 200") || !strings.Contains(got, "\nretry: 2000\n") || !strings.Contains(got, "\ndata:\n\n") || seen[given] {
					t.Fatalf("after %.9q: %q", last, got)
				}
				seen[given], lines = true, []string{"last-event-id: " + given}
			}
			x, reply := s.get("GET", id, lines...)
			want := "last-event-id=" + last + " "
			if last == "" || len(last) > maxWaitBytes {
				want = "-last-event-id "
			}
			if got := describe(reply) + " "; !strings.Contains(got, want) {
				t.Errorf("after %.9q, when the server is there: %q", last, got)
			}
			x.hangUp()
		}
		for last, want := range map[string]bool{"3_7": false, names.WaitPrefix + "X.3_7": true, names.WaitPrefix + "X.": true, names.WaitPrefix + "Y." + names.WaitPrefix + "X.3_7": true} {
			x, _ := s.get("GET", id, "last-event-id: "+last)
			none := answered(1, true, ":status: 405")
			none.Attributes = attributeMap(map[string]any{"response.code_details": "via_upstream"})
			if got := describe(x.ask(none)); strings.Contains(got, "\nretry: 3600000\n") != want {
				t.Errorf("no streams, after %s: %q", last, got)
			}
			x.hangUp()
		}
		x, _ := s.post(callBody, "mcp-session-id: "+id)
		defer x.hangUp()
		down := answered(1, false, ":status: 503", "content-type: text/plain")
		down.Attributes = attributeMap(map[string]any{"response.code_details": "no_healthy_upstream"})
		if got := describe(x.ask(down)); strings.Contains(got, names.WaitPrefix) {
			t.Errorf("a call: %q", got)
		}
	})
}
