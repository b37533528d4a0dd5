package session

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

// opened records what a server is told; answer is what it says to initialize.
type opened struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	ids    int
}

func newOpened(t *testing.T, answer func(w http.ResponseWriter)) *opened {
	t.Helper()
	o := &opened{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		o.mu.Lock()
		o.bodies = append(o.bodies, r.Header.Get("Mcp-Session-Id")+" "+r.Header.Get("Authorization")+" "+string(body))
		if strings.Contains(string(body), `"initialize"`) {
			o.ids++
			w.Header().Set("Mcp-Session-Id", fmt.Sprint("new-", o.ids))
		}
		o.mu.Unlock()
		if strings.Contains(string(body), `"initialize"`) {
			answer(w)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *opened) target() Target {
	return Target{
		Address: strings.TrimPrefix(o.URL, "http://"), Path: "/mcp", Host: "x", Version: "2025-11-25",
		Header: http.Header{"Authorization": {"Bearer alice"}},
	}
}

const initialized = `{"jsonrpc":"2.0","id":"holdfast-initialize","result":{"capabilities":{"protocolVersion":"no"},"protocolVersion":"2025-11-25"}}`

func answerWith(mediaType, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", mediaType)
		_, _ = io.WriteString(w, body)
	}
}

// TestReopen says what the client said, in order, with its credentials.
func TestReopen(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter){
		"JSON":   answerWith("application/json", initialized),
		"events": answerWith("text/event-stream; charset=utf-8", ": hello\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\ndata: "+initialized+"\n\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, store, s := newOpened(t, answer), newMemory(t), example()
			if _, err := store.Put(t.Context(), s.Key("orders"), &sessionv1.State{Generation: 1, LogLevel: []byte(`{"level":"info"}`), Subscriptions: []string{`a"b`}}); err != nil {
				t.Fatal(err)
			}
			state, err := NewReopener(store, nil).Reopen(t.Context(), &s, "orders", server.target())
			if err != nil || state.GetUpstreamId() != "new-1" || state.GetEndpoint() != server.target().Address || len(state.GetSubscriptions()) != 1 {
				t.Fatalf("%v, %v", state, err)
			}
			want := []string{
				` Bearer alice {"jsonrpc":"2.0","id":"holdfast-initialize","method":"initialize","params":` + string(s.Initialize) + `}`,
				`new-1 Bearer alice {"jsonrpc":"2.0","method":"notifications/initialized"}`,
				`new-1 Bearer alice {"jsonrpc":"2.0","id":"holdfast-level","method":"logging/setLevel","params":{"level":"info"}}`,
				`new-1 Bearer alice {"jsonrpc":"2.0","id":"holdfast-subscribe-0","method":"resources/subscribe","params":{"uri":"a\"b"}}`,
			}
			if !slices.Equal(server.bodies, want) {
				t.Errorf("the server was told\n%s", strings.Join(server.bodies, "\n"))
			}
		})
	}
}

// TestOneOfManyOpens: calls of one session that arrive at one endpoint together open it
// there once.
func TestOneOfManyOpens(t *testing.T) {
	t.Parallel()
	server, s := newOpened(t, answerWith("application/json", initialized)), example()
	r := NewReopener(newMemory(t), nil)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			state, err := r.Reopen(t.Context(), &s, "orders", server.target())
			if err != nil || state.GetUpstreamId() != "new-1" {
				t.Errorf("%v, %v", state, err)
			}
		})
	}
	wg.Wait()
	if server.ids != 1 {
		t.Errorf("opened %d times", server.ids)
	}
}

func TestNotReopened(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter){
		"another revision": answerWith("application/json", strings.ReplaceAll(initialized, "2025-11-25", "2025-06-18")),
		"an error":         answerWith("application/json", `{"jsonrpc":"2.0","id":"holdfast-initialize","error":{"code":-32603,"message":"no"}}`),
		"nothing":          answerWith("text/event-stream", ""),
		"a page":           answerWith("text/html", "<h1>hello</h1>"),
		"a failure":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
	} {
		server, store, s := newOpened(t, answer), newMemory(t), example()
		if state, err := NewReopener(store, nil).Reopen(t.Context(), &s, "orders", server.target()); err == nil || Unreachable(err) {
			t.Errorf("%s: %v, %v", name, state, err)
		}
		if state, _ := store.Get(t.Context(), s.Key("orders")); state != nil {
			t.Errorf("%s: kept %v", name, state)
		}
	}
	server, store, s := newOpened(t, answerWith("application/json", initialized)), newMemory(t), example()
	if _, err := store.Put(t.Context(), s.Key("orders"), &sessionv1.State{Generation: 1, Ended: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := NewReopener(store, nil).Reopen(t.Context(), &s, "orders", server.target()); !errors.Is(err, ErrUnknown) || server.ids != 0 {
		t.Errorf("a session that was ended: %v", err)
	}
	s.Initialize = nil
	if _, err := NewReopener(store, nil).Reopen(t.Context(), &s, "other", server.target()); !errors.Is(err, ErrUnknown) {
		t.Errorf("a session without its initialize: %v", err)
	}
	server.Close()
	s = example()
	if _, err := NewReopener(store, nil).Reopen(t.Context(), &s, "orders", server.target()); !Unreachable(err) {
		t.Errorf("an endpoint that is down: %v", err)
	}
}
