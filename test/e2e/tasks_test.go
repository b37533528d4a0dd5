package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// taskServer keeps tasks in its memory, in the shapes of both revisions that have them.
// None of the SDKs has a server that keeps tasks without sessions.
type taskServer struct {
	*httptest.Server
	name string

	mu    sync.Mutex
	tasks map[string]bool
	// bodies of messages about tasks, headers of the last one.
	bodies []string
	header http.Header
}

func newTaskServer(t *testing.T, name string) *taskServer {
	t.Helper()
	s := &taskServer{name: name, tasks: map[string]bool{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *taskServer) address() string { return strings.TrimPrefix(s.URL, "http://") }

func (s *taskServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			TaskID string          `json:"taskId"`
			Task   json.RawMessage `json:"task"`
			Listen struct {
				TaskIDs []string `json:"taskIds"`
			} `json:"notifications"`
		} `json:"params"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		panic(http.ErrAbortHandler)
	}
	if m.Method == "subscriptions/listen" {
		s.listen(w, r, m.Params.Listen.TaskIDs)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := func(member, value string) {
		text := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,%q:%s}`, m.ID, member, value)
		if len(s.tasks)%2 == 0 {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, text)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, ": hello\n\nevent: message\ndata: %s\n\n", text)
	}
	if m.Params.TaskID != "" {
		s.bodies, s.header = append(s.bodies, string(body)), r.Header.Clone()
	}
	switch {
	case m.Method == "tools/list":
		answer("result", `{"resultType":"complete","tools":[],"ttlMs":0,"cacheScope":"public"}`)
	case m.Method == "tools/call":
		id := fmt.Sprintf("%s/%d", s.name, len(s.tasks))
		s.tasks[id] = true
		if m.Params.Task != nil {
			answer("result", fmt.Sprintf(`{"task":{"taskId":%q,"status":"working","ttl":60000}}`, id))
			return
		}
		answer("result", fmt.Sprintf(`{"resultType":"task","taskId":%q,"status":"working","ttlMs":60000}`, id))
	case m.Method == "tasks/list":
		var list []string
		for id := range s.tasks {
			list = append(list, fmt.Sprintf(`{"taskId":%q,"status":"working","ttl":60000}`, id))
		}
		answer("result", `{"tasks":[`+strings.Join(list, ",")+`]}`)
	case !s.tasks[m.Params.TaskID]:
		answer("error", `{"code":-32602,"message":"no such task"}`)
	case m.Method == "tasks/result":
		answer("result", fmt.Sprintf(`{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":%q}}}`, m.Params.TaskID))
	default:
		answer("result", fmt.Sprintf(`{"resultType":"complete","taskId":%q,"status":"completed","ttlMs":60000}`, m.Params.TaskID))
	}
}

// listen tells of the tasks that are named, of those that are there, and of one more, until the
// caller hangs up.
func (s *taskServer) listen(w http.ResponseWriter, r *http.Request, named []string) {
	w.Header().Set("Content-Type", "text/event-stream")
	s.mu.Lock()
	named = slices.DeleteFunc(named, func(id string) bool { return !s.tasks[id] })
	more := ""
	for id := range s.tasks {
		if !slices.Contains(named, id) {
			more = id
		}
	}
	s.mu.Unlock()
	agreed, err := json.Marshal(named)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"notifications\":{\"taskIds\":%s}}}\n\n", agreed)
	for _, id := range append(named, more) {
		fmt.Fprintf(w, ": ping\n\nid: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks\",\"params\":{\"taskId\":%q,\"status\":\"working\"}}\n\n", id)
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		panic(http.ErrAbortHandler)
	}
	<-r.Context().Done()
}

const tasksConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - name: asia-south1
      endpoints: [{name: primary-mumbai, address: "MUMBAI"}]
    - name: asia-south2
      endpoints: [{name: standby-delhi, address: "DELHI"}]
  failover: {mode: activeActive}
  healthCheck: {interval: 1s, timeout: 1s}
---
kind: MCPServer
metadata: {name: reports}
spec:
  regions: [{name: asia-south1, endpoints: [{name: reports, address: "REPORTS"}]}]
  healthCheck: {interval: 3s, timeout: 3s}
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}, {name: reports}]
  tools: [{match: {name: report}, to: {server: reports}}]
`

const tasksMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}`

// taskCall is what a client says about tasks in one revision.
type taskCall struct {
	modern bool
	bearer string
}

func (c taskCall) message(method, member, value string) (http.Header, string) {
	h, rest := testbed.ModernHeaders(method, value), ","+tasksMeta
	if !c.modern {
		h, rest = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {"2025-11-25"}}, ""
		if member == "name" {
			rest = `,"task":{"ttl":60000}`
		}
	}
	if c.bearer != "" {
		h.Set("Authorization", "Bearer "+c.bearer)
	}
	return h, fmt.Sprintf(`{"id": "x", "jsonrpc":"2.0","params":{%q:%q%s} ,"method":%q}`, member, value, rest, method)
}

// answered is what came back about a task.
type answered struct {
	status int
	id     string
	code   int
	text   string
}

func (c taskCall) do(t *testing.T, bed *testbed.Bed, method, member, value string) answered {
	t.Helper()
	h, body := c.message(method, member, value)
	got, err := bed.Post("/mcp", h, body)
	if err != nil {
		t.Fatal(err)
	}
	text := string(got.Body)
	if _, data, ok := strings.Cut(text, "data: "); ok {
		text = strings.TrimSpace(data)
	}
	var m struct {
		Result struct {
			TaskID string `json:"taskId"`
			Task   struct {
				TaskID string `json:"taskId"`
			} `json:"task"`
			Meta struct {
				Related struct {
					TaskID string `json:"taskId"`
				} `json:"io.modelcontextprotocol/related-task"`
			} `json:"_meta"`
		} `json:"result"`
		Error struct {
			Code int `json:"code"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%s: %d %q: %v", method, got.Status, got.Body, err)
	}
	return answered{got.Status, m.Result.TaskID + m.Result.Task.TaskID + m.Result.Meta.Related.TaskID, m.Error.Code, text}
}

// listen listens to tasks until as many have been told of as were agreed on, and one more: ids by event.
func (c taskCall) listen(t *testing.T, bed *testbed.Bed, tasks []string) (heard [][]string) {
	t.Helper()
	list, err := json.Marshal(tasks)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := c.message("subscriptions/listen", "name", "")
	h.Del("Mcp-Name")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+bed.Gateway+"/mcp",
		strings.NewReader(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"taskIds":%s},%s}}`, list, tasksMeta)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it is cut short
	lines := bufio.NewScanner(resp.Body)
	for (len(heard) == 0 || len(heard) < len(heard[0])+2) && lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var m struct {
			Params struct {
				TaskID string `json:"taskId"`
				Agreed struct {
					TaskIDs []string `json:"taskIds"`
				} `json:"notifications"`
			} `json:"params"`
		}
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		ids := m.Params.Agreed.TaskIDs
		if m.Params.TaskID != "" {
			ids = []string{m.Params.TaskID}
		}
		heard = append(heard, ids)
	}
	if len(heard) == 0 || len(heard) < len(heard[0])+2 {
		t.Fatalf("%s: %q, %v", resp.Status, heard, lines.Err())
	}
	return heard
}

func taskMethods(modern bool) []string {
	if modern {
		return []string{"tasks/get", "tasks/cancel", "tasks/update"}
	}
	return []string{"tasks/get", "tasks/cancel", "tasks/result"}
}

// TestTasks: what is said about a task reaches the process that has it, in both revisions
// that have tasks, over regions and servers; nobody else's task is there for a caller.
func TestTasks(t *testing.T) {
	t.Parallel()
	mumbai, delhi, reports := newTaskServer(t, "mumbai"), newTaskServer(t, "delhi"), newTaskServer(t, "reports")
	servers := []*taskServer{mumbai, delhi, reports}
	bed := testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: strings.NewReplacer(
		"MUMBAI", mumbai.address(), "DELHI", delhi.address(), "REPORTS", reports.address(),
	).Replace(tasksConfig)})
	alice := map[bool]taskCall{true: {true, "alice"}, false: {false, "alice"}}
	ids := map[bool][]string{}
	for modern, caller := range alice {
		for i := range 12 {
			tool := "slow"
			if i%4 == 0 {
				tool = "report"
			}
			made := caller.do(t, bed, "tools/call", "name", tool)
			if !strings.HasPrefix(made.id, "hft1.") {
				t.Fatalf("the client's id of a task: %+v", made)
			}
			ids[modern] = append(ids[modern], made.id)
		}
	}
	for _, s := range servers {
		if len(s.tasks) == 0 {
			t.Errorf("%s has no task", s.name)
		}
	}
	for modern, caller := range alice {
		for _, id := range ids[modern] {
			for _, method := range taskMethods(modern) {
				if got := caller.do(t, bed, method, "taskId", id); got.status != http.StatusOK || got.id != id {
					t.Errorf("%s: %+v, want an answer about %s", method, got, id)
				}
			}
		}
	}
	t.Run("the body is spliced", func(t *testing.T) {
		same := map[string]bool{}
		for _, s := range servers {
			for id := range s.tasks {
				for modern, caller := range alice {
					for _, method := range taskMethods(modern) {
						_, body := caller.message(method, "taskId", id)
						same[body] = true
					}
				}
			}
			for _, body := range s.bodies {
				if !same[body] {
					t.Errorf("%s saw %s", s.name, body)
				}
			}
		}
		if name := mumbai.header.Get("Mcp-Name"); name != "" && !mumbai.tasks[name] {
			t.Errorf("Mcp-Name is %q", name)
		}
	})
	t.Run("listed", func(t *testing.T) {
		listed := alice[false].do(t, bed, "tasks/list", "cursor", "")
		found := regexp.MustCompile(`"taskId":"([^"]+)"`).FindAllStringSubmatch(listed.text, -1)
		if len(found) == 0 {
			t.Fatalf("no task is listed: %+v", listed)
		}
		for _, m := range found {
			if got := alice[false].do(t, bed, "tasks/get", "taskId", m[1]); !strings.HasPrefix(m[1], "hft1.") || got.id != m[1] {
				t.Errorf("listed as %s: %+v", m[1], got)
			}
		}
	})
	t.Run("listened to", func(t *testing.T) {
		heard := alice[true].listen(t, bed, ids[true])
		agreed, named := heard[0], heard[1:]
		if len(agreed) == 0 || len(agreed) == len(ids[true]) || len(named) != len(agreed)+1 {
			t.Fatalf("agreed on %q, heard of %q, of %q", agreed, named, ids[true])
		}
		for i, list := range named {
			id := list[0]
			if i < len(agreed) && (id != agreed[i] || !slices.Contains(ids[true], id)) {
				t.Errorf("told of %q, agreed on %q", id, agreed)
			}
			if got := alice[true].do(t, bed, "tasks/get", "taskId", id); got.id != id {
				t.Errorf("told of %s: %+v", id, got)
			}
		}
	})
	t.Run("strangers", func(t *testing.T) {
		count := func() (n int) {
			for _, s := range servers {
				n += len(s.bodies)
			}
			return n
		}
		before := count()
		for modern, status := range map[bool]int{true: http.StatusBadRequest, false: http.StatusOK} {
			id := ids[modern][0]
			for what, c := range map[string]struct {
				bearer, id string
			}{"another caller": {"mallory", id}, "nobody": {"", id}, "a changed letter": {"alice", flip(id)}, "only a prefix": {"alice", "hft1."}} {
				got := taskCall{modern, c.bearer}.do(t, bed, "tasks/get", "taskId", c.id)
				if got.status != status || got.code != -32602 {
					t.Errorf("%s, modern %v: %+v", what, modern, got)
				}
			}
		}
		if after := count(); after != before {
			t.Errorf("servers were asked %d times", after-before)
		}
		if got := alice[true].do(t, bed, "tasks/get", "taskId", "mumbai/0?"); got.code != -32602 || !strings.Contains(got.text, "no such task") {
			t.Errorf("an id that was not sealed: %+v, want the server's own answer", got)
		}
	})
	t.Run("its endpoint is away", func(t *testing.T) {
		mumbai.CloseClientConnections()
		mumbai.Close()
		bed.Eventually(testbed.Patience, "tools are called in Delhi", func() error { return bed.Ping("/mcp") })
		lost, kept := 0, 0
		for _, id := range ids[true] {
			got := alice[true].do(t, bed, "tasks/get", "taskId", id)
			switch {
			case got.id == id:
				kept++
			case got.code != -32602 && got.code != 0 && strings.Contains(got.text, `"retryable":true`):
				// The task may be there still when the endpoint comes back.
				lost++
			default:
				t.Errorf("%+v", got)
			}
		}
		if lost == 0 || kept == 0 {
			t.Errorf("%d tasks are out of reach, %d are not", lost, kept)
		}
	})
}
