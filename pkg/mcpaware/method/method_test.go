package method_test

import (
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
)

func TestLookup(t *testing.T) {
	const legacy, modern, both = method.Legacy, method.Modern, method.Both
	want := []method.Info{
		{Name: "server/discover", Eras: both, Safe: true, List: "supportedVersions"},
		{Name: "initialize", Eras: legacy},
		{Name: "notifications/initialized", Eras: legacy},
		{Name: "ping", Eras: legacy, Safe: true},
		{Name: "tools/list", Eras: both, Safe: true, List: "tools"},
		{Name: "prompts/list", Eras: both, Safe: true, List: "prompts"},
		{Name: "resources/list", Eras: both, Safe: true, List: "resources"},
		{Name: "resources/templates/list", Eras: both, Safe: true, List: "resourceTemplates"},
		{Name: "tools/call", Eras: both, Target: method.Name},
		{Name: "prompts/get", Eras: both, Target: method.Name, Safe: true},
		{Name: "resources/read", Eras: both, Target: method.URI, Safe: true},
		{Name: "completion/complete", Eras: both, Safe: true},
		{Name: "resources/subscribe", Eras: legacy},
		{Name: "resources/unsubscribe", Eras: legacy},
		{Name: "logging/setLevel", Eras: legacy},
		{Name: "subscriptions/listen", Eras: modern, Stream: true},
		{Name: "tasks/get", Eras: both, Target: method.TaskID, Safe: true},
		{Name: "tasks/update", Eras: modern, Target: method.TaskID},
		{Name: "tasks/cancel", Eras: both, Target: method.TaskID},
		{Name: "tasks/result", Eras: legacy, Target: method.TaskID, Safe: true},
		{Name: "tasks/list", Eras: legacy, Safe: true},
		{Name: "notifications/cancelled", Eras: both},
		{Name: "notifications/progress", Eras: both},
		{Name: "notifications/roots/list_changed", Eras: legacy},
	}
	for _, row := range want {
		if got, ok := method.Lookup(row.Name); !ok || got != row {
			t.Errorf("Lookup(%q) = %+v, %v; want %+v", row.Name, got, ok, row)
		}
	}
	for _, name := range []string{"", "Tools/list", "tools/list ", "tools/delete", "elicitation/create"} {
		if got, ok := method.Lookup(name); ok || got != (method.Info{Name: name}) {
			t.Errorf("Lookup(%q) = %+v, %v; want nothing known", name, got, ok)
		}
	}
}

// TestIn: a method that the modern revision has removed asks for no header there.
func TestIn(t *testing.T) {
	result, _ := method.Lookup("tasks/result")
	if got := result.In(method.Legacy); got != result {
		t.Errorf("tasks/result in its own era is %+v", got)
	}
	if got := result.In(method.Modern); got != (method.Info{Name: "tasks/result", Eras: method.Legacy}) {
		t.Errorf("tasks/result in the modern era is %+v", got)
	}
}

func TestIntern(t *testing.T) {
	if got, ok := method.Intern([]byte("tools/call")); !ok || got != method.ToolsCall {
		t.Errorf("Intern = %q, %v", got, ok)
	}
	if got, ok := method.Intern([]byte("tools/Call")); ok {
		t.Errorf("Intern of an unknown method = %q", got)
	}
	if n := testing.AllocsPerRun(100, func() { method.Intern([]byte("notifications/progress")) }); n > 0 {
		t.Errorf("Intern allocates %v times", n)
	}
}
