package decide_test

import "testing"

// taskOwner says of every task that a server has it.
type taskOwner string

func (o taskOwner) TaskOwner(string) (server string, known bool) { return string(o), o != "stranger" }

// TestTaskOwners: what is said about a task goes to the server that has it, once, and is refused
// where the caller has no such task. Nothing else is asked for.
func TestTaskOwners(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owner         taskOwner
		method, field string
		server, route string
		safe          bool
		refused       int
	}{
		"its first server":      {"orders", "tasks/get", "taskId", "orders", "r-safe-once", false, 0},
		"another server":        {"orders-v2", "tasks/get", "taskId", "orders-v2", "r-tools[0]-once", false, 0},
		"a server with a rule":  {"stock", "tasks/cancel", "taskId", "stock", "r-tools[3]-once", false, 0},
		"an id that says none":  {"", "tasks/get", "taskId", "orders", "r-safe", true, 0},
		"a stranger's":          {"stranger", "tasks/get", "taskId", "", "", false, 400},
		"a server that is gone": {"gone", "tasks/update", "taskId", "", "", false, 400},
		"not about a task":      {"stranger", "prompts/get", "name", "orders", "r-safe", true, 0},
	} {
		r := modern(c.method, `"`+c.field+`":"x"`, "x")
		r.Tasks = c.owner
		d := table(t).Body(r)
		switch {
		case c.refused != 0:
			if d.Answer == nil || d.Answer.Status != c.refused {
				t.Errorf("%s: %+v, want %d", name, d.Answer, c.refused)
			}
		case d.Answer != nil:
			t.Errorf("%s: %d %s", name, d.Answer.Status, d.Answer.Body)
		case d.Call.GetServer() != c.server || d.Action.GetRoute() != c.route || d.Call.GetSafe() != c.safe:
			t.Errorf("%s: to %s by %s, safe %v", name, d.Call.GetServer(), d.Action.GetRoute(), d.Call.GetSafe())
		}
	}
}
