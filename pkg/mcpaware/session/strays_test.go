package session

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

// transport is a server that opens sessions, without a network, so that time can be
// made exactly.
type transport struct {
	mu    sync.Mutex
	ended []string
	// opening is called while a session is opened.
	opening func()
}

func (tr *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	out := &http.Response{StatusCode: http.StatusAccepted, Header: http.Header{}, Body: http.NoBody, Request: r}
	if r.Method == http.MethodDelete {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.ended = append(tr.ended, r.URL.Host+" "+r.Header.Get("Mcp-Session-Id")+" "+r.Header.Get("Authorization"))
		return out, nil
	}
	if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"initialize"`) {
		tr.opening()
		out.StatusCode = http.StatusOK
		out.Header.Set("Mcp-Session-Id", "at-"+r.URL.Host)
		out.Header.Set("Content-Type", "application/json")
		out.Body = io.NopCloser(strings.NewReader(initialized))
	}
	return out, nil
}

// TestSessionsOpenedInVainAreEnded: of two that were opened for one session the older one
// stays, whoever hears of it how, and the other one is ended by a call of the session,
// with its credentials, once no call can be under way in it.
func TestSessionsOpenedInVainAreEnded(t *testing.T) {
	t.Parallel()
	faster := &sessionv1.State{Generation: 1, Endpoint: "delhi-a:1", UpstreamId: "first", OpenedAt: 1}
	for name, c := range map[string]struct {
		// during and after say how the faster one is heard of.
		during, after func(m *Memory, key string)
	}{
		"while it is opened": {during: func(m *Memory, key string) { m.adopt(key, faster) }},
		"after it is opened": {after: func(m *Memory, key string) { m.adopt(key, faster) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				memory, s := newMemory(t), example()
				tr := &transport{opening: func() {
					if c.during != nil {
						c.during(memory, s.Key("orders"))
					}
				}}
				r := NewReopener(memory, tr)
				at := Target{Address: "delhi-b:1", Path: "/mcp", Version: "2025-11-25", Header: http.Header{"Authorization": {"Bearer alice"}}}
				state, err := r.Reopen(t.Context(), &s, "orders", at)
				if err != nil || state.GetUpstreamId() != "at-delhi-b:1" {
					t.Fatalf("the call that has landed there: %v, %v", state, err)
				}
				if c.after != nil {
					if r.HasStrays() {
						t.Error("the one in force is a stray")
					}
					c.after(memory, s.Key("orders"))
				}
				if kept, _ := memory.Get(t.Context(), s.Key("orders")); kept.GetUpstreamId() != "first" || !r.HasStrays() {
					t.Fatalf("in force: %v, strays: %v", kept, r.HasStrays())
				}
				tidy := func() string {
					r.Tidy(&s, "orders", at)
					synctest.Wait()
					tr.mu.Lock()
					defer tr.mu.Unlock()
					return strings.Join(tr.ended, ",")
				}
				if ended := tidy(); ended != "" {
					t.Errorf("ended at once: %s", ended)
				}
				time.Sleep(strayAge)
				other := example()
				r.Tidy(&other, "orders", at)
				if ended := tidy(); ended != "delhi-b:1 at-delhi-b:1 Bearer alice" || r.HasStrays() {
					t.Errorf("ended: %q, strays left: %v", ended, r.HasStrays())
				}
				if ended := tidy(); strings.Contains(ended, ",") {
					t.Errorf("ended twice: %s", ended)
				}
				if err := memory.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
