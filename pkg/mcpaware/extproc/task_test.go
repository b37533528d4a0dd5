package extproc

import (
	"encoding/base64"
	"strings"
	"testing"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func taskMessage(id string) (body string, lines []string) {
	return `{"jsonrpc":"2.0","id":7,"method":"tasks/get","params":{"taskId":"` + id + `", ` + listenParams + `}}`,
		[]string{"mcp-protocol-version: 2026-07-28", "mcp-method: tasks/get", "mcp-name: " + id, "authorization: alice"}
}

// TestEdgeSendsTasksHome: a message about a task carries its server's own id, in body and header, to
// the endpoint that has it; nobody else's task is there.
func TestEdgeSendsTasksHome(t *testing.T) {
	t.Parallel()
	listens(t, func(t *testing.T, s *sessionEnvoy) {
		token := s.sealed("orders", delhi, "its own", "alice")
		body, lines := taskMessage(token)
		x, reply := s.post(body, lines...)
		x.hangUp()
		want, _ := taskMessage("its own")
		if got := string(reply.GetRequestBody().GetResponse().GetBodyMutation().GetBody()); got != want {
			t.Errorf("the server gets %s, want %s", got, want)
		}
		at := base64.StdEncoding.EncodeToString([]byte(delhi))
		if got := describe(reply); !strings.Contains(got, " mcp-name=its own") || !strings.Contains(got, names.HeaderEndpointOnly+"="+at) {
			t.Errorf("its headers: %q", got)
		}
		for _, token := range []string{s.sealed("orders", delhi, "its own", "mallory"), s.sealed("gone", delhi, "its own", "alice"), token + "A", "hft1."} {
			body, lines := taskMessage(token)
			x, reply := s.post(body, lines...)
			x.hangUp()
			if got := describe(reply); !strings.HasPrefix(got, "immediate 400") || !strings.Contains(got, "Task not found") {
				t.Errorf("%s: %q", token, got)
			}
		}
	})
}

// TestAttemptSealsTasks: a task leaves under an id that names its endpoint, or under the one that the
// caller knows; where Envoy has picked another endpoint than the task's, nobody is asked.
func TestAttemptSealsTasks(t *testing.T) {
	t.Parallel()
	listens(t, func(t *testing.T, s *sessionEnvoy) {
		call := func(task *policyv1.CallTask) *policyv1.CallContext {
			task.Principal = session.PrincipalOf([]string{"alice"}).Bytes()
			return &policyv1.CallContext{Policy: "shopmax", Server: "orders", Method: "tasks/get", Id: []byte("7"), Revision: "2026-07-28", Task: task}
		}
		answer := func(task *policyv1.CallTask) string {
			x := s.open(names.PointAttempt)
			defer x.hangUp()
			x.say(tryHeaders(t, "POST", call(task)))
			x.say(responseHeaders(false, jsonHeaders...))
			return strings.Join(x.say(responseBody(`{"jsonrpc":"2.0","id":7,"result":{"taskId":"a","resultType":"task"}}`, true)), "\n")
		}
		if got := answer(&policyv1.CallTask{Token: "mine", UpstreamId: "a", Endpoint: mumbai}); !strings.Contains(got, `"taskId":"mine"`) {
			t.Errorf("a known task: %q", got)
		}
		_, token, _ := strings.Cut(answer(&policyv1.CallTask{}), `"taskId":"`)
		token, _, _ = strings.Cut(token, `"`)
		if task, err := s.ring.Load().OpenTask(token); err != nil || task.Endpoint != mumbai || task.UpstreamID != "a" || task.Server != "orders" {
			t.Errorf("a new task: %q, %+v, %v", token, task, err)
		}
		x := s.open(names.PointAttempt)
		defer x.hangUp()
		got := x.say(tryHeaders(t, "POST", call(&policyv1.CallTask{Token: "mine", UpstreamId: "a", Endpoint: delhi})))
		if len(got) != 1 || !strings.HasPrefix(got[0], "immediate 200") || !strings.Contains(got[0], `"retryable":true`) {
			t.Errorf("a task of another endpoint: %q", got)
		}
	})
}
