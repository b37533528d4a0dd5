package session

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestTakeUp: in a session that was opened again, ids of its earlier openings are told
// from those of the present one.
func TestTakeUp(t *testing.T) {
	memory, err := NewMemory(100, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	r := NewReopener(memory, nil)
	ask := func(when, opened, event string, want Resumption, request string) {
		t.Helper()
		what, id, err := r.TakeUp(t.Context(), "k", opened, []byte(event))
		if err != nil || what != want || string(id) != request {
			t.Errorf("%s: %v %q %v, want %v %q", when, what, id, err, want, request)
		}
	}
	note := func(opened, event, request string) {
		t.Helper()
		if err := r.NoteCall(t.Context(), "k", opened, []byte(event), []byte(request)); err != nil {
			t.Fatal(err)
		}
	}
	note("one", "call-1", `"c"`)
	ask("a call's stream before the session has moved", "one", "call-1", Resume, "")
	ask("a call's stream of the endpoint that is gone", "two", "call-1", Over, `"c"`)
	ask("the stream that the client listened on", "two", "heard-1", Moved, "")
	ask("the same again", "two", "heard-1", Anew, "")
	ask("a later id of that stream", "two", "heard-2", Resume, "")
	note("two", "call-2", "7")
	ask("a call's stream of the endpoint that has the session", "two", "call-2", Resume, "")
	ask("that of the one before, still", "two", "call-1", Over, `"c"`)
	ask("all of it with the next move", "three", "heard-2", Moved, "")
	ask("a call's stream with the next move", "three", "call-2", Over, "7")
	ask("a client that listens anew", "four", "", Moved, "")
	ask("and again", "four", "", Anew, "")
	ask("and has an id by then", "four", "heard-9", Resume, "")
	ask("an id that nobody keeps", "five", strings.Repeat("x", MaxEventIDBytes+1), Resume, "")
	note("five", strings.Repeat("y", MaxEventIDBytes+1), "1")
	note("five", "z", strings.Repeat("y", MaxEventIDBytes+1))
	ask("a stream whose request nobody keeps", "six", "z", Moved, "")
}

// TestKnows: only what servers say of sessions that they do not know counts as no.
func TestKnows(t *testing.T) {
	for status, want := range map[int]bool{200: true, 202: true, 400: false, 401: true, 404: false, 405: true, 500: true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Header.Get("Mcp-Session-Id") != "s" || !strings.Contains(string(body), `"ping"`) || r.Header.Get("Authorization") != "Bearer alice" {
				t.Errorf("asked %v %s", r.Header, body)
			}
			w.WriteHeader(status)
		}))
		r := NewReopener(nil, nil)
		at := (&opened{Server: server}).target()
		if got := r.Knows(t.Context(), at, "s"); got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
		server.Close()
		if !r.Knows(t.Context(), at, "s") {
			t.Error("an endpoint that is gone says no")
		}
	}
}
