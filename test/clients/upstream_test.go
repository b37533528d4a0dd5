// Package clients shows what the clients of four SDKs live through with Holdfast on a
// real Envoy between them and failing servers.
package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// upstream is a server on the Go SDK whose answers a fault may replace.
type upstream struct {
	*httptest.Server
	handler atomic.Pointer[http.Handler]
	mcp     atomic.Pointer[mcp.Server]
	// revision that the server answers to initialize at most; empty: any.
	revision string
	changes  atomic.Int64
	fault    atomic.Pointer[fault]
	// streams answers GET in the server's place; nil: nothing does.
	streams atomic.Pointer[http.HandlerFunc]
}

// fault answers in the server's place: every message but notifications, or those that
// hold a word.
type fault struct {
	word   string
	answer http.HandlerFunc
}

func newUpstream(t *testing.T, sessions bool) *upstream {
	t.Helper()
	u := &upstream{}
	u.forget(sessions)
	u.Server = httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(func() {
		u.CloseClientConnections()
		u.Close()
	})
	return u
}

// forget replaces the server by a new one, which knows none of the old one's sessions.
func (u *upstream) forget(sessions bool) {
	s := mcp.NewServer(&mcp.Implementation{Name: "matrix", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "get_order"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "good"}}}, nil, nil
	})
	var handler http.Handler = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s },
		&mcp.StreamableHTTPOptions{Stateless: !sessions})
	u.mcp.Store(s)
	u.handler.Store(&handler)
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/health" {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if u.revision != "" && strings.Contains(string(body), `"method":"initialize"`) {
		body = []byte(offered.ReplaceAllString(string(body), `"protocolVersion":"`+u.revision+`"`))
		r.ContentLength = int64(len(body))
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	if answer := u.streams.Load(); answer != nil && r.Method == http.MethodGet {
		(*answer)(w, r)
		return
	}
	if f := u.fault.Load(); f != nil && r.Method == http.MethodPost && strings.Contains(string(body), f.word) {
		f.answer(w, r)
		return
	}
	(*u.handler.Load()).ServeHTTP(w, r)
}

// offered is the revision that a client asks for.
var offered = regexp.MustCompile(`"protocolVersion":\s*"[^"]+"`)

// change adds a tool, of which all who listen are told.
func (u *upstream) change() {
	name := fmt.Sprintf("extra_%d", u.changes.Add(1))
	mcp.AddTool(u.mcp.Load(), &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{}, nil, nil
	})
}

func (u *upstream) address() string { return strings.TrimPrefix(u.URL, "http://") }

// set puts a fault in the server's place; nil takes it away.
func (u *upstream) set(f *fault) { u.fault.Store(f) }

// says answers with fixed words.
func says(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// answers says something with the id of the request in the place of ID.
func answers(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var message struct {
			ID json.RawMessage `json:"id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			panic(http.ErrAbortHandler)
		}
		says(status, contentType, strings.ReplaceAll(body, "ID", string(message.ID)))(w, r)
	}
}

// dies breaks the connection.
func dies(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// hangs until the caller gives up.
func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// speaks sends events, one after the other, and ends.
func speaks(events string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, events)
		_ = http.NewResponseController(w).Flush()
	}
}

// speaksAndDies sends some of an answer and breaks the connection.
func speaksAndDies(events string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, events)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// movesTo sends clients on once to where the server itself answers.
func movesTo(u *upstream) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			w.Header().Set("Location", "?moved")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		(*u.handler.Load()).ServeHTTP(w, r)
	}
}
