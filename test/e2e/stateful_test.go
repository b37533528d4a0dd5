package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// stateful is an MCP server of the official SDK that keeps sessions, in this process so
// that it can be asked what it saw, killed, and brought back with nothing in its memory.
type stateful struct {
	t       *testing.T
	name    string
	address string

	mu      sync.Mutex
	server  *http.Server
	mcp     *mcp.Server
	seen    []seen
	subs    map[string]int
	clients []string
	// resumable: event streams can be taken up again where they broke off.
	resumable bool
	// more makes further tools; nil: none.
	more func(*mcp.Server)
	// streamless: GET is answered with 404, as by servers that have no page there.
	streamless bool
	// opening takes the place of the server for initialize; nil: nothing does.
	opening func(w http.ResponseWriter, r *http.Request, open http.Handler)
}

func newStateful(t *testing.T, name string, with func(*stateful)) *stateful {
	t.Helper()
	s := &stateful{t: t, name: name, address: "127.0.0.1:0", subs: map[string]int{}}
	with(s)
	s.start()
	t.Cleanup(s.kill)
	return s
}

// start listens, at the address of the time before where there was one.
func (s *stateful) start() {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = listener.Addr().String()
	server := mcp.NewServer(&mcp.Implementation{Name: s.name, Version: "1"}, &mcp.ServerOptions{
		GetSessionID: func() string { return s.name + "-" + rand.Text() },
		SubscribeHandler: func(_ context.Context, r *mcp.SubscribeRequest) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.subs[r.Params.URI]++
			return nil
		},
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
		InitializedHandler: func(_ context.Context, r *mcp.InitializedRequest) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.clients = append(s.clients, r.Session.InitializeParams().ClientInfo.Name)
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	server.AddResource(&mcp.Resource{URI: "memo://1", Name: "memo"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{}, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "where"}, func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, struct{}, error) {
		// Levels below what the client asked for go nowhere.
		_ = r.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "warning", Data: s.name}) //nolint:staticcheck // legacy revisions have it
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: r.Session.ID()}}}, struct{}{}, nil
	})
	if s.more != nil {
		s.more(server)
	}
	options := &mcp.StreamableHTTPOptions{Logger: slog.New(slog.DiscardHandler)}
	if s.resumable {
		options.EventStore = mcp.NewMemoryEventStore(nil)
	}
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options)
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, seen{Verb: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Host: r.Host})
		opening := s.opening
		s.mu.Unlock()
		if s.streamless && r.Method == http.MethodGet {
			http.NotFound(w, r)
			return
		}
		if opening != nil && r.Method == http.MethodPost && r.Header.Get("Mcp-Session-Id") == "" {
			opening(w, r, handler)
			return
		}
		handler.ServeHTTP(w, r)
	})
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	s.mu.Lock()
	s.server, s.mcp = hs, server
	s.mu.Unlock()
	go func() { _ = hs.Serve(listener) }() // ends with kill
}

// kill cuts everything at once, as the death of the process does.
func (s *stateful) kill() {
	s.cut()
	s.mu.Lock()
	sessions := s.mcp
	s.mu.Unlock()
	for session := range sessions.Sessions() {
		_ = session.Close()
	}
}

// cut closes the connections, and the address to new ones.
func (s *stateful) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.server.Close()
}

// requests that carry a session of this server, and those that carry another id.
func (s *stateful) requests() (own, foreign int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.seen {
		switch id := r.Header.Get("Mcp-Session-Id"); {
		case id == "":
		case strings.HasPrefix(id, s.name+"-"):
			own++
		default:
			foreign++
		}
	}
	return own, foreign
}

// sessions is a Bed over stateful servers by name.
type sessions struct {
	*testbed.Bed
	servers map[string]*stateful
}

// startSessions runs a server in two regions with two endpoints each; extra is added to its spec.
func startSessions(t *testing.T, mode, extra string, extprocArgs ...string) *sessions {
	t.Helper()
	return startSessionsWith(t, func(*stateful) {}, mode, extra, extprocArgs...)
}

// startSessionsWith changes the servers before they start.
func startSessionsWith(t *testing.T, with func(*stateful), mode, extra string, extprocArgs ...string) *sessions {
	t.Helper()
	out := &sessions{servers: map[string]*stateful{}}
	address := func(name string) string {
		out.servers[name] = newStateful(t, name, with)
		return out.servers[name].address
	}
	config := fmt.Sprintf(`
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: memo}
spec:
  regions:
    - name: asia-south1
      endpoints: [{name: mumbai-a, address: %q}, {name: mumbai-b, address: %q}]
    - name: asia-south2
      endpoints: [{name: delhi-a, address: %q}, {name: delhi-b, address: %q}]
  failover: {mode: %s}
  healthCheck: {interval: 1s, timeout: 1s}
%s
---
kind: MCPRoute
metadata: {name: memo}
spec:
  servers: [{name: memo}]
  timeout: 40s
  tools: [{match: {name: where}, safe: true}]
`, address("mumbai-a"), address("mumbai-b"), address("delhi-a"), address("delhi-b"), mode, extra)
	out.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config, Reachable: legacyPing, ExtprocArgs: extprocArgs})
	return out
}

// legacyPing opens a session and ends it: stateful servers know no modern requests.
func legacyPing(b *testbed.Bed) error {
	answer, err := b.Post("/mcp", legacyHeaders(""), initializeBody)
	if err != nil {
		return err
	}
	if id := answer.Header.Get("Mcp-Session-Id"); answer.Status != http.StatusOK || id == "" {
		return fmt.Errorf("status %d, session %q: %.200s", answer.Status, id, answer.Body)
	}
	_, err = b.Do(http.MethodDelete, "/mcp", legacyHeaders(answer.Header.Get("Mcp-Session-Id")), "")
	return err
}

const (
	legacyRevision = "2025-11-25"
	initializeBody = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}`
	whereBody      = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"where","arguments":{}}}`
)

func legacyHeaders(session string) http.Header {
	h := http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
	}
	if session != "" {
		h.Set("Mcp-Session-Id", session)
		h.Set("Mcp-Protocol-Version", legacyRevision)
	}
	return h
}

// open makes a session by hand and returns its id as the client has it.
func (s *sessions) open(t *testing.T, header http.Header) string {
	t.Helper()
	h := legacyHeaders("")
	for name, values := range header {
		h[name] = values
	}
	answer, err := s.Post("/mcp", h, initializeBody)
	if err != nil {
		t.Fatal(err)
	}
	id := answer.Header.Get("Mcp-Session-Id")
	if answer.Status != http.StatusOK || id == "" {
		t.Fatalf("initialize: %d %v %s", answer.Status, answer.Header, answer.Body)
	}
	h = legacyHeaders(id)
	for name, values := range header {
		h[name] = values
	}
	if answer, err = s.Post("/mcp", h, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); err != nil || answer.Status != http.StatusAccepted {
		t.Fatalf("initialized: %v, %d %s", err, answer.Status, answer.Body)
	}
	return id
}

// legacyClient keeps the session of one client of the official SDK.
type legacyClient struct {
	*mcp.ClientSession
	logged   chan string
	progress chan struct{}
}

// connect opens a session with the official SDK, which falls back to initialize since
// these servers know nothing newer.
func (s *sessions) connect(t *testing.T, name string) *legacyClient {
	t.Helper()
	c := &legacyClient{logged: make(chan string, 100), progress: make(chan struct{}, 100)}
	client := mcp.NewClient(&mcp.Implementation{Name: name, Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) {
			select {
			case c.progress <- struct{}{}:
			default:
			}
		},
		LoggingMessageHandler: func(_ context.Context, r *mcp.LoggingMessageRequest) { //nolint:staticcheck // legacy revisions have it
			text, _ := r.Params.Data.(string)
			select {
			case c.logged <- text:
			default:
			}
		},
	})
	transport := &http.Transport{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: "http://" + s.Gateway + "/mcp", HTTPClient: &http.Client{Transport: transport},
	}, nil)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	c.ClientSession = session
	t.Cleanup(func() {
		_ = session.Close() // the session may be lost by now
		transport.CloseIdleConnections()
	})
	return c
}

// where asks the server which of its sessions a call arrived in.
func (c *legacyClient) where(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	result, err := c.CallTool(ctx, &mcp.CallToolParams{Name: "where"})
	if err != nil {
		return "", err
	}
	text, ok := result.Content[0].(*mcp.TextContent)
	if !ok || result.IsError {
		return "", fmt.Errorf("an unexpected result: %v", result)
	}
	return text.Text, nil
}

// owner is the name of the server that gave a session id.
func owner(id string) string { return id[:strings.LastIndexByte(id, '-')] }

// each runs f for every index, many at the same time, and waits.
func each(n int, f func(i int)) {
	var wg errgroup.Group
	wg.SetLimit(atOnce)
	for i := range n {
		wg.Go(func() error { f(i); return nil })
	}
	_ = wg.Wait()
}

// atOnce is how many of many calls are under way: Envoy waits half a second for a processor, in which a
// machine that does much else does not get through hundreds.
const atOnce = 16
