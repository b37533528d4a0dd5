package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// steps is a tool that says how far it has come, one step for each word that it is given.
type steps struct {
	next chan struct{}
	// gone: the call's own context ended before the call did.
	gone chan error
	// over ends calls that nobody waits for any more.
	over chan struct{}
}

const stepsCount = 4

func newSteps() *steps {
	return &steps{next: make(chan struct{}, stepsCount), gone: make(chan error, 1), over: make(chan struct{})}
}

// add gives a server the tool, and with it streams that can be resumed.
func (st *steps) add(s *stateful) {
	s.resumable = true
	s.more = func(server *mcp.Server) {
		mcp.AddTool(server, &mcp.Tool{Name: "steps"}, func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, struct{}, error) {
			for i := range stepsCount {
				select {
				case <-st.next:
				case <-st.over:
					return nil, struct{}{}, errors.New("nobody waits any more")
				case <-ctx.Done():
					st.gone <- ctx.Err()
					return nil, struct{}{}, ctx.Err()
				}
				p := &mcp.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: float64(i + 1), Total: stepsCount}
				if err := r.Session.NotifyProgress(ctx, p); err != nil {
					return nil, struct{}{}, err
				}
			}
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: r.Session.ID()}}}, struct{}{}, nil
		})
	}
}

func (st *steps) allow(n int) {
	for range n {
		st.next <- struct{}{}
	}
}

const stepsBody = `{"jsonrpc":"2.0","id":"s","method":"tools/call","params":{"name":"steps","arguments":{},"_meta":{"progressToken":"p"}}}`

// sentEvent is one event of a stream as it was sent.
type sentEvent struct{ id, data, raw string }

// stream is an open event stream.
type stream struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Reader
	done context.CancelFunc
}

// streamFrom opens an event stream at an address: a POST where there is a body, else GET.
func streamFrom(t *testing.T, address string, header http.Header, body string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	verb, content := http.MethodPost, io.Reader(strings.NewReader(body))
	if body == "" {
		verb, content = http.MethodGet, http.NoBody
	}
	req, err := http.NewRequestWithContext(ctx, verb, "http://"+address+"/mcp", content)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := (&http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: time.Minute}).DialContext}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t: t, resp: resp, in: bufio.NewReader(resp.Body), done: cancel}
	t.Cleanup(s.hangUp)
	if media := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || media != "text/event-stream" {
		t.Fatalf("%s: %d %q", verb, resp.StatusCode, media)
	}
	return s
}

func (s *stream) hangUp() {
	s.done()
	_ = s.resp.Body.Close()
}

// read reads the next event, comments left out; false: the stream has ended.
func (s *stream) read() (sentEvent, bool) {
	s.t.Helper()
	var e sentEvent
	for {
		line, err := s.in.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF) && line == "":
			return e, false
		case err != nil:
			s.t.Fatalf("reading a stream: %v", err)
		case line == "\n" && e.raw != "":
			e.raw += line
			return e, true
		case line == "\n", strings.HasPrefix(line, ":"):
			continue
		}
		e.raw += line
		if v, ok := strings.CutPrefix(line, "id: "); ok {
			e.id = strings.TrimSpace(v)
		}
		if v, ok := strings.CutPrefix(line, "data: "); ok {
			e.data = strings.TrimSpace(v)
		}
	}
}

// until reads up to the event with a word, and gives all of them.
func (s *stream) until(word string) []sentEvent {
	s.t.Helper()
	var all []sentEvent
	for {
		e, ok := s.read()
		if !ok {
			s.t.Fatalf("the stream ends before %s: %v", word, all)
		}
		if all = append(all, e); strings.Contains(e.data, word) {
			return all
		}
	}
}

func resumeHeaders(session, revision, last string) http.Header {
	h := http.Header{"Accept": {"text/event-stream"}, "Mcp-Session-Id": {session}, "Last-Event-Id": {last}}
	if revision != "2025-03-26" {
		h.Set("Mcp-Protocol-Version", revision)
	}
	return h
}

// TestResumption: a client whose connection breaks in the middle of an answer comes back
// with the last event's id, reaches the endpoint that has the rest, and gets every event
// once, with the bytes that the server itself would have sent. With the endpoint gone
// the session is.
func TestResumption(t *testing.T) {
	t.Parallel()
	st := newSteps()
	s := startSessionsWith(t, st.add, "activeActive", "")
	defer close(st.over)
	for _, revision := range []string{"2025-03-26", "2025-06-18", legacyRevision} {
		t.Run(revision, func(t *testing.T) {
			for _, server := range s.servers {
				server.mu.Lock()
				server.seen = nil
				server.mu.Unlock()
			}
			opened, err := s.Post("/mcp", legacyHeaders(""), strings.Replace(initializeBody, legacyRevision, revision, 1))
			if err != nil {
				t.Fatal(err)
			}
			id := opened.Header.Get("Mcp-Session-Id")
			header := legacyHeaders(id)
			header.Set("Mcp-Protocol-Version", revision)
			if said, err := s.Post("/mcp", header, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); err != nil || said.Status != http.StatusAccepted {
				t.Fatalf("initialized: %v, %d %s", err, said.Status, said.Body)
			}
			st.allow(2)
			first := streamFrom(t, s.Gateway, header, stepsBody)
			seen := first.until(`"progress":2`)
			first.hangUp()
			// Nobody listens while the rest is said.
			st.allow(stepsCount - 2)
			again := streamFrom(t, s.Gateway, resumeHeaders(id, revision, seen[len(seen)-1].id), "")
			missed := again.until(`"id":"s"`)
			upstream := ""
			for i, e := range append(seen, missed...) {
				if !strings.HasSuffix(e.id, fmt.Sprintf("_%d", i)) {
					t.Errorf("event %d has the id %q: %v", i, e.id, append(seen, missed...))
				}
				if _, text, ok := strings.Cut(e.data, `"text":"`); ok {
					upstream, _, _ = strings.Cut(text, `"`)
				}
			}
			if len(missed) != stepsCount-1 || upstream == "" {
				t.Fatalf("missed: %v", missed)
			}
			server := s.servers[owner(upstream)]
			direct := streamFrom(t, server.address, resumeHeaders(upstream, revision, seen[len(seen)-1].id), "").until(`"id":"s"`)
			for i, e := range direct {
				if e != missed[i] {
					t.Errorf("event %d came as %q, the server says %q", i, missed[i].raw, e.raw)
				}
			}
			for name, other := range s.servers {
				if own, foreign := other.requests(); name != server.name && own+foreign > 0 {
					t.Errorf("%s saw %d requests of sessions", name, own+foreign)
				}
			}
			select {
			case err := <-st.gone:
				t.Errorf("the call was cancelled: %v", err)
			default:
			}
			server.kill()
			lost, err := s.Do(http.MethodGet, "/mcp", resumeHeaders(id, revision, seen[0].id), "")
			if err != nil || lost.Status != http.StatusNotFound || len(lost.Body) != 0 {
				t.Errorf("without its endpoint: %v, %d %q, want a bare 404", err, lost.Status, lost.Body)
			}
			server.start()
		})
	}
}

// cutter is a transport that breaks the first answer that has a word, once, and all later
// reads of it.
type cutter struct {
	word string
	once sync.Once
	cut  chan struct{}
}

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && r.Method == http.MethodPost {
		resp.Body = &cutBody{ReadCloser: resp.Body, cutter: c}
	}
	return resp, err
}

type cutBody struct {
	io.ReadCloser
	*cutter
	seen strings.Builder
	over bool
}

func (b *cutBody) Read(p []byte) (int, error) {
	if b.over {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p)
	if b.seen.Write(p[:n]); strings.Contains(b.seen.String(), b.word) {
		b.once.Do(func() {
			b.over = true
			_ = b.Close()
			close(b.cut)
		})
	}
	return n, err
}

// TestClientsResume: the official SDK's client, whose connection breaks in the middle of an
// answer, gets the whole of it.
func TestClientsResume(t *testing.T) {
	t.Parallel()
	st := newSteps()
	s := startSessionsWith(t, st.add, "activeActive", "")
	defer close(st.over)
	c := &cutter{word: `"progress":2`, cut: make(chan struct{})}
	var mu sync.Mutex
	var progress []float64
	client := mcp.NewClient(&mcp.Implementation{Name: "sdk", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			mu.Lock()
			defer mu.Unlock()
			progress = append(progress, r.Params.Progress)
		},
	})
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: "http://" + s.Gateway + "/mcp", HTTPClient: &http.Client{Transport: c},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	st.allow(2)
	go func() {
		<-c.cut
		st.allow(stepsCount - 2)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	params := &mcp.CallToolParams{Name: "steps"}
	params.SetProgressToken("p")
	result, err := session.CallTool(ctx, params)
	if err != nil || result.IsError {
		t.Fatalf("the call: %v, %v", err, result)
	}
	s.Eventually(testbed.Patience, "all progress is told, in order and once", func() error {
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(progress) != "[1 2 3 4]" {
			return fmt.Errorf("progress: %v", progress)
		}
		return nil
	})
}

// TestStreamsOfMovedSessions: clients hold event streams that can be resumed when their
// region dies. The ids that they come back with mean nothing to the endpoint that has
// their sessions now; they get a new stream all the same, and their connections live on.
func TestStreamsOfMovedSessions(t *testing.T) {
	t.Parallel()
	st := newSteps()
	s := startSessionsWith(t, st.add, "activePassive", "  sessions: reinitialize")
	clients := make([]*legacyClient, 10)
	each(len(clients), func(i int) {
		clients[i] = s.connect(t, "agent")
		if err := clients[i].SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: "info"}); err != nil { //nolint:staticcheck // legacy revisions have it
			t.Error(err)
		}
	})
	// Something is said on each stream, which so has a last event's id.
	hear := func(when, region string) {
		t.Helper()
		heard := make([]bool, len(clients))
		s.Eventually(testbed.Patience, when+": every client hears its server", func() error {
			for name, server := range s.servers {
				server.mu.Lock()
				now := server.mcp
				server.mu.Unlock()
				for session := range now.Sessions() {
					_ = session.Log(t.Context(), &mcp.LoggingMessageParams{Level: "warning", Data: "aside-" + name}) //nolint:staticcheck // as above
				}
			}
			for i, c := range clients {
				for !heard[i] {
					select {
					case text := <-c.logged:
						heard[i] = strings.HasPrefix(text, "aside-"+region)
						continue
					default:
					}
					return fmt.Errorf("client %d heard nothing", i)
				}
			}
			return nil
		})
	}
	hear("before", "mumbai")
	// One call is in mid-stream, and can be resumed nowhere.
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	params := &mcp.CallToolParams{Name: "steps"}
	params.SetProgressToken("p")
	st.allow(1)
	ended := make(chan error, 1)
	go func() {
		_, err := clients[0].CallTool(ctx, params)
		ended <- err
	}()
	<-clients[0].progress
	s.servers["mumbai-a"].cut()
	s.servers["mumbai-b"].cut()
	close(st.over)
	s.servers["mumbai-a"].kill()
	s.servers["mumbai-b"].kill()
	if err := <-ended; err == nil || ctx.Err() != nil {
		t.Errorf("the call in mid-stream: %v, after %v", err, ctx.Err())
	}
	each(len(clients), func(i int) {
		if at, err := clients[i].where(t.Context()); err != nil || !strings.HasPrefix(at, "delhi-") {
			t.Errorf("client %d: %q, %v", i, at, err)
		}
	})
	hear("region lost", "delhi")
	each(len(clients), func(i int) {
		if at, err := clients[i].where(t.Context()); err != nil || !strings.HasPrefix(at, "delhi-") {
			t.Errorf("client %d, later: %q, %v", i, at, err)
		}
	})
}
