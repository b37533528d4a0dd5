package extproc

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

const listenParams = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

func listenBody(ids ...string) string {
	list := `"` + strings.Join(ids, `", "`) + `"`
	if len(ids) == 0 {
		list = ""
	}
	return `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true, "taskIds":[` + list + `]},` + listenParams + `}}`
}

// listens serves policies with a route for tasks, as the control plane sends them.
func listens(t *testing.T, test func(t *testing.T, s *sessionEnvoy)) {
	t.Helper()
	policy := shopmax()
	policy.ListenTasks = &policyv1.Action{Route: "shopmax.listen", Server: "orders", Attempts: 1}
	policy.GetServers()[0].SessionPrincipalHeader = "authorization"
	table := compile(t, policy)
	synctest.Test(t, func(t *testing.T) {
		s := &sessionEnvoy{envoy: &envoy{t: t}}
		s.ring.Store(ringOf(t, 1))
		s.service = New(Options{Table: func() *decide.Table { return table }, Keyring: s.ring.Load})
		stop := s.serve()
		defer stop()
		test(t, s)
	})
}

func (s *sessionEnvoy) sealed(server, endpoint, id, bearer string) string {
	s.t.Helper()
	token, err := s.ring.Load().SealTask(session.Task{
		Server: server, Endpoint: endpoint, UpstreamID: id, Principal: session.PrincipalOf([]string{bearer}),
	}, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

var listenHeaders = []string{"mcp-protocol-version: 2026-07-28", "mcp-method: subscriptions/listen", "authorization: alice"}

// TestEdgeListensToTasks: a request to listen names its tasks as their endpoint does, and
// goes there; tasks of other endpoints and of other callers are left out.
func TestEdgeListensToTasks(t *testing.T) {
	t.Parallel()
	listens(t, func(t *testing.T, s *sessionEnvoy) {
		first, second := s.sealed("orders", mumbai, "a", "alice"), s.sealed("orders", mumbai, `b"`, "alice")
		away, strangers := s.sealed("orders", delhi, "c", "alice"), s.sealed("orders", mumbai, "d", "mallory")
		elsewhere := s.sealed("reports", mumbai, "e", "alice")
		many := make([]string, 70)
		for i := range many {
			many[i] = fmt.Sprintf("own-%d", i)
		}
		for name, c := range map[string]struct {
			ids    []string
			body   string
			pinned bool
			// names as the server says them, by which those of the caller are found.
			known map[string]string
		}{
			"one":               {[]string{first}, listenBody("a"), true, map[string]string{"a": first}},
			"with a quote":      {[]string{first, second}, listenBody("a", `b\"`), true, map[string]string{"a": first, `b"`: second}},
			"at two endpoints":  {[]string{away, first}, listenBody("c"), true, map[string]string{"c": away}},
			"of others":         {[]string{strangers, elsewhere, first}, listenBody("a"), true, map[string]string{"a": first}},
			"none of them ours": {[]string{strangers, "hft1.x"}, listenBody(), false, nil},
			"not sealed":        {[]string{"raw"}, "", false, map[string]string{"raw": "raw"}},
			"none":              {nil, "", false, nil},
			"too many":          {many, listenBody(many[:64]...), false, nil},
		} {
			x, reply := s.post(listenBody(c.ids...), listenHeaders...)
			x.hangUp()
			got, mutated := describe(reply), string(reply.GetRequestBody().GetResponse().GetBodyMutation().GetBody())
			if want := strings.ReplaceAll(c.body, `", "`, `","`); strings.ReplaceAll(mutated, `", "`, `","`) != want {
				t.Errorf("%s: the server gets %s, want %s", name, mutated, want)
			}
			if mutated != "" && !strings.Contains(got, " content-length="+strconv.Itoa(len(mutated))) {
				t.Errorf("%s: %d bytes under %q", name, len(mutated), got)
			}
			if at := base64.StdEncoding.EncodeToString([]byte(mumbai)); name != "at two endpoints" && strings.Contains(got, names.HeaderEndpointOnly+"="+at) != c.pinned {
				t.Errorf("%s: %q", name, got)
			}
			call, err := toldCall(reply)
			if err != nil {
				t.Fatal(err)
			}
			route := "shopmax.stream"
			if len(c.known) > 0 || name == "too many" {
				route = "shopmax.listen"
			}
			if !strings.Contains(got, names.HeaderRoute+"="+route) {
				t.Errorf("%s: %q, want the route %s", name, got, route)
			}
			if c.known != nil && fmt.Sprint(call.GetTask().GetListened()) != fmt.Sprint(c.known) {
				t.Errorf("%s: tasks are known as %v, want %v", name, call.GetTask().GetListened(), c.known)
			}
		}
	})
}

// listening is a call that listens to the task "a", which the caller knows as "mine".
func listening() *policyv1.CallContext {
	return &policyv1.CallContext{
		Policy: "shopmax", Server: "orders", Method: "subscriptions/listen", Id: []byte("7"), Revision: "2026-07-28",
		Task: &policyv1.CallTask{Principal: session.PrincipalOf([]string{"alice"}).Bytes(), Endpoint: mumbai, Listened: map[string]string{"a": "mine"}},
	}
}

const (
	acknowledged = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"notifications\":{\"taskIds\":[\"a\"]}}}\n\n"
	taskDone     = "id: 4\ndata: {\"method\":\"notifications/tasks\",\"params\":{\"taskId\":\"a\",\"status\":\"completed\", \"n\":1.50},\"jsonrpc\":\"2.0\"}\r\n\r\n"
)

// TestAttemptNamesListenedTasks: what is said of a task has the caller's id of it, however it is cut, and
// goes on as soon as its event is whole; everything else is as it was.
func TestAttemptNamesListenedTasks(t *testing.T) {
	t.Parallel()
	listens(t, func(t *testing.T, s *sessionEnvoy) {
		x := s.open(names.PointAttempt)
		defer x.hangUp()
		x.say(tryHeaders(t, "POST", listening()))
		if got := x.say(responseHeaders(false, append([]string{"content-length: 9"}, eventHeaders...)...)); len(got) != 1 || !strings.HasPrefix(got[0], "headers") || !strings.Contains(got[0], "-content-length") {
			t.Fatalf("headers: %q", got)
		}
		named := strings.NewReplacer(`"a"`, `"mine"`)
		for _, piece := range []string{": hello\n\n", acknowledged, taskDone, "event: other\ndata: {\"params\":{\"taskId\":\"a\"}}\n\n", "data: {\n\n", "retry: 5\n\n"} {
			want := piece
			if piece == acknowledged || piece == taskDone {
				want = named.Replace(piece)
			}
			for i := range len(piece) - 1 {
				if got := x.say(responseBody(piece[i:i+1], false)); len(got) != 0 {
					t.Fatalf("%q goes on after byte %d of %q", got, i, piece)
				}
			}
			if got := x.say(responseBody(piece[len(piece)-1:], false)); len(got) != 1 || got[0] != "body "+want {
				t.Errorf("%q is %q, want %q", piece, got, want)
			}
		}
		got := x.say(responseBody(`data: {"params":{"taskId":"another"}}`+"\n\ndata: half", true))
		if len(got) != 1 || !strings.HasSuffix(got[0], "\n\ndata: half") {
			t.Fatalf("the end: %q", got)
		}
		_, token, _ := strings.Cut(got[0], `"taskId":"`)
		token, _, _ = strings.Cut(token, `"`)
		task, err := s.ring.Load().OpenTask(token)
		if err != nil || task.Endpoint != mumbai || task.UpstreamID != "another" || task.Server != "orders" || !task.Principal.Admits(session.PrincipalOf([]string{"alice"})) {
			t.Errorf("a task that was not named is %q: %+v, %v", token, task, err)
		}
	})
}

// TestAttemptListensToTheEnd: an event too large to be read, and trailers, lose nothing.
func TestAttemptListensToTheEnd(t *testing.T) {
	t.Parallel()
	listens(t, func(t *testing.T, s *sessionEnvoy) {
		x := s.open(names.PointAttempt)
		x.say(tryHeaders(t, "POST", listening()))
		x.say(responseHeaders(false, eventHeaders...))
		large := strings.Repeat("x", 1<<20)
		x.say(responseBody("data: half", false))
		if got := x.say(responseBody(large, false)); len(got) != 1 || got[0] != "body data: half"+large {
			t.Errorf("a large event: %d replies", len(got))
		}
		if got := x.say(responseBody("more", false)); len(got) != 1 || got[0] != "body more" {
			t.Errorf("after it: %q", got)
		}
		x.hangUp()
		y := s.open(names.PointAttempt)
		y.say(tryHeaders(t, "POST", listening()))
		y.say(responseHeaders(false, eventHeaders...))
		y.say(responseBody("data: half", false))
		if got := y.say(responseTrailers()); len(got) != 2 || got[0] != "body data: half" || got[1] != "trailers" {
			t.Errorf("trailers: %q", got)
		}
	})
}

// FuzzTaskStream: in whatever pieces a stream comes, no byte of it is lost or added, but for ids of tasks.
func FuzzTaskStream(f *testing.F) {
	for _, body := range []string{acknowledged + taskDone, ": ping\n\ndata:\n\n", "\ufeffdata: {\"params\":{\"taskId\":\"a\"}}\r\r", "data: {\ndata: \"params\":{\"taskId\":\"a\"}}\n\n", "data: {\"params\":{\"taskId\":\"\\u0061\"}}\n\n", "data: x"} {
		f.Add([]byte(body), uint8(2))
		f.Add([]byte(body), uint8(254))
	}
	f.Fuzz(func(t *testing.T, body []byte, piece uint8) {
		follow := func(seal func(string) string, size int) (out []byte) {
			s := &taskStream{events: wire.NewEventStream(maxEventBytes), seal: seal}
			rest := body
			for len(rest) > size {
				out = append(out, s.feed(rest[:size], false)...)
				rest = rest[size:]
			}
			return append(out, s.feed(rest, true)...)
		}
		same := func(id string) string { return id }
		if got := follow(same, int(piece)+1); !bytes.Equal(got, body) {
			t.Fatalf("%q became %q", body, got)
		}
		sealed := func(id string) string { return "sealed " + id }
		whole, pieces := follow(sealed, len(body)+1), follow(sealed, int(piece)+1)
		if !bytes.Equal(whole, pieces) {
			t.Fatalf("%q became %q, and in pieces %q", body, whole, pieces)
		}
	})
}
